"""`python -m benchmark` is `cl-bench`."""

from .cli import main

main()
