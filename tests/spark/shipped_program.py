"""Reads a stream with a package that only came as a zip, in a Spark of its own.

A program, started by test_shipped_package.py: ``shipped_program.py <zip> <options as JSON>``, by
a Python that does not have the package. Prints how many rows it read, or what the query died of.
"""

from __future__ import annotations

import json
import sys

from pyspark.sql import SparkSession

builder = SparkSession.builder.master("local[2]")
for name in ("spark.driver.host", "spark.driver.bindAddress"):
    builder = builder.config(name, "127.0.0.1")
spark = builder.config("spark.ui.enabled", "false").getOrCreate()
spark.sparkContext.addPyFile(sys.argv[1])

from kinesis_source import register  # noqa: E402 - it came just now

register(spark)
frame = spark.readStream.format("tecton-kinesis").options(**json.loads(sys.argv[2])).load()
query = frame.writeStream.format("memory").queryName("seen").trigger(availableNow=True).start()
try:
    query.awaitTermination(150)
    sys.stdout.write(f"rows: {spark.table('seen').count()}\n")
finally:
    spark.stop()
