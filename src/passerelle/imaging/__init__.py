"""Arrays to arrays: the mathematics of the field. No path, no configuration, no database in here."""
