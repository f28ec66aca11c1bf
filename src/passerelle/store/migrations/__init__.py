"""The migrations: each takes the schema one step further; none is ever changed after its release."""
