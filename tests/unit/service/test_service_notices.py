"""Notices: who is told of what, once a cause, through restarts and failing servers, and never when it was muted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from passerelle.core.errors import BadConfiguration, BadInput, NotAllowed, NotFound, PasserelleError, ProgramFailed
from passerelle.service.access import POWERS, Actor, PersonRole, Through, this_account
from passerelle.service.mutes import Mutes
from passerelle.service.notices import Notices, is_due
from passerelle.service.postman import Postman, wait_seconds
from passerelle.service.receivers import Receiver, chosen, cleaned, deliver, read_receivers
from passerelle.service.settings import Settings
from passerelle.service.settings_care import NoticeSettings, ReceiverSettings
from passerelle.store import Database, alerts, audit, mutes, notices, people, sessions
from passerelle.testing.executors import until
from passerelle.testing.ports import kept_port

ROOT = this_account()
USER = Actor("anna", PersonRole.USER, POWERS[PersonRole.USER], Through.PAGE)
OPERATOR = Actor("olaf", PersonRole.OPERATOR, POWERS[PersonRole.OPERATOR], Through.PAGE)
HOUR = 3600.0


class Mailbox:
    """A mail server on this machine; refuses while `broken`."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], Any]] = []
        self.broken = False

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd calls it so
        if self.broken:
            return "451 the disk of the mail server is full"
        self.mails.append((list(envelope.rcpt_tos), message_from_bytes(envelope.content, policy=policy.default)))
        return "250 taken"

    def texts(self) -> list[str]:
        return [str(mail["subject"]) for _, mail in self.mails]


@pytest.fixture
def mail() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    keeper, port = kept_port()
    server = Controller(box, hostname="127.0.0.1", port=port, ready_timeout=60.0)
    server.start()
    yield box, port
    server.stop()
    keeper.close()


@pytest.fixture
def chat() -> Iterator[tuple[list[dict[str, Any]], int]]:
    """An HTTP endpoint of a chat on this machine, and what it was sent."""
    got: list[dict[str, Any]] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield got, server.server_address[1]
    server.shutdown()
    server.server_close()


class Office:
    """Outbox and postman at a time that the test sets."""

    def __init__(self, database: Database, folder: Path, urls: str, **rules: Any) -> None:
        path = folder / "notices.urls"
        path.write_text(urls)
        self.settings = Settings(facility="Lab", notices=NoticeSettings(urls_file=path, **rules))
        self.database, self.now = database, 1_000_000.0
        self.restart()

    def restart(self) -> None:
        self.outbox = Notices(self.database, self.settings)
        self.postman = Postman(self.database, self.outbox, self.settings.notices, clock=lambda: self.now)

    def alert(self, kind: str = "disk_krios", level: str = "error", message: str = "The disk is full.", **of: Any) -> None:
        with self.database.write() as connection:
            alerts.raise_(connection, kind, level=level, message=message, advice="Free space.", at=self.now, **of)

    def over(self, kind: str = "disk_krios") -> None:
        with self.database.write() as connection:
            alerts.clear(connection, kind, at=self.now)

    def rows(self) -> list[notices.Notice]:
        with self.database.read() as connection:
            return notices.latest(connection, limit=100)


def staff(port: int) -> str:
    return f"staff mailto://127.0.0.1:{port}?from=passerelle@lab.org&to=staff@lab.org&mode=insecure\n"


def test_an_alert_goes_out_by_mail_and_chat_once(database: Database, tmp_path: Path, mail: Any, chat: Any) -> None:
    box, port = mail
    got, web = chat
    office = Office(database, tmp_path, f"# who\n{staff(port)}chat json://127.0.0.1:{web}/hook\n", link="https://lab.org/")
    office.alert(instrument="krios")
    assert office.postman.step() == 2
    assert office.postman.step() == 0
    ((to, letter),) = box.mails
    assert to == ["staff@lab.org"]
    assert letter["subject"] == "Lab: error · krios: The disk is full."
    text = letter.get_body().get_content()
    assert "Free space." in text
    assert "https://lab.org/alerts" in text
    assert [each["title"] for each in got] == ["Lab: error · krios: The disk is full."]
    assert [each.state for each in office.rows()] == ["sent", "sent"]


