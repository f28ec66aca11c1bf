"""External programs: command line from values, values from output. `run` is the only place that starts a process."""

from passerelle.programs.installed import KINDS, Installed, find_program, program_file
from passerelle.programs.run import Conversation, Ended, last_words, run, run_to_end

__all__ = ["KINDS", "Conversation", "Ended", "Installed", "find_program", "last_words", "program_file", "run", "run_to_end"]
