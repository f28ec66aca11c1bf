"""The configuration of the buffer and of notices."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from passerelle.core.config import Section

_PATTERN = re.compile(r"[a-z0-9_*]{1,40}")


class BufferSettings(Section):
    """The room of gateway folders: when it is scarce, and by which rule files that are safe elsewhere may go."""

    purge: bool = Field(
        default=False, description="Purge by this rule without being asked. Without it, a person purges by hand, after a dry run."
    )
    age_days: float = Field(
        default=14.0, ge=0, description="Files may go so long after their session was closed, or their dataset fell quiet."
    )
    quiet_days: float = Field(
        default=3.0, ge=0, description="A dataset whose session nobody has closed counts as ended after so long without a change."
    )
    copies: int = Field(
        default=1, ge=1, le=3, description="So many verified copies of a file must be on record, each in another zone."
    )
    verify_target: bool = Field(
        default=False, description="Read each copy again from its medium before the file goes; otherwise its size and time count."
    )
    purge_above_percent: float = Field(
        default=70.0, ge=0, le=100, description="Purging without being asked begins when the disk is so full, the oldest first."
    )
    stop_percent: float = Field(
        default=95.0, gt=0, le=100, description="The stop line: forecasts and alarms count to this fill, not to the last byte."
    )
    warn_hours: float = Field(default=12.0, ge=0, description="Warning when the stop line is so near at this rate; 0: never.")
    error_hours: float = Field(default=3.0, ge=0, description="Error when it is so near; 0: never.")


class ReceiverSettings(Section):
    """Who gets which notices. NAME stands in notices.urls_file; one that is not named here gets all warnings and errors."""

    least_level: Literal["info", "warning", "error"] = Field(default="warning", description="Nothing below this level.")
    kinds: tuple[str, ...] = Field(
        default=("*",), description="Only these kinds of alerts; * stands for any letters.", examples=[["disk_*", "buffer_*"]]
    )
    not_kinds: tuple[str, ...] = Field(default=(), description="And none of these kinds.", examples=[["bounds_*"]])

    @field_validator("kinds", "not_kinds")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if not _PATTERN.fullmatch(each):
                raise ValueError(f"is a kind of alert, of small letters, digits, _ and *: {each!r}")
        return value


class NoticeSettings(Section):
    """Alerts and ends of transfers by mail and chat (apprise)."""

    urls_file: Path | None = Field(
        default=None,
        description="File with one receiver a line, `NAME URL`, as apprise knows URLs; {mail} in one stands for a person's "
        "address. It holds secrets: nobody but the service may read it.",
        examples=["/etc/passerelle/notices.urls"],
    )
    to: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")], ReceiverSettings] = Field(
        default={}, description="One section a receiver, [notices.to.NAME], for who does not get everything."
    )
    link: str = Field(
        default="", description="Address of the pages, for links in notices.", examples=["https://krios.institute.org"]
    )
    again_hours: float = Field(default=24.0, ge=0, description="An alert that still stands is told of again after so long.")
    not_again_minutes: float = Field(
        default=30.0, ge=0, description="An alert of the same kind that comes back is not told of again before so long."
    )
    give_up_hours: float = Field(default=24.0, gt=0, description="A notice that cannot be sent for so long is given up.")
