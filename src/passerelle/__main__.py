"""`python -m passerelle` is the command `passerelle`."""

from passerelle.cli import main

main()
