"""What a run keeps on the disk while it is unfinished, and what runs share."""
