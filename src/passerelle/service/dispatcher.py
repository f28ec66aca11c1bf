"""The loop of the service: the watch hands arrivals on, this thread starts work, records results and keeps the alerts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from passerelle.compute.rehearse import Rehearsal
from passerelle.core.errors import PasserelleError, Retry
from passerelle.core.log import logger
from passerelle.gateway import Watch
from passerelle.pipeline import Executor, Pass, Runner
from passerelle.service.alerts import Guard
from passerelle.service.arrivals import Arrivals
from passerelle.service.recompressor import Recompressor
from passerelle.service.sealer import Sealer
from passerelle.store import Database, movies

_LONGEST_WAIT_SECONDS = 5.0
_TICK_SECONDS = 1.0


class Dispatcher:
    """Turns arrivals into results until it is stopped. One thread of its own; `wake` may be called from any."""

    def __init__(
        self,
        database: Database,
        arrivals: Arrivals,
        runner: Runner,
        executor: Executor,
        *,
        watch: Watch | None,
        guard: Guard | None,
        rehearsal: Rehearsal | None = None,
        recompressor: Recompressor | None = None,
        sealer: Sealer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database = database
        self.arrivals = arrivals
        self.runner = runner
        self.executor = executor
        self.watch = watch
        self.guard = guard
        self.rehearsal = rehearsal
        self.recompressor = recompressor
        self.sealer = sealer
        self._error: PasserelleError | None = None
        self._refusal = ""
        self._clock = clock
        self._event = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        arrivals.wake = self.wake
        executor.on_ended(self.wake)

    @property
    def error(self) -> PasserelleError | None:
        """What ended the loop or the watch from within; None while all is well."""
        if self._error is None and self._thread.ident is not None and not self.alive and not self._stop.is_set():
            return PasserelleError("The loop met a fault of the program and ended.", advice="The log tells where; start again.")
        return self._error or (self.watch.error if self.watch is not None else None)

    @property
    def obstacles(self) -> tuple[str, ...]:
        """Why work that there is does not go on, in sentences that say what to do; empty while all is well."""
        away = [f"The folder of {name} cannot be read: {why}" for name, why in self.arrivals.reach.away.items()]
        watch = "" if self.watch is None else self.watch.waits_for
        guard = "" if self.guard is None else self.guard.waits_for
        return tuple(dict.fromkeys(filter(None, (self._refusal, watch, guard, self.runner.waits_for, *away))))

    @property
    def alive(self) -> bool:
        """Whether the loop runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Take up what a former run left, then begin to watch and to work. Returns at once.

        Raises:
            Busy, StorageError: the database cannot be used now.
        """
        self.runner.reconcile(self._clock())
        self.arrivals.resume()
        if self.watch is not None:
            self.watch.start()
        if self.rehearsal is not None:
            self.rehearsal.start()
        if self.recompressor is not None:
            self.recompressor.start()
        if self.sealer is not None:
            self.sealer.start()
        self._thread.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Stop watching and starting work. What runs is abandoned and taken up by the next start."""
        self._stop.set()
        self.wake()
        if self.watch is not None:
            self.watch.stop(timeout_seconds)
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        if self.rehearsal is not None:
            self.rehearsal.stop()
        if self.recompressor is not None:
            self.recompressor.stop(timeout_seconds)
        if self.sealer is not None:
            self.sealer.stop(timeout_seconds)
        self.executor.close()

    def wake(self) -> None:
        """Have the loop look at once."""
        self._event.set()

    def step(self) -> Pass:
        """Make one pass. For callers that have no thread of their own for it, as `passerelle process`.

        Raises:
            Busy, StorageError: the database cannot be used now; call again later.
        """
        now = self._clock()
        self.arrivals.look_again(now)
        start = True
        if self.guard is not None:
            start = self.guard.look(now)
        return self.runner.step(now, start=start)

    def _run(self) -> None:
        backoff = 0.1
        while not self._stop.is_set():
            self._event.clear()
            try:
                self.step()
            except PasserelleError as error:
                if error.retry is Retry.NEVER:
                    self._error = error
                    logger.error("dispatcher_ended", error=str(error))
                    return
                self._refusal = str(error)
                logger.warning("dispatcher_waits", error=str(error), seconds=backoff)
                self._stop.wait(backoff)
                backoff = min(2 * backoff, _LONGEST_WAIT_SECONDS)
                self._recover()
                continue
            backoff, self._refusal = 0.1, ""
            self._event.wait(self._wait_seconds())

    def _recover(self) -> None:
        """After the database failed in the middle of a pass: rows that say running, and nobody runs them, are queued again."""
        try:
            self.runner.reconcile(self._clock(), sweep=False)
        except PasserelleError as error:
            logger.warning("dispatcher_waits", error=str(error))

    def _wait_seconds(self) -> float:
        now = self._clock()
        wakes = [self.arrivals.next_look()]
        try:
            with self.database.read() as connection:
                wakes.append(movies.next_wake(connection, now=now))
        except PasserelleError:
            pass
        until = min((wake for wake in wakes if wake is not None), default=now + _TICK_SECONDS)
        return min(max(until - now, 0.01), _TICK_SECONDS)
