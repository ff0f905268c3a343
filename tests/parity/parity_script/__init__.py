"""One script of Kinesis and STS calls, to be run against two emulators and compared.

Each observation is a function that takes a :class:`~.witness.Witness` and returns what
a caller would notice, free of generated values: counts, orders, roles of shards, error codes.
"""
