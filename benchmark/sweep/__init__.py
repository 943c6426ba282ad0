"""Choosing a method's settings on validation parts of the training data."""
