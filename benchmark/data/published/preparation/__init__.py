"""From a declaration to a prepared store: revision, files, rows, decoded images."""
