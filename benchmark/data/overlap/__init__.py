"""Pictures and captions that stand in more than one split of a suite."""
