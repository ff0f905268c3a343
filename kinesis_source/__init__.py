"""Read Amazon Kinesis from Apache Spark Structured Streaming, exactly once, in pure Python."""
