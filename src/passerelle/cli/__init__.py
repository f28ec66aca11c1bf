"""The command `passerelle`: parse, call one verb of the service, show."""

from passerelle.cli.app import main

__all__ = ["main"]
