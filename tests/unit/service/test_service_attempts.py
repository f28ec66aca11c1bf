"""Attempts to get around the door are written down, and not more of them than a log can bear."""

from __future__ import annotations

from passerelle.service.access import this_account
from passerelle.service.attempts import EACH_SECONDS, MOST_LINES, Attempt, Attempts
from passerelle.service.audit import read_audit
from passerelle.store import Database


def test_what_comes_again_is_counted_and_told_with_the_next_line(database: Database) -> None:
    now = [1000.0]
    attempts = Attempts(database, clock=lambda: now[0])
    for _ in range(50):
        attempts.note(Attempt.FORM, address="192.0.2.1", path="/zones")
    attempts.note(Attempt.FORM, address="192.0.2.2", path="/zones")
    now[0] += EACH_SECONDS
    attempts.note(Attempt.FORM, address="192.0.2.1", path="/people\n", person="carl", through="token")
    last, other, first = read_audit(database, this_account())
    assert (first.person, first.address, first.words, first.subject, first.data) == (
        "unknown",
        "192.0.2.1",
        "forged_form",
        "page:/zones",
        {},
    )
    assert (other.address, other.data) == ("192.0.2.2", {"left_out_before": 49})
    assert (last.person, last.through, last.result, last.data) == ("carl", "token", "refused", {})


def test_many_addresses_fill_no_disk(database: Database) -> None:
    now = [1000.0]
    attempts = Attempts(database, clock=lambda: now[0])
    for number in range(300):
        attempts.note(Attempt.ORIGIN, address=f"192.0.2.{number}", path="/")
    assert len(read_audit(database, this_account(), limit=1000)) == MOST_LINES
    now[0] += EACH_SECONDS
    attempts.note(Attempt.ORIGIN, address="192.0.2.1", path="/")
    assert read_audit(database, this_account(), limit=1)[0].data == {"left_out_before": 300 - MOST_LINES}
