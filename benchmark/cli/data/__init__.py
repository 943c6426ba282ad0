"""The commands `cl-bench data ...`."""
