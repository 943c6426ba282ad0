"""Rows of files, as `datasets` reads them (parquet, webdataset tars), and of text tables."""
