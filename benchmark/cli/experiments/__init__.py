"""Commands that run many times to answer one question."""
