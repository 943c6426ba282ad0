"""Datasets: what a split is, where its images come from, and the batches that methods see."""
