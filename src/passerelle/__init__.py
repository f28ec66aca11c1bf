"""passerelle: from the microscope to a structure and to the tape."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("passerelle")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
