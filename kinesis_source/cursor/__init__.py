"""One shard's records from a position on: what driver and executors do alike."""
