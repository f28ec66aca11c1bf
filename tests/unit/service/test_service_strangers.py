"""Every verb of the service that takes who asks, called by a stranger for what is another's: refused, not found, or empty.

The verbs are read from the service itself. A verb that is added is called here without a new line; where it takes a value that
nobody can guess, it fails until `GIVEN` says one.
"""

from __future__ import annotations

import contextlib
import enum
import inspect
import types
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from sqlalchemy import select

from passerelle.core.errors import NotAllowed, NotFound, PasserelleError
from passerelle.service.access import Actor, Power, Through, this_account
from passerelle.store.tables import metadata
from passerelle.zones import Relation, Who, ZoneAct, ZoneKind
from tests.attack.world import OUTSIDE, OWNED, SECRET, World

OWNER, STRANGER, KEEPER = "oona", "carl", "ann"

# values by the verb's subject and the parameter's name, or by the name alone
GIVEN: dict[str, Any] = {
    "people.name": OWNER,
    "log_ins.name": OWNER,
    "tokens.person": OWNER,
    "tokens.name": "for a script",
    "tokens.scopes": [Power.LOOK],
    "token_id": 1,
    "zones.name": OWNED,
    "zones.kind": ZoneKind.PERSONAL,
    "zones.act": ZoneAct.READ,
    "zones.create.name": "made-here",
    "people.create.name": "madehere",
    "owner": OWNER,
    "readers": Who.of([STRANGER]),
    "password": "thick maple orbit lantern",
    "new": "other maple orbit lantern",
    "mail": "a@example.org",
    "full_name": "Somebody Else",
    "description": "words of a stranger",
    "path": "plain.txt",
    "files.name": OWNED,
    "files.folder.path": "folder",
    "items": [],
    "whom": STRANGER,
    "relation": Relation.READER,
    "zones.browse.path": "folder",
    "days": 1.0,
    "hours": 1.0,
    "session_id": 1,
    "movie_id": 1,
    "alert_id": 1,
    "login_id": None,
    "mute_id": 1,
    "verdict": None,
    "changes": {},
    "thresholds": {},
    "live.output_path.role": "sum",
    "live.limit": 100,
    "square_id": None,
    "transfer_id": 1,
    "transfers.retry.transfer_id": 2,
    "transfers.certificate.transfer_id": 3,
    "transfers.person": OWNER,
    "zone": OWNED,
    "instrument": "krios",
    "source": "s1",
    "datasets.name": "krios/s1",
    "dataset": lambda world: world.facility.datasets.find(this_account(), "krios", "s1"),
    "event_id": 0,
    "after": "",
}
# a person may always do these, and they touch nothing of another's: log out is of oneself
OF_ONESELF = {"log_ins.log_out"}
# nobody of this facility is answered: there is no such thing here, no configuration for it, no such account on this machine
NOT_HERE = {"shares.apply", "shares.status", "live.grid_picture", "live.output_path", "notices.send_test", "transfers.send"}
# words that are another's, wherever they stand
WORDS = (OWNED, SECRET, OUTSIDE, "Words of oona", "FoilHole")


def _verbs(world: World, actor: Actor) -> Iterator[tuple[str, Callable[..., Any], bool]]:
    """Yield the name of each verb, the verb, and whether it is told who asks at each call."""
    for subject, holder in sorted(vars(world.facility).items()):
        if subject.startswith("_") or not type(holder).__module__.startswith("passerelle.service"):
            continue
        for name, function in inspect.getmembers(type(holder), inspect.isfunction):
            if not name.startswith("_") and "actor" in inspect.signature(function).parameters:
                yield f"{subject}.{name}", getattr(holder, name), True
    live = world.facility.live(actor)
    for name, _ in inspect.getmembers(type(live), inspect.isfunction):
        if not name.startswith("_"):
            yield f"live.{name}", getattr(live, name), False


