"""Numbers for Prometheus, read from the database when they are asked for, so that they are right after a restart, too.

docs/how-to/monitoring.md shows how to scrape them, and rules worth to be alerted by.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection

import passerelle
from passerelle.core.states import FileState, MovieState, TransferState
from passerelle.service.alerts import disk_use
from passerelle.service.housekeeping import Housekeeping
from passerelle.store import notices, purges, tallies
from passerelle.store.notices import NoticeState

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BOUNDS = (5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)  # seconds


def exposition(keeping: Housekeeping, *, pages: Mapping[str, float] | None = None) -> bytes:
    """Return all numbers as text for Prometheus. pages: of the web server, by name, with the unit in it.

    Raises:
        Busy, StorageError: the database cannot be used now.
    """
    registry = CollectorRegistry(auto_describe=False)
    found = list(_all(keeping, pages or {}))
    registry.register(_Found(found))
    return generate_latest(registry)


class _Found(Collector):
    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def _all(keeping: Housekeeping, pages: Mapping[str, float]) -> Iterator[Metric]:
    build = GaugeMetricFamily("passerelle_build_info", "The version that runs.", labels=["version"])
    build.add_metric([passerelle.__version__], 1.0)
    yield build
    names = list(keeping.parts.instruments)
    with keeping.parts.database.read() as connection:
        yield from _flow(connection, names)
        yield from _transfers(connection)
        yield from _care(connection)
    yield from _buffer(keeping)
    yield from _work(keeping)
    for name, value in pages.items():
        yield GaugeMetricFamily(f"passerelle_{name}", "Of the web server.", value=value)


def _flow(connection: Connection, names: list[str]) -> Iterator[Metric]:
    now = time.time()
    for kind, states, counts in (
        ("movies", MovieState, tallies.movies_by_state(connection)),
        ("files", FileState, tallies.files_by_state(connection)),
    ):
        family = GaugeMetricFamily(f"passerelle_{kind}", f"{kind.capitalize()} by state.", labels=["instrument", "state"])
        for name in names:
            for state in states:
                family.add_metric([name, state.value], counts.get((name, state.value), 0))
        yield family
    oldest = tallies.oldest_waiting(connection)
    backlog = GaugeMetricFamily(
        "passerelle_backlog_oldest_seconds", "Age of the oldest movie without its result; 0: none waits.", labels=["instrument"]
    )
    for name in names:
        backlog.add_metric([name], max(0.0, now - oldest[name]) if name in oldest else 0.0)
    yield backlog
    latest = tallies.latest_files(connection)
    came = GaugeMetricFamily("passerelle_last_file_timestamp_seconds", "When the latest file came.", labels=["instrument"])
    for name in names:
        if name in latest:
            came.add_metric([name], latest[name])
    yield came
    latency = HistogramMetricFamily(
        "passerelle_latency_seconds", "From a movie's file being whole to its result.", labels=["instrument"]
    )
    for name, each in tallies.latencies(connection, _BOUNDS).items():
        buckets = [(f"{bound:g}", count) for bound, count in zip(_BOUNDS, each.counts, strict=True)]
        latency.add_metric([name], [*buckets, ("+Inf", each.total)], sum_value=each.seconds)
    yield latency


def _transfers(connection: Connection) -> Iterator[Metric]:
    counts = tallies.transfers_by_state(connection)
    family = GaugeMetricFamily("passerelle_transfers", "Transfers to zones by state.", labels=["state"])
    for state in TransferState:
        family.add_metric([state.value], counts.get(state.value, 0))
    yield family
    yield CounterMetricFamily("passerelle_copied_bytes", "Copied by all transfers.", value=tallies.copied_bytes(connection))


def _care(connection: Connection) -> Iterator[Metric]:
    standing = tallies.alerts_by_level(connection)
    family = GaugeMetricFamily("passerelle_alerts", "Alerts that stand, by level; muted ones count.", labels=["level"])
    for level in ("info", "warning", "error"):
        family.add_metric([level], standing.get(level, 0))
    yield family
    counts = notices.counts(connection)
    outbox = GaugeMetricFamily("passerelle_notices", "Notices of the last 90 days by state.", labels=["state"])
    for state in NoticeState:
        outbox.add_metric([state.value], counts.get(state, 0))
    yield outbox
    files, size = purges.totals(connection)
    yield CounterMetricFamily("passerelle_purged_files", "Deleted from gateway folders by rule.", value=files)
    yield CounterMetricFamily("passerelle_purged_bytes", "Deleted from gateway folders by rule.", value=size)


def _buffer(keeping: Housekeeping) -> Iterator[Metric]:
    free = GaugeMetricFamily("passerelle_disk_free_bytes", "Room on a disk.", labels=["place"])
    total = GaugeMetricFamily("passerelle_disk_size_bytes", "Size of a disk.", labels=["place"])
    rate = GaugeMetricFamily(
        "passerelle_buffer_inflow_bytes_per_second", "What comes into a gateway folder.", labels=["instrument"]
    )
    stop = GaugeMetricFamily(
        "passerelle_buffer_stop_line_seconds", "Until the stop line is reached at this rate.", labels=["instrument"]
    )
    for view in keeping.buffer.state():
        free.add_metric([view.instrument], view.free_bytes)
        total.add_metric([view.instrument], view.total_bytes)
        if view.bytes_per_hour is not None:
            rate.add_metric([view.instrument], view.bytes_per_hour / 3600.0)
        if view.hours_to_stop is not None:
            stop.add_metric([view.instrument], view.hours_to_stop * 3600.0)
    places = keeping.parts.places
    for place, folder in (("results", places.results), ("state", places.state)):
        use = disk_use(folder)
        if use is not None:
            free.add_metric([place], use.free_bytes)
            total.add_metric([place], use.total_bytes)
    yield from (free, total, rate, stop)


def _work(keeping: Housekeeping) -> Iterator[Metric]:
    loop = keeping.loop
    runs = loop is not None and loop.alive and loop.error is None
    yield GaugeMetricFamily("passerelle_loop_alive", "Whether movies are taken up.", value=float(runs))
    yield GaugeMetricFamily(
        "passerelle_workers", "Movies that can be processed at a time.", value=loop.executor.capacity if loop is not None else 0
    )
