"""The parts of a block: attention, its activation, and what of the last one is wanted."""
