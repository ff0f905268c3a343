"""Spark's protocols, thin: they decide nothing."""