def test_it_is_told_again_when_it_gets_worse_or_stands_for_long_and_not_when_it_flutters(
    database: Database, tmp_path: Path, mail: Any
) -> None:
    box, port = mail
    office = Office(database, tmp_path, staff(port))
    office.alert(level="warning")
    office.postman.step()
    office.alert(level="warning", message="The disk is fuller.")  # other words: no news
    office.postman.step()
    assert len(box.mails) == 1
    office.alert(level="error")
    office.postman.step()
    assert len(box.mails) == 2
    for _ in range(3):
        office.over()
        office.now += 60
        office.alert(level="error")
        office.postman.step()
    assert len(box.mails) == 2
    office.now += HOUR
    office.postman.step()
    assert len(box.mails) == 3
    office.now += 24 * HOUR
    office.postman.step()
    assert box.texts()[-1] == "Lab: still error: The disk is full."


def test_a_server_that_refuses_is_tried_with_growing_waits_and_given_up_in_words(
    database: Database, tmp_path: Path, mail: Any
) -> None:
    box, port = mail
    box.broken = True
    office = Office(database, tmp_path, staff(port), again_hours=0)
    office.alert()
    tried: list[float] = []
    began = office.now
    while office.rows() == [] or office.rows()[0].state == "waiting":
        assert office.postman.step() == 0
        tried.append(office.now - began)
        office.now = max(office.rows()[0].next_at, office.now + 1)
    gaps = [later - earlier for earlier, later in pairwise(tried)]
    assert gaps[:4] == [30, 60, 120, 240]
    assert max(gaps) == 3600
    (row,) = office.rows()
    assert row.state == "given_up"
    assert row.tries == len(tried)
    assert "did not take it" in row.problem
    assert tried[-1] >= 24 * HOUR


def test_what_was_not_sent_is_sent_after_a_restart(database: Database, tmp_path: Path, mail: Any) -> None:
    box, port = mail
    box.broken = True
    office = Office(database, tmp_path, staff(port))
    office.alert()
    office.postman.step()
    box.broken = False
    office.restart()
    assert office.postman.step() == 0  # its time has not come
    office.now += 31
    assert office.postman.step() == 1
    assert len(box.mails) == 1


