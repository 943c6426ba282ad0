"""Banks of adapters, and the rules that merge several of them."""
