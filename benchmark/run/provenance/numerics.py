"""The integer that a person raises when a change alters a number."""

NUMERICS = 3
"""Raise it by one in every commit that changes a number of some run, even in its last bit.

Records say it. Where it is the same, and the method's own content too, a record is of the present
code, however much was moved, renamed or rewritten since. (A record without one is of 1.)
"""
