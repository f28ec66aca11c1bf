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


@pytest.mark.parametrize("as_json", [True, False])
def test_a_name_from_outside_writes_no_line_and_no_colour_of_its_own(monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    told = io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)
    configure_log(as_json=as_json)
    for name in ("a\n2026-01-01 [error] forged", "a\rforged", "a\x1b[31mred", "\x85\u2028\u202egpj.exe", "\udcff", "\x07" * 3):
        logger.warning("seen", name=name, names=[name])
    text = told.getvalue()
    assert text.count("\n") == 6 == len(text.splitlines())
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    text.encode()


def test_a_trace_keeps_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    told = io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)
    configure_log()
    try:
        raise ValueError("\x1b[31mred")
    except ValueError:
        logger.error("failed", exc_info=True)
    assert len(told.getvalue().splitlines()) > 3 and "\x1b" not in told.getvalue()
