"""Tells Spark nothing yet."""
