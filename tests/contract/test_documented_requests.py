"""What /api/openapi.json promises is what comes: every operation is called with what its schema allows, by people of four roles.

schemathesis makes the requests, always the same ones; every other one speaks of what is there, the rest of anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.attack.world import SENDER, World

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
THERE = {"session_id": 1, "movie_id": 1, "transfer_id": 3, "alert_id": 1, "instrument": "krios", "name": "oona", "path": "folder"}
EXAMPLES = 3


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("default")  # of schemathesis and the clients that it uses
@pytest.mark.parametrize("who", ["ann", "dora", "olga", SENDER])
def test_every_operation_answers_as_it_is_documented(world: World, who: str) -> None:
    schema: Any = schemathesis.openapi.from_dict(world.app.openapi())
    schema.app = world.app
    wrong: dict[str, str] = {}
    answered: Counter[int] = Counter()
    well: set[str] = set()
    world.mend()
    for result in schema.get_all_operations():
        _call(world, who, result.ok(), wrong, answered, well)
    assert not wrong, "\n".join(f"{name}: {words}" for name, words in wrong.items())
    assert len(well) > 12, (answered, well)


def token(world: World, who: str) -> str:
    return world.token(who, *world.actor(who).powers)


def _call(world: World, who: str, operation: Any, wrong: dict[str, str], answered: Counter[int], well: set[str]) -> None:
    there = THERE | ({"name": "krios"} if operation.path.startswith(("/api/zones", "/api/instruments")) else {})
    number, secret = count(), [token(world, who)]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def look(case: Any) -> None:
        if next(number) % 2 == 0:
            case.path_parameters.update({name: value for name, value in there.items() if name in case.path_parameters})
        response = case.call(headers={"host": "localhost", "authorization": f"Bearer {secret[0]}"})
        answered[response.status_code] += 1
        if response.status_code < 300:
            well.add(operation.label)
        if response.status_code == 401:  # a request before this one has taken the token back
            world.mend()
            secret[0] = token(world, who)
        try:
            case.validate_response(response, checks=CHECKS)
        except (Failure, FailureGroup) as failure:
            wrong.setdefault(operation.label, str(failure)[:600])

    look()
