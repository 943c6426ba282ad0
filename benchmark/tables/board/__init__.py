"""The leaderboard: one line a method, from records."""
