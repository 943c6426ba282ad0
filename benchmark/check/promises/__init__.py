"""The promises themselves, a module for each group."""
