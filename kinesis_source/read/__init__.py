"""Spark reads: planning on the driver, reading on the executors."""
