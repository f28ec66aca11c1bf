"""The configuration of transfers to zones."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from passerelle.core.config import Section


class TransferSettings(Section):
    """How datasets are sent to zones."""

    at_a_time: int = Field(
        default=2, ge=1, le=64, description="So many transfers run at a time; others wait, in turns of people."
    )
    following_at_a_time: int = Field(
        default=8, ge=1, le=256, description="So many transfers, beside these, may follow acquisitions that still write."
    )
    quiet_minutes: float = Field(
        default=60.0,
        gt=0,
        description="A transfer that follows a folder without a session ends when nothing has come for so long.",
    )
    processes: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Processes of one transfer for what comes in many files; 0: one more than processors, three at most.",
    )
    hand: Path | None = Field(
        default=None,
        description="Where root's hand listens (`passerelle hand`), by which a service that is not root writes as the owners of "
        "zones.",
        examples=["/run/passerelle-hand/socket"],
    )
    leave_free_percent: float = Field(
        default=1.0, ge=0, le=50, description="So much of a zone's disk is left free; what would not fit is not begun."
    )
