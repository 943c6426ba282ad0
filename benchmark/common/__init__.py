"""Files, digests, locks, seeds and reports: what every room may use. It knows no other room."""
