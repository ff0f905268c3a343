"""Comparison with connectors that a user could pick instead: ``make bench-peers``.

Every contender reads the same backlog from the same replay server into Spark's noop sink, in a
process tree of its own, in turn with the others. Measured from outside, so that what is not Spark's
or the source's own counts as well: CPU and memory of the whole tree.

- ``run``: the rounds, the table, the file.
- ``turn``: one contender's query, once.
- ``results``: turns to figures.
- ``contenders``: who takes part, with which options.
- ``installed``: makes what a contender needs, in ``.bench-peers/``.
- ``spark_program``: one query, run by the contender's own Python; imports nothing of this package.
- ``process_tree``: CPU and memory of all processes of a session.
"""
