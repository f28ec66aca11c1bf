"""External programs: command line from values, values from output. `run` is the only place that starts a process."""

from passerelle.programs.run import run

__all__ = ["run"]
