"""The paper's tables, the leaderboard and the terminal's summaries, all from records; no torch."""
