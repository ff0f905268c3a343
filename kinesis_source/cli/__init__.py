"""The command ``kinesis-source``."""
