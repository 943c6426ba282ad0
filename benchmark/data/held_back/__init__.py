"""The validation part of a training split: what settings may be chosen on."""
