"""Data from the hub: declarations, the lock file, preparation, and the prepared store."""
