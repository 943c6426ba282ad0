"""What a run ran on and with, and what it cost."""
