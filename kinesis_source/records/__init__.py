"""Records as Spark sees them: the schema, KPL de-aggregation, Arrow batches. No AWS, no I/O."""
