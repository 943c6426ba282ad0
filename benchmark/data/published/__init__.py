"""Published datasets: declarations, preparation, and the prepared store."""
