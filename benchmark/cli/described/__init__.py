"""What `ls NAME` says of a method, read from its file where that says all of it."""
