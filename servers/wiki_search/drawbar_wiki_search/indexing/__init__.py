"""Building an index from what others publish: Wikipedia dumps, JSONL, Parquet. Nothing here is needed to search one."""
