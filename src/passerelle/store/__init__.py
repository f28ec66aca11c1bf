"""Rows to values and back; SQLite and PostgreSQL equal. Decides nothing."""
