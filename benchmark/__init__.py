"""cl-bench: a reproducible benchmark of continual learning of vision-language models.

Importing this package imports no torch: `cl-bench --help`, `ls` and `tables` stay fast.
"""

__version__ = "0.1.0"
