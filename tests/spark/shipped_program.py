"""Reads a stream with a package that did not come by an installation into the workers' Python.

A program, started by test_shipped_package.py: ``shipped_program.py <options as JSON> [<zip>]``.
With a zip it runs in a Spark of its own and ships that; without, under spark-submit, which did.
Prints how many rows a stream and a batch gave, or what the query died of.
"""

from __future__ import annotations

import json
import sys

from pyspark.sql import SparkSession

builder = SparkSession.builder
if len(sys.argv) > 2:
    builder = builder.master("local[2]")
for name in ("spark.driver.host", "spark.driver.bindAddress"):
    builder = builder.config(name, "127.0.0.1")
spark = builder.config("spark.ui.enabled", "false").getOrCreate()
if len(sys.argv) > 2:
    spark.sparkContext.addPyFile(sys.argv[2])

from kinesis_source import register  # noqa: E402 - it came just now

register(spark)
options = json.loads(sys.argv[1])
frame = spark.readStream.format("tecton-kinesis").options(**options).load()
query = frame.writeStream.format("memory").queryName("seen").trigger(availableNow=True).start()
try:
    query.awaitTermination(150)
    sys.stdout.write(f"rows: {spark.table('seen').count()}\n")
    del options["initialPosition"]
    batch = spark.read.format("tecton-kinesis").options(**options).load()
    sys.stdout.write(f"rows of a batch: {batch.count()}\n")
finally:
    spark.stop()
