"""Events go to standard error, whichever it is at the time."""

import io
import sys

import pytest
import structlog

from passerelle.core.log import configure_log, logger


@pytest.fixture(autouse=True)
def as_it_was():
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_an_event_outlives_the_stream_that_an_earlier_command_wrote_to(monkeypatch: pytest.MonkeyPatch) -> None:
    first = io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    configure_log(as_json=True)
    logger.info("before")
    assert '"event": "before"' in first.getvalue()
    first.close()
    second = io.StringIO()
    monkeypatch.setattr(sys, "stderr", second)
    logger.info("after")
    assert '"event": "after"' in second.getvalue()
