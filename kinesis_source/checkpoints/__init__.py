"""Checkpoints of queries that read Kinesis, as files: shown to people, and changed in a copy."""
