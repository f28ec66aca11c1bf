"""Send many requests from one process, and keep what broke a rule. `python -m tests.attack.run --seed 1 --count 1000`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import resource
import shutil
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from fastapi.routing import iter_route_contexts
from starlette.routing import Match

from passerelle.testing.bench import MOVIE
from tests.attack.crawl import Form, crawl
from tests.attack.drive import Answer, Request, ask
from tests.attack.fuzz import Attacker
from tests.attack.rules import Rules
from tests.attack.shrink import shrunk
from tests.attack.table import table_of
from tests.attack.world import OUTSIDE, SECRET, World

MEND_EVERY = 400
GOOD = {
    "session_id": ["1"],
    "movie_id": ["1"],
    "alert_id": ["1", "2"],
    "transfer_id": ["1", "2", "3"],
    "instrument": ["krios"],
    "square": ["", "GridSquare_1"],
    "selection": ["whole", "accepted"],
    "source": ["", "s1", "s1", "../outside", "s1/Images-Disc1"],
    "folder": ["", "datasets/x", "datasets/y", "../x", "/etc", "way-out"],
    "role": ["sum", "thumbnail", "spectrum"],
    "name": ["carl", "oona", "ann", "oona-data", "carl-data", "krios", "nobody"],
    "zones.name": ["oona-data", "carl-data", "daemon-data", "krios"],
    "zones.path": ["", "plain.txt", "folder", "folder/plain.txt", "way-out.txt", "page.html", "picture.svg"],
    "instruments.name": ["krios"],
    "instruments.path": ["", "s1", "s1/Images-Disc1", "s1/Images-Disc1/GridSquare_1/Data", MOVIE],
    "people.name": ["carl", "oona", "rita", "daemon"],
    "zone": ["daemon-data", "oona-data", "carl-data", "krios"],
    "path": ["", "plain.txt", "folder", "folder/plain.txt", "way-out/secret.txt", "way-out.txt", "pipe", "../outside/secret.txt"],
    "password": ["thick maple orbit lantern"],
    "old": ["seven brisk otters paddle", "thick maple orbit lantern"],
    "new": ["thick maple orbit lantern"],
    "again": ["thick maple orbit lantern"],
    "next": ["/", "/alerts"],
}


@dataclass(slots=True)
class Outcome:
    """What came of many requests. broken: lines; reached: routes that answered somebody well."""

    requests: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    slowest: float = 0.0
    grown_mib: float = 0.0
    heaviest_mib: float = 0.0
    statuses: dict[str, int] = field(default_factory=dict)
    reached: list[str] = field(default_factory=list)
    unreached: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def attack(folder: Path, seed: int, numbers: Iterable[int], *, weighed: bool = False, most_broken: int = 20) -> Outcome:
    """Send the requests of these numbers to a facility in `folder`. weighed: look at the memory that each one takes."""
    logging.disable(logging.CRITICAL)  # libraries tell of each bad body
    structlog.configure(
        processors=[structlog.dev.ConsoleRenderer()], wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )
    return asyncio.run(_attack(folder, seed, list(numbers), weighed, most_broken))


async def _attack(folder: Path, seed: int, numbers: list[int], weighed: bool, most_broken: int) -> Outcome:
    world = World(folder)
    app = world.app
    async with app.router.lifespan_context(app):
        attacker = Attacker(table_of(app), GOOD, list(await _forms(world)), seed=seed)
        rules = Rules(folder, (SECRET, OUTSIDE))
        outcome = Outcome(requests=len(numbers))
        statuses: Counter[str] = Counter()
        reached: set[str] = set()
        begin, cpu = time.perf_counter(), time.process_time()
        memory = 0
        for done, number in enumerate(numbers):
            if done % MEND_EVERY == 0:
                world.mend()
            if done == len(numbers) // 5:  # caches are filled by now
                memory = _memory()
            who = attacker.who(number)
            request = attacker.request(number, world.credentials(who))
            answer = await (_weighed(app, request) if weighed and done > MEND_EVERY else ask(app, request))
            outcome.heaviest_mib = max(outcome.heaviest_mib, answer.peak_bytes / 2**20)
            statuses[f"{answer.status}"] += 1
            outcome.slowest = max(outcome.slowest, answer.seconds)
            if broken := rules.broken(request, answer):
                broken = await _again_if_slow(app, request, broken, rules)
            if broken and all(words.startswith("tells") for words in broken):
                world.mend()  # an admin may have let them in meanwhile
                request = attacker.request(number, world.credentials(who))
                broken = rules.broken(request, await ask(app, request))
            if broken:
                outcome.broken.append(await _told(app, rules, request, broken, seed, number))
                if len(outcome.broken) >= most_broken:
                    break
            if answer.status < 400 and len(reached) < len(attacker.table):
                reached |= {route_of(app, request)} & {str(entry) for entry in attacker.table}
        outcome.seconds, outcome.cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
        outcome.grown_mib = (_memory() - memory) / 1024
        outcome.statuses = dict(statuses)
        outcome.reached = sorted(reached)
        outcome.unreached = sorted(str(entry) for entry in attacker.table if str(entry) not in reached)
    world.close()
    return outcome


async def _weighed(app: Any, request: Request) -> Answer:
    tracemalloc.start()
    try:
        answer = await ask(app, request)
        answer.peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return answer


async def _forms(world: World) -> set[Form]:
    found: set[Form] = set()
    for who in ("nobody", "carl", "oona", "olga", "dora", "ann", "nina", "daemon"):
        found |= (await crawl(world.app, (*world.credentials(who), (b"accept", b"text/html")))).forms
    return {form for form in found if form.target.startswith("/")}


def route_of(app: Any, request: Request) -> str:
    """Return which entry of the table a request belongs to; empty where it is none."""
    scope = {"type": "http", "path": request.path, "method": request.method, "root_path": "", "headers": []}
    for context in iter_route_contexts(app.routes):
        if context.methods and context._effective_route.matches(scope)[0] is Match.FULL:  # type: ignore[union-attr]
            return f"{request.method} {context.path}"
    return ""


async def _again_if_slow(app: Any, request: Request, broken: list[str], rules: Rules) -> list[str]:
    """A machine that others work on, too, may be slow once: what is slow is slow each time."""
    for _ in range(2):
        if broken and all(words.startswith("took") for words in broken):
            broken = rules.broken(request, await ask(app, request))
    return broken


async def _told(app: Any, rules: Rules, request: Request, broken: list[str], seed: int, number: int) -> str:
    async def fails(smaller: Request) -> bool:
        answer: Answer = await ask(app, smaller)
        return any(words[:12] == first[:12] for words in rules.broken(smaller, answer) for first in broken)

    small = await shrunk(request, fails)
    return f"seed {seed}, number {number}, as {request.who}: {'; '.join(broken)}\n    {small!r}"


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--weighed", action="store_true")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    try:
        numbers = range(asked.first, asked.first + asked.count * asked.step, asked.step)
        outcome = attack(folder, asked.seed, numbers, weighed=asked.weighed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    json.dump({name: getattr(outcome, name) for name in Outcome.__slots__}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
