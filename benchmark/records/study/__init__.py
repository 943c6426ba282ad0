"""What studies found that are no runs of a suite."""
