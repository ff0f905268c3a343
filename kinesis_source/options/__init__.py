"""What a user may set: one table of options, and the typed settings made from it."""
