"""The executors' way into a stream: rows to PutRecords calls."""
