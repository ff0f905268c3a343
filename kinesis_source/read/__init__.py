"""Executors: the records of the ranges that the driver planned."""
