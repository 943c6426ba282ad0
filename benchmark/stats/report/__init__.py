"""Two methods side by side: which records, which numbers, in which words."""
