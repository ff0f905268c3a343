"""Can Spark read this stream? Checks, each of one thing, here and in Spark's own processes."""
