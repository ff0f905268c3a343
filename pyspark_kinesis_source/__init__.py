"""Lets Spark find ``format("tecton-kinesis")`` without a register call.

At the first use of any Python data source Spark imports every top-level module named ``pyspark_*``
and registers its ``DefaultSource``. One such module that fails to import switches this off for all
packages, so nothing here may raise: where the source cannot be imported there is no DefaultSource,
and ``kinesis_source.register(spark)`` shows the reason.
"""

from __future__ import annotations

__all__: list[str] = []

try:
    from kinesis_source.datasource import KinesisDataSource as DefaultSource

    __all__ += ["DefaultSource"]
except Exception:  # noqa: BLE001, S110 - see above: this import must never fail
    pass
