"""The pages: thin routes over `ports.Facility`, server-sent events for what changes, plots in the browser."""

from passerelle.web.app import create_app
from passerelle.web.ports import Facility, Status

__all__ = ["Facility", "Status", "create_app"]
