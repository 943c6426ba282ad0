"""The figures of the CoDyRA paper's analyses."""