def _call(world: World, actor: Actor, verb: str, method: Callable[..., Any], takes_actor: bool) -> Any:
    """Call a verb for what is oona's; look at all of what it yields, too."""
    hints = get_type_hints(method)
    values: dict[str, Any] = {}
    for name, param in inspect.signature(method).parameters.items():
        if name in ("actor", "at"):
            continue
        known = next((key for key in (f"{verb}.{name}", f"{verb.partition('.')[0]}.{name}", name) if key in GIVEN), None)
        if known is not None:
            values[name] = GIVEN[known](world) if callable(GIVEN[known]) else GIVEN[known]
        elif param.default is inspect.Parameter.empty:
            values[name] = _guessed(verb, name, hints.get(name))
    made = method(actor, **values) if takes_actor else method(**values)
    if isinstance(made, contextlib.AbstractContextManager):
        with made as inner:
            return inner
    if isinstance(made, Future):
        return made.result(20)
    return list(made) if isinstance(made, types.GeneratorType) else made


def _guessed(verb: str, name: str, hint: Any) -> Any:
    options = (
        [each for each in get_args(hint) if each is not type(None)] if get_origin(hint) in (Union, types.UnionType) else [hint]
    )
    for kind in options:
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return next(iter(kind))
        if kind in (int, float, str, bool):
            return kind("1") if kind is not bool else True
    pytest.fail(f"{verb} takes `{name}`: say in GIVEN what a stranger would send")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


def _state(world: World) -> dict[str, list[Any]]:
    """Everything that is on record, but for what was refused, and when somebody was seen."""
    beside = {"audit", "login_failures", "logins", "tokens"}
    with world.parts.database.read() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in metadata.sorted_tables
            if table.name not in beside
        }


def _files(folder: Path) -> list[tuple[str, int, int]]:
    return sorted((str(path), path.lstat().st_mode, path.lstat().st_size) for path in folder.rglob("*"))


def test_no_verb_shows_or_changes_what_is_anothers(world: World) -> None:
    stranger = world.actor(STRANGER)
    before, files = _state(world), _files(world.folder / "zones")
    told: list[str] = []
    called = 0
    for verb, method, takes_actor in _verbs(world, stranger):
        called += 1
        try:
            made = _call(world, stranger, verb, method, takes_actor)
        except (NotAllowed, NotFound):
            continue
        except PasserelleError as problem:
            told.append(f"{verb}: {problem} is neither `not allowed` nor `not found`")
            continue
        if any(word in repr(made) for word in WORDS):
            told.append(f"{verb} shows what is another's: {made!r:.300}")
    assert not told, "\n".join(told)
    assert called > 45
    changed = {name for name, rows in _state(world).items() if rows != before[name]}
    assert not changed and _files(world.folder / "zones") == files


def test_the_same_calls_are_answered_to_who_may(world: World) -> None:
    """Else the test above would be content with values that name nothing."""
    people = [world.actor(name) for name in (OWNER, "dora", KEEPER, "olga")]
    never: list[str] = []
    for verb, _, _ in _verbs(world, people[0]):
        if verb in NOT_HERE:
            continue
        for actor in people:
            method, takes_actor = next((m, t) for name, m, t in _verbs(world, actor) if name == verb)
            try:
                _call(world, actor, verb, method, takes_actor)
            except (NotAllowed, NotFound):
                continue
            except PasserelleError:
                pass  # it was let in, and what it was given could not be done
            break
        else:
            never.append(verb)
    assert not never, "say in GIVEN what these are called with, or in NOT_HERE why nobody can be answered"


def test_a_token_of_the_wrong_scope_is_as_good_as_none(world: World) -> None:
    """An admin's token without any scope is called for everything: it may what a stranger may, and no more."""
    admin = world.actor(KEEPER)
    powerless = Actor(admin.name, admin.role, frozenset(), Through.TOKEN, admin.groups)
    for verb, method, takes_actor in _verbs(world, powerless):
        if verb in OF_ONESELF:
            continue
        try:
            made = _call(world, powerless, verb, method, takes_actor)
        except PasserelleError:
            continue
        assert not any(word in repr(made) for word in WORDS), verb
