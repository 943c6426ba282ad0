"""`cl-bench order`: zero-shot scores of a backbone, beside published ones."""
