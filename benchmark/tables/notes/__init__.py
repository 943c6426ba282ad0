"""What is said beside numbers: settings, draws, and what a row may be called. All from records."""
