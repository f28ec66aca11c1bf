"""Who may do what in a zone; POSIX rights and Samba's lists let in exactly those."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerelle.core.errors import NotAllowed, NotFound
from passerelle.core.states import ZoneState
from passerelle.zones import Accounts, Visitor, Who, Zone, ZoneAct, ZoneKind, entitled, may, require, wanted
from passerelle.zones.acl import READ, WRITE

PEOPLE = ["alice", "bob", "carol", "dave"]
GROUPS = ["cryo", "xray"]
IDS = {name: 1000 + number for number, name in enumerate([*PEOPLE, *GROUPS])}
MEMBERS = {"alice": frozenset({"cryo"}), "bob": frozenset({"cryo", "xray"}), "carol": frozenset(), "dave": frozenset({"xray"})}
SERVICE_UID, SERVICE_GID = 900, 901


def zone(**changes: object) -> Zone:
    values = {"name": "alice", "kind": ZoneKind.PERSONAL, "root": Path("/data/alice"), "owner": "alice"} | changes
    return Zone(**values)  # type: ignore[arg-type]


def accounts(*, may_give: bool = True) -> Accounts:
    return Accounts(IDS.get, IDS.get, lambda name: MEMBERS.get(name, frozenset()), SERVICE_UID, SERVICE_GID, may_give)


whos = st.builds(Who, st.frozensets(st.sampled_from(PEOPLE)), st.frozensets(st.sampled_from(GROUPS)))
zones = st.builds(
    Zone,
    st.just("z"),
    st.sampled_from(ZoneKind),
    st.just(Path("/data/z")),
    st.sampled_from(PEOPLE),
    whos,
    whos,
    st.none(),
    st.sampled_from(ZoneState),
)


@pytest.mark.parametrize(
    ("visitor", "state", "acts"),
    [
        (Visitor("alice"), ZoneState.ACTIVE, {"see", "read", "write", "share"}),
        (Visitor("alice"), ZoneState.ARCHIVED, {"see", "read"}),
        (Visitor("bob", frozenset({"cryo"})), ZoneState.ACTIVE, {"see", "read", "write"}),
        (Visitor("bob", frozenset({"cryo"})), ZoneState.ARCHIVED, {"see", "read"}),
        (Visitor("carol"), ZoneState.ACTIVE, {"see", "read"}),
        (Visitor("dave", frozenset({"other"})), ZoneState.ACTIVE, set()),
        (Visitor("keeper", steward=True), ZoneState.ACTIVE, {"see", "share", "govern", "archive"}),
        (Visitor("carol", steward=True), ZoneState.ACTIVE, {"see", "read", "share", "govern", "archive"}),
    ],
)
def test_the_table_of_rights(visitor: Visitor, state: ZoneState, acts: set[str]) -> None:
    place = zone(readers=Who.of(["carol"]), writers=Who.of([], ["cryo"]), state=state)
    assert {act.value for act in ZoneAct if may(visitor, act, place).allowed} == acts


def test_only_an_instrument_writes_to_its_zone() -> None:
    place = zone(kind=ZoneKind.INSTRUMENT, writers=Who.of(["bob"]))
    ruling = may(Visitor("bob"), ZoneAct.WRITE, place)
    assert not ruling.allowed
    assert "only an instrument writes" in ruling.words
    assert not entitled(place).writers.people


def test_a_stranger_is_not_told_that_a_zone_is_there_and_a_reader_is_told_what_she_is() -> None:
    place = zone(readers=Who.of(["carol"]))
    with pytest.raises(NotFound, match="no zone"):
        require(Visitor("dave"), ZoneAct.READ, place)
    with pytest.raises(NotAllowed, match="carol is reader of zone alice and may read, see there, not write"):
        require(Visitor("carol"), ZoneAct.WRITE, place)
    require(Visitor("carol"), ZoneAct.READ, place)


@given(zones, st.sampled_from(PEOPLE))
def test_files_and_shares_let_in_whom_the_table_lets_in(place: Zone, name: str) -> None:
    visitor = Visitor(name, MEMBERS[name])
    people = entitled(place)
    assert people.readers.has(name, visitor.groups) == may(visitor, ZoneAct.READ, place).allowed
    assert people.writers.has(name, visitor.groups) == may(visitor, ZoneAct.WRITE, place).allowed


def posix_bits(place: Zone, name: str, *, may_give: bool) -> int:
    """What the kernel grants (acl(5), access check algorithm): owner, else named user, else the union of matching groups."""
    want = wanted(place, accounts(may_give=may_give))
    owner = SERVICE_UID if want.uid is None else want.uid
    if IDS[name] == owner:
        return want.folder.owner
    if IDS[name] in want.folder.users:
        return want.folder.users[IDS[name]]
    found = [bits for group, bits in want.folder.groups.items() if group in {IDS[each] for each in MEMBERS[name]}]
    if not found:
        return want.folder.other
    bits = 0
    for each in found:
        bits |= each
    return bits


@given(zones, st.sampled_from(PEOPLE), st.booleans())
def test_posix_grants_what_the_table_grants(place: Zone, name: str, may_give: bool) -> None:
    visitor = Visitor(name, MEMBERS[name])
    bits = posix_bits(place, name, may_give=may_give)
    assert bool(bits & READ) == may(visitor, ZoneAct.READ, place).allowed
    assert bool(bits & WRITE) == may(visitor, ZoneAct.WRITE, place).allowed


def test_an_archived_zone_is_taken_from_its_owner_who_could_else_write_again() -> None:
    assert wanted(zone(), accounts()).uid == IDS["alice"]
    assert wanted(zone(state=ZoneState.ARCHIVED), accounts()).uid == SERVICE_UID


def test_a_group_that_this_machine_does_not_know_is_named() -> None:
    assert wanted(zone(readers=Who.of(["nobody-here"], ["nor-here"])), accounts()).unknown == ("nobody-here", "nor-here")


def test_an_instruments_pc_writes_to_its_zone_and_the_service_owns_it() -> None:
    want = wanted(zone(kind=ZoneKind.INSTRUMENT, owner="bob"), accounts(), hands=["carol"])
    assert want.uid == SERVICE_UID
    assert want.folder.users == {IDS["carol"]: 7, IDS["bob"]: 5}
