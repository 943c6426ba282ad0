"""Suites: which datasets, in which order, with which budget. Declarations only; no torch."""
