"""The user's own tables of images."""
