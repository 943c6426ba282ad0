"""The rendered world: scenes drawn from a seed. It imports errors and digests alone."""
