"""`python -m benchmark` is `cl-bench`."""

from .cli.main import main

main()
