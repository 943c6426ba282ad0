"""Which code a run was made by, on what machine, and what it cost."""
