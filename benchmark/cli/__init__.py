"""What a person types and sees. Nothing imports it."""
