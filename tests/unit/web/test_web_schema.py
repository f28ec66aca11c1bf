"""What /api/openapi.json promises is what comes: every documented answer is held against its schema."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from fastapi.routing import iter_route_contexts
from pydantic import TypeAdapter

from tests.attack.drive import Request, ask
from tests.attack.world import SENDER, World

VALUES = {"session_id": "1", "movie_id": "1", "transfer_id": "3", "instrument": "krios", "name": "oona", "path": ""}
JSON = (b"accept", b"application/json")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


@pytest.mark.parametrize("who", ["ann", SENDER, "wide token"])
def test_every_documented_answer_is_true_to_its_schema(world: World, who: str) -> None:
    held: list[str] = []

    async def look() -> None:
        async with world.app.router.lifespan_context(world.app):
            for context in iter_route_contexts(world.app.routes):
                model = getattr(context, "response_model", None)
                if model is None or context.methods != {"GET"} or not context.include_in_schema:
                    continue
                path = str(context.path)
                names = VALUES | ({"name": "krios"} if path.startswith(("/api/zones", "/api/instruments")) else {})
                for name, value in names.items():
                    path = path.replace(f"{{{name}}}", value).replace(f"{{{name}:path}}", value)
                target = f"{path}?instrument=krios".encode()
                answer = await ask(world.app, Request("GET", target, (*world.credentials(who), JSON)))
                assert answer.failure is None and answer.status < 500, (path, answer)
                if answer.status == 200:
                    TypeAdapter(model).validate_json(answer.body, strict=False)
                    held.append(path)
                else:
                    assert set(json.loads(answer.body)["error"]) == {"title", "message", "advice"}, path

    asyncio.run(look())
    assert len(held) > 8, held
