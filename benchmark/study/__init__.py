"""Analyses of what a method does to a pretrained model, one command each."""
