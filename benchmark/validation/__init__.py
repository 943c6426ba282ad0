"""Whether records can be trusted: checks of files, of each run, and of runs beside each other."""
