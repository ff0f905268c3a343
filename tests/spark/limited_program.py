"""Reads many shards in a Spark of its own whose Python workers have little memory.

A program, started by test_limited_workers.py: ``limited_program.py <options as JSON>``. Prints how
many rows it read.
"""

from __future__ import annotations

import json
import sys

from pyspark.sql import SparkSession

CONF = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    # Half of it for each of two workers, as a limit of their address space.
    "spark.executor.pyspark.memory": "2g",
}

builder = SparkSession.builder.master("local[2]")
for name, value in CONF.items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
frame = spark.readStream.format("tecton-kinesis").options(**json.loads(sys.argv[1])).load()
query = frame.writeStream.format("memory").queryName("seen").trigger(availableNow=True).start()
query.awaitTermination(120)
sys.stdout.write(f"rows: {spark.table('seen').count()}\n")
spark.stop()
