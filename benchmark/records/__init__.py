"""Run records: their schema, their names, and their files. No torch."""
