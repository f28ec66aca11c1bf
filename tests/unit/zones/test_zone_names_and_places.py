"""Names and folders that a zone may have, and how a place in it is written."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from passerelle.core.errors import BadInput, Conflict
from passerelle.core.states import ZoneState
from passerelle.zones import (
    Content,
    Zone,
    ZoneKind,
    check_account,
    check_root,
    check_zone_name,
    dataset_place,
    linux_path,
    plain_name,
    windows_path,
    windows_trouble,
)


def zone(kind: ZoneKind = ZoneKind.PERSONAL, state: ZoneState = ZoneState.ACTIVE) -> Zone:
    return Zone("alice", kind, Path("/data/alice"), "alice", state=state)


@pytest.mark.parametrize("name", ["a", "alice", "Krios-1", "x_ray", "9", "a" * 40])
def test_plain_names_are_taken(name: str) -> None:
    check_zone_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "-a", "a-", "a b", "a/b", "a\n[global]", "a%U", "a" * 41, "é", "global", "HOMES", "ipc", "Con", "com1", "..", "a$"],
)
def test_names_that_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(BadInput):
        check_zone_name(name)


@pytest.mark.parametrize("name", ["alice", "alice.b", "pc-krios", "MACHINE$", "_svc"])
def test_accounts_are_taken(name: str) -> None:
    check_account(name)


@pytest.mark.parametrize("name", ["", "@cryo", "+cryo", "a b", 'a"', "a,b", "a\nb", "-x", "a%S", "a/b"])
def test_accounts_that_samba_would_read_otherwise_are_refused(name: str) -> None:
    with pytest.raises(BadInput):
        check_account(name)


def test_a_group_may_have_a_blank_in_its_name() -> None:
    check_account("domain users", "group")


@pytest.mark.parametrize(
    "root",
    ["data/a", "/data/../etc", "/", "/data", "/etc/zones", "/usr/x/y", "/data/%U", '/data/"x"', "/data/a\nb", "/data/a\\b"],
)
def test_roots_that_are_no_folder_of_their_own_are_refused(root: str) -> None:
    with pytest.raises(BadInput):
        check_root(Path(root), {})


@pytest.mark.parametrize("root", ["/data/alice", "/data/alice/inner", "/data/x/.."])
def test_a_zone_within_or_around_another_is_refused(root: str) -> None:
    with pytest.raises((Conflict, BadInput)):
        check_root(Path(root), {"zone alice": Path("/data/alice")})
    check_root(Path("/data/alice2"), {"zone alice": Path("/data/alice")})


def test_a_dataset_lies_by_instrument_and_day_under_a_name_that_windows_takes() -> None:
    place = dataset_place(zone(), Content.DATASET, instrument="krios", name="Grid: 1/α?.", at=1_790_000_000.0)
    assert place == PurePosixPath("datasets/krios/2026-09-21_Grid_1")
    assert windows_trouble(place) == ""
    assert plain_name("…") == "unnamed"


@pytest.mark.parametrize(
    ("place", "content"),
    [
        (zone(ZoneKind.INSTRUMENT), Content.DATASET),
        (zone(), Content.ACQUISITION),
        (zone(state=ZoneState.ARCHIVED), Content.DATASET),
    ],
)
def test_what_may_not_lie_in_a_zone_has_no_place(place: Zone, content: Content) -> None:
    with pytest.raises(BadInput, match="does not take"):
        dataset_place(place, content, instrument="krios", name="x", at=0.0)


def test_a_place_is_written_for_windows_and_for_linux() -> None:
    within = PurePosixPath("datasets/krios/2026-09-20_x")
    assert windows_path("zones", zone(), within) == r"\\zones\alice\datasets\krios\2026-09-20_x"
    assert windows_path("zones", zone()) == r"\\zones\alice"
    assert linux_path(zone(), within) == Path("/data/alice/datasets/krios/2026-09-20_x")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a:b", ":"),
        ("a.", "full stop"),
        ("a ", "full stop or blank"),
        ("CON.txt", "device"),
        ("a\\b", "\\"),
        ("x\ny", "names"),
        ("\udcff", "UTF-8"),
        ("y" * 255, "older Windows"),
    ],
)
def test_names_that_windows_cannot_open_are_told(name: str, words: str) -> None:
    assert words in windows_trouble(PurePosixPath("folder") / name, share=r"\\zones\alice")
    assert windows_trouble(PurePosixPath("folder/movie.tiff"), share=r"\\zones\alice") == ""
