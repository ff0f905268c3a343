"""Measurements of the source, apart from its tests: see ``python -m bench.run --help``."""
