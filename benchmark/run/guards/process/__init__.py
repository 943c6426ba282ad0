"""What a method may change in the process, and how it is put back."""
