"""A run made again: from its record, or several times, and how far the results agree."""
