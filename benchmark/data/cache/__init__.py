"""What is computed once from data and kept on the disk: decoded images, tokens, features."""
