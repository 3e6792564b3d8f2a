"""Archive files (JSONL, CSV, Parquet) to articles."""
