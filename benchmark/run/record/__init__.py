"""From a run's cells to its record, its evidence and its provenance."""
