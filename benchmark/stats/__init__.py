"""How sure a difference is: tests and intervals from what each query of a run got."""
