"""The models: open_clip's CLIP and BLIP behind one interface, their weights and tokenizers."""
