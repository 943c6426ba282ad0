"""What every method scores at every stage of a run: matrices and curves."""
