"""The verbs of the facility. `flow` says what follows what; `wiring` turns configuration into objects."""
