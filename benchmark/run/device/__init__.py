"""The device of a run: which one, and how it multiplies."""
