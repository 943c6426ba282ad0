"""What every run checks of a method, whoever wrote it, and what it puts back behind it."""
