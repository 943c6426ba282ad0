"""Metrics as pure functions: recall and accuracy of one stage, and what a sequence does to them."""
