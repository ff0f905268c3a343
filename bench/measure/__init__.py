"""One module for each thing that is measured; each has ``measure(quick: bool) -> list[Figure]``.

Any of them runs alone, ``python -m bench.measure.<name> [--quick] [--json FILE]``, and all together
by ``python -m bench.run``.
"""
