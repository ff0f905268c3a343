"""Driver: how far each shard goes, and what the next micro-batch reads."""
