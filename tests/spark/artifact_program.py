"""Reads a stream through Spark Connect whose server's Python lacks the package.

A program, started by test_connect.py: ``artifact_program.py <options as JSON> <folder of the
package> [<zip>]``. The client imports the package from the folder; the server's workers get the
zip, if there is one, as an artifact of the session. Prints one line: what came of it.
"""

from __future__ import annotations

import json
import sys

from pyspark.sql import SparkSession

sys.path.insert(0, sys.argv[2])  # not PYTHONPATH, which the server would inherit
from kinesis_source import register

spark = SparkSession.builder.remote("local[2]").getOrCreate()
for shipped in sys.argv[3:]:
    spark.addArtifact(shipped, pyfile=True)
try:
    register(spark)
    options = json.loads(sys.argv[1])
    frame = spark.readStream.format("tecton-kinesis").options(**options).load()
    query = frame.writeStream.format("memory").queryName("seen").trigger(availableNow=True).start()
    query.awaitTermination(150)
    streamed = spark.table("seen").count()
    del options["initialPosition"]
    read = spark.read.format("tecton-kinesis").options(**options).load().count()
    sys.stdout.write(f"GIVEN {streamed} {read}\n")
except Exception as error:  # noqa: BLE001 - the test looks at it
    sys.stdout.write("GIVEN " + " ".join(str(error).split()) + "\n")