def test_no_secret_of_an_address_is_shown_or_logged(
    database: Database, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    secret = "json://robot:h0rse-staple@127.0.0.1:9/T0KEN123/abcd?tls=sekrit99"
    office = Office(database, tmp_path, f"chat {secret}\n")
    office.alert()
    office.postman.step()
    found = office.outbox.send_test(ROOT)
    assert [each.sent for each in found] == [False]
    with database.read() as connection:
        written = repr(office.rows()) + repr(audit.latest(connection, limit=10)) + repr(found) + repr(office.outbox.receivers())
    seen = capfd.readouterr()
    said = written + seen.out + seen.err + caplog.text
    assert "did not take it" in said
    for piece in ("h0rse-staple", "T0KEN123", "sekrit99", "robot"):
        assert piece not in said
    assert cleaned("cannot log in as robot with h0rse-staple at 127.0.0.1", secret) == "cannot log in as … with … at 127.0.0.1"


@pytest.mark.parametrize("line", ["staff", "st/aff json://x", "json://x/h0rse-staple", "a json://x\na json://y"])
def test_a_file_of_receivers_that_is_wrong_is_refused_without_saying_what_stands_there(tmp_path: Path, line: str) -> None:
    path = tmp_path / "urls"
    path.write_text(f"# fine\n{line}\n")
    with pytest.raises(BadConfiguration) as caught:
        read_receivers(path)
    assert "line " in str(caught.value)
    assert "h0rse-staple" not in str(caught.value)


def test_an_address_that_nobody_knows_is_given_up_at_once(database: Database, tmp_path: Path) -> None:
    office = Office(database, tmp_path, "x nonsense://h0rse-staple\n")
    office.alert()
    office.postman.step()
    (row,) = office.rows()
    assert row.state == "given_up"
    assert "`x`" in row.problem
    assert "h0rse" not in row.problem
    (tmp_path / "notices.urls").write_text("")
    with pytest.raises(BadInput):
        office.outbox.send_test(ROOT, "x")


def test_receivers_choose_by_level_and_kind() -> None:
    receivers = {name: Receiver(name, url) for name, url in {"a": "x://", "b": "x://", "c": "x://", "p": "x://{mail}"}.items()}
    rules = {
        "b": ReceiverSettings(kinds=("disk_*", "buffer_*"), not_kinds=("disk_results",), least_level="error"),
        "c": ReceiverSettings(least_level="info"),
    }

    def told(kind: str, level: str, *, personal: bool = False) -> list[str]:
        return chosen(receivers, rules, kind=kind, level=level, personal=personal)

    assert told("disk_krios", "error") == ["a", "b", "c"]
    assert told("disk_results", "error") == ["a", "c"]
    assert told("disk_krios", "warning") == ["a", "c"]
    assert told("transfer", "info") == ["c"]
    assert told("transfer", "info", personal=True) == ["p"]


def test_a_person_is_told_at_the_own_address(database: Database, tmp_path: Path, mail: Any) -> None:
    box, port = mail
    personal = f"people mailto://127.0.0.1:{port}?from=p@lab.org&to={{mail}}&mode=insecure\n"
    office = Office(database, tmp_path, staff(port) + personal)
    with database.write() as connection:
        people.create(connection, name="anna", role="user", source="local", mail="anna+em@lab.org", at=1.0)
        people.create(connection, name="otto", role="user", source="local", at=1.0)
    for _ in range(2):
        office.outbox.notify("anna", "Your data have arrived", "All 20 files are verified.", cause="transfer:7:done")
    office.outbox.notify("otto", "Your data have arrived", "All 20 files are verified.", cause="transfer:8:done")
    office.now = office.rows()[0].made_at
    assert office.postman.step() == 1
    ((to, letter),) = box.mails
    assert to == ["anna+em@lab.org"]
    assert letter["subject"] == "Lab: Your data have arrived"
    assert "no mail address" in next(row.problem for row in office.rows() if row.person == "otto")


def test_what_is_muted_is_not_told_until_the_mute_is_over(database: Database, tmp_path: Path, mail: Any) -> None:
    box, port = mail
    office = Office(database, tmp_path, staff(port))
    verbs = Mutes(database, {"krios": None, "talos": None})  # type: ignore[dict-item]
    verbs.mute(OPERATOR, instrument="krios", hours=2, why="cryo-cycle", at=office.now)
    office.alert(instrument="krios")
    office.alert("disk_talos", instrument="talos", message="Full as well.")
    office.postman.step()
    assert box.texts() == ["Lab: error · talos: Full as well."]
    office.now += 2 * HOUR + 1
    office.postman.step()
    assert len(box.mails) == 2
    everything = verbs.mute(OPERATOR, hours=1, at=office.now)
    office.alert("x", message="Something else.")
    office.postman.step()
    assert len(box.mails) == 2
    with database.read() as connection:
        assert alerts.standing(connection, at=office.now) == []
        assert len(alerts.standing(connection, muted=True)) == 3
    verbs.unmute(OPERATOR, everything, at=office.now)
    office.postman.step()
    assert len(box.mails) == 3


def test_a_session_or_one_alert_is_muted_alone(database: Database) -> None:
    with database.write() as connection:
        made = [
            sessions.create(connection, instrument="krios", root=name, name=name, program="epu", recipe={}, thresholds={}, at=1.0)
            for name in ("a", "b")
        ]
        for session in made:
            for kind in ("no_result", "no_new_movie"):
                alerts.raise_(connection, kind, level="warning", message="Look.", session_id=session.id, at=1.0)
    verbs = Mutes(database, {})
    verbs.mute(OPERATOR, session_id=made[0].id, hours=1, at=10.0)
    with database.read() as connection:
        left = alerts.standing(connection, at=20.0)
    assert {alert.session_id for alert in left} == {made[1].id}
    assert {alert.instrument for alert in left} == {"krios"}
    verbs.mute(OPERATOR, alert_id=left[0].id, hours=None, at=20.0)
    with database.read() as connection:
        assert [alert.id for alert in alerts.standing(connection, at=1e9)] == sorted(
            {alert.id for alert in alerts.standing(connection, muted=True)} - {left[0].id}, reverse=True
        )
    assert [(each.what, each.until) for each in verbs.standing(OPERATOR, at=30.0)] == [("alert", None), ("session", 3610.0)]
    with database.write() as connection:
        alerts.close(connection, left[0].id, at=40.0)
    assert [each.what for each in verbs.standing(OPERATOR, at=50.0)] == ["session"]


def test_who_may_mute_and_try_and_that_it_is_written_down(database: Database, tmp_path: Path) -> None:
    office = Office(database, tmp_path, "")
    verbs = Mutes(database, {})
    with pytest.raises(NotAllowed):
        verbs.mute(USER, hours=1)
    with pytest.raises(NotAllowed):
        office.outbox.send_test(USER)
    with pytest.raises(NotAllowed):
        office.outbox.latest(USER)
    for wrong in ({"hours": None}, {"hours": 0}, {"hours": 745}, {"hours": float("nan")}, {"hours": 1, "instrument": "x"}):
        with pytest.raises(BadInput):
            verbs.mute(OPERATOR, **wrong)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        verbs.mute(OPERATOR, hours=1, alert_id=7)
    verbs.mute(OPERATOR, hours=2, why="a visit")
    with database.read() as connection:
        latest = audit.latest(connection, limit=1)[0]
        assert (latest.person, latest.act, latest.subject, latest.data["why"]) == ("olaf", "mute", "facility", "a visit")
        assert mutes.standing(connection, at=0.0)[0].person == "olaf"


def test_the_rule_of_telling_again() -> None:
    rules = NoticeSettings(again_hours=24, not_again_minutes=30)
    assert is_due(None, None, rules, 0.0)
    assert not is_due(None, 0.0, rules, 29 * 60)
    assert is_due(None, 0.0, rules, 30 * 60)
    assert not is_due(0.0, 0.0, rules, 23 * HOUR)
    assert is_due(0.0, 0.0, rules, 24 * HOUR)
    assert not is_due(0.0, 0.0, NoticeSettings(again_hours=0), 1e9)
    assert [wait_seconds(tries) for tries in (1, 2, 8, 99)] == [30, 60, 3600, 3600]


def test_a_mail_server_that_is_away_is_said(mail: Any) -> None:
    _, port = mail
    keeper, nobody = kept_port()
    with keeper, pytest.raises(ProgramFailed, match="`staff` did not take it"):
        deliver(Receiver("staff", staff(nobody).split()[1]), title="t", body="b", level="info")
    deliver(Receiver("staff", staff(port).split()[1]), title="t", body="b", level="info")


def test_the_thread_sends_and_ends(database: Database, tmp_path: Path, mail: Any) -> None:
    box, port = mail
    patient = Database(f"sqlite:///{tmp_path / 'state' / 'state.sqlite'}", busy_seconds=30.0)  # two write to it
    path = tmp_path / "urls"
    path.write_text(staff(port))
    settings = Settings(notices=NoticeSettings(urls_file=path))
    outbox = Notices(patient, settings)
    postman = Postman(patient, outbox, settings.notices)
    postman.start()
    outbox.notify(None, "A transfer failed", "See its page.", cause="transfer:1:failed", level="error")
    until(lambda: len(box.mails) > 0)
    postman.stop()
    patient.close()
    assert box.texts() == ["Cryo-EM facility: A transfer failed"]


def test_a_file_that_cannot_be_read_holds_up_nobody_who_tells(database: Database, tmp_path: Path) -> None:
    settings = Settings(notices=NoticeSettings(urls_file=tmp_path / "absent"))
    assert Notices(database, settings).notify(None, "t", "b", cause="c", level="error") == 0
    with pytest.raises(PasserelleError, match="absent"):
        Postman(database, Notices(database, settings), settings.notices).step()
