"""Tables as markdown, LaTeX and CSV."""
