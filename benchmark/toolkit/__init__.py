"""Building blocks that at least two methods use; pure functions where there is no state."""
