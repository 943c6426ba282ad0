"""Suites: which datasets, in which order, with which budget. Declarations only; no torch."""

from .suite import Dataset, Recipe, Suite, find_suite, suite_names

__all__ = ["Dataset", "Recipe", "Suite", "find_suite", "suite_names"]
