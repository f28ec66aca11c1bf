"""What root's hand makes of a request, and of rules that others could change."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from passerelle.core.errors import BadConfiguration, BadInput, NotAllowed
from passerelle.transfer.hand_rules import HandRules, Request, ends_of, keep_closed, read_rules, request_of

RULES = HandRules(service="daemon", zones=(Path("/zones"),), sources=(Path("/gateway"), Path("/mnt/xrd")))
GOOD = {"version": "1", "source": ["/gateway/krios", "visit/s1"], "target": ["/zones/anna", "datasets/s1"]}


def line(**changes: Any) -> bytes:
    return json.dumps(GOOD | changes).encode()


def test_a_request_is_brought_to_the_folders_of_the_rules() -> None:
    ends = ends_of(request_of(line()), RULES)
    assert ends == (("/gateway", "krios/visit/s1"), ("/zones/anna", "datasets/s1"))
    whole = ends_of(request_of(line(source=["/mnt/xrd", ""])), RULES)
    assert whole.source == ("/mnt/xrd", "")
    assert request_of(b'{"version": "1"}') == Request("1", None, None)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xff\xfe",
        b"[" * 60_000,
        b"[]",
        b"7",
        b'{"version": 3}',
        b'{"source": ["/gateway", "a"], "target": ["/zones/anna", "b"]}',
        line(account=["anna", 1000, 1000, []]),
        line(uid=0),
        line(source=None),
        line(source="/gateway"),
        line(source=["/gateway"]),
        line(source=["/gateway", "a", "b"]),
        line(source=["/gateway", 5]),
        line(source=["gateway", "a"]),
        line(source=["/gateway/../etc", "a"]),
        line(source=["/gateway", "../etc"]),
        line(source=["/gateway", "/etc"]),
        line(source=["/gateway", "a//b"]),
        line(source=["/gateway", "a\0b"]),
        line(source=["/gateway", "\ud800"]),
        line(target=["/zones/anna/", "a"]),
        line(target=["/zones/anna", "./a"]),
    ],
)
def test_what_is_no_request_is_refused_in_words(said: bytes) -> None:
    with pytest.raises(BadInput):
        request_of(said)


@pytest.mark.parametrize(
    "changes",
    [
        {"source": ["/etc", "ssh"]},
        {"source": ["/", "etc"]},
        {"source": ["/gatewayother", "a"]},
        {"source": ["/zones/anna", "private"]},
        {"target": ["/zones", "anna/datasets"]},
        {"target": ["/zones/anna/datasets", "a"]},
        {"target": ["/home/anna", "a"]},
        {"target": ["/gateway/krios", "a"]},
        {"target": ["/", "etc"]},
    ],
)
def test_nothing_is_brought_from_or_to_elsewhere(changes: dict[str, Any]) -> None:
    with pytest.raises(NotAllowed):
        ends_of(request_of(line(**changes)), RULES)


def test_a_zone_itself_is_no_target() -> None:
    with pytest.raises(BadInput):
        ends_of(request_of(line(target=["/zones/anna", ""])), RULES)


@pytest.fixture
def closed() -> Iterator[Path]:
    if os.getuid() != 0:
        pytest.skip("only root makes what only root can change")
    with tempfile.TemporaryDirectory() as made:
        yield Path(made).resolve()


def opened(folder: Path) -> None:
    folder.chmod(0o777)


def owned(folder: Path) -> None:
    os.chown(folder, 1, 0)


def of_group(folder: Path) -> None:
    folder.chmod(0o770)


@pytest.mark.parametrize("change", [opened, owned, of_group])
@pytest.mark.parametrize("deep", [True, False])
def test_what_others_than_root_could_change_is_not_believed(closed: Path, change: Any, deep: bool) -> None:
    folder = closed / "above" / "rules"
    folder.mkdir(parents=True)
    keep_closed(folder)
    change(folder if deep else folder.parent)
    with pytest.raises(BadConfiguration, match="others than root"):
        keep_closed(folder)


def test_a_link_on_the_way_is_not_believed_and_what_is_written_by_others_is_if_they_cannot_swap_it(closed: Path) -> None:
    (closed / "there").mkdir()
    (closed / "link").symlink_to("there")
    for path in (closed / "link", Path("relative"), closed / "there" / ".." / "there"):
        with pytest.raises(BadConfiguration):
            keep_closed(path)
    opened(closed / "there")
    keep_closed(closed / "there", itself=False)
    (closed / "there").chmod(0o1777)
    (closed / "there" / "mine").mkdir()
    keep_closed(closed / "there" / "mine")
    owned(closed / "there" / "mine")
    with pytest.raises(BadConfiguration):
        keep_closed(closed / "there" / "mine", itself=False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"service": "root"}, "needs no hand"),
        ({"service": "no-such-account"}, "no account"),
        ({"zones": ["gateway/zones"]}, "could be read as sources"),
        ({"zones": ["."]}, "could be read as sources"),
        ({"zones": []}, "zones"),
        ({"lowest_uid": 0}, "lowest_uid"),
        ({"zone": ["zones"]}, "Did you mean"),
    ],
)
def test_rules_that_would_let_in_too_much_are_refused(closed: Path, changes: dict[str, Any], words: str) -> None:
    for name in ("zones", "gateway/zones"):
        (closed / name).mkdir(parents=True)
    rules = {"service": "daemon", "zones": ["zones"], "sources": ["gateway"]} | changes
    for key in ("zones", "sources"):
        rules[key] = [str(closed / each) for each in rules[key]]
    path = closed / "hand.toml"
    path.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in rules.items()))
    with pytest.raises(BadConfiguration, match=words):
        read_rules(path)


def test_code_that_others_could_change_is_not_run_by_root(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (closed / "zones").mkdir()
    (closed / "gateway").mkdir()
    path = closed / "hand.toml"
    path.write_text(f'service = "daemon"\nzones = ["{closed}/zones"]\nsources = ["{closed}/gateway"]\n')
    (closed / "python").mkdir()
    owned(closed / "python")
    monkeypatch.setattr(sys, "prefix", str(closed / "python"))
    with pytest.raises(BadConfiguration, match="others than root"):
        read_rules(path)
