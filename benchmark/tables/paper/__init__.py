"""What the papers print, and what is known to be wrong with it."""
