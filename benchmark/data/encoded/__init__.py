"""Encoded pictures: what Pillow is given of a file, and RGB from what it makes of it."""
