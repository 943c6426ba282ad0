"""What is scored, and what the evaluations of a run have in common."""
