"""Everything that talks to AWS. Knows nothing of Spark; the only room that imports botocore."""
