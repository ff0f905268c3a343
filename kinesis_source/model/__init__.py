"""Pure values shared by driver and executors: no I/O, no clock, no AWS, no Spark."""
