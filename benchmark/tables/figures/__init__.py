"""The papers' figures, from records."""
