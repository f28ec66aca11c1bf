"""passerelle: from the microscope to a structure and to the tape."""

__version__: str

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """Look the version up when it is asked for: that takes longer than all else a worker process of a copy imports."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("passerelle")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
