"""When a file was last changed, on the monotonic clock: file times are of a clock that may be set, or of another machine's."""

from __future__ import annotations

from passerelle.gateway.records import Moment, Seen


class FileClock:
    """Tells the times of files on the monotonic clock. same_clock: they are on this machine's clock.

    believed_after_seconds: how long past a time of another machine's clock must be to be believed.
    """

    def __init__(self, *, same_clock: bool, believed_after_seconds: float) -> None:
        self._same_clock = same_clock
        self._believed_after_seconds = believed_after_seconds
        self._difference: float | None = None
        self._set_at = float("-inf")

    def changed_at(self, seen: Seen, now: Moment) -> float:
        """Return when a file was last changed, at the latest now. ctime counts: nobody can set it, as copiers set mtime.

        Times of another machine's clock are believed only where they are long past, and none from before this machine's clock
        was set anew: then its two clocks are further apart, or less far.
        """
        difference = now.utc - now.mono
        if self._difference is not None and abs(difference - self._difference) > 1.0:
            self._set_at = now.mono
        self._difference = difference
        age = now.utc - seen.changed_utc
        if age <= 0:
            return now.mono
        if self._same_clock or age > self._believed_after_seconds:
            return max(now.mono - age, self._set_at)
        return now.mono
