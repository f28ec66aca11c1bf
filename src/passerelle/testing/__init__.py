"""Shipped, never imported at run time: contract suites and fakes."""
