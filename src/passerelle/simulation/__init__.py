"""A microscope that can be trusted: writes sessions with known truth."""
