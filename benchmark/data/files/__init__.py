"""Rows of files, as `datasets` reads them: parquet, webdataset tars and image folders."""
