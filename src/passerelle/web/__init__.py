"""The pages: thin routes over `ports.Status`, server-sent events for what changes, plots in the browser."""

from passerelle.web.app import create_app
from passerelle.web.ports import Status

__all__ = ["Status", "create_app"]
