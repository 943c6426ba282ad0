"""The seam between the harness and the methods."""
