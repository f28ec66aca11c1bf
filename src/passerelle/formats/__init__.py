"""Bytes to arrays and back, through the field's libraries: one MovieReader protocol, frames as (t, y, x)."""
