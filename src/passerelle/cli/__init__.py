"""The command `passerelle`."""
