"""What every method promises, as checks that the tests and `cl-bench check-method` share."""
