"""IAM policies that the source needs: documents, and the forms in which they are handed over."""
