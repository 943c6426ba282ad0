"""The hub's client, the lock file, and pinned weights. It knows no dataset."""
