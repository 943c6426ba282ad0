"""Doubles of published repositories, see README.md here; used through `hub_repos`."""
