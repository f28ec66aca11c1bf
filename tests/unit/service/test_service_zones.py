"""The verbs on zones, on a real disk: folders, rights, words, and what another person gets of them: nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from passerelle.core.errors import BadInput, Conflict, IllegalMove, NotAllowed, NotFound, PasserelleError
from passerelle.service.access import POWERS, Actor, PersonRole, Power, Through, this_account
from passerelle.service.audit import read_audit
from passerelle.service.settings import Settings, StateSettings
from passerelle.service.settings_zones import ZoneSettings
from passerelle.service.zones import Zones
from passerelle.store import Database
from passerelle.store.paths import to_text
from passerelle.zones import Accounts, Relation, Who, ZoneAct, ZoneKind
from passerelle.zones.acl import ACCESS, from_bytes

ROOT = this_account()
IDS = {"alice": 61001, "bob": 61002, "carol": 61003, "cryo": 62001}


def page(name: str, role: PersonRole = PersonRole.USER, *groups: str) -> Actor:
    return Actor(name, role, POWERS[role], Through.PAGE, frozenset(groups), address="10.0.0.7")


ALICE, BOB, CAROL = page("alice"), page("bob"), page("carol", PersonRole.USER, "cryo")
KEEPER = page("keeper", PersonRole.DATA_MANAGER)


def accounts(*, may_give: bool = False) -> Accounts:
    return Accounts(IDS.get, IDS.get, lambda name: frozenset(), os.geteuid(), os.getegid(), may_give)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "state": StateSettings(folder=tmp_path / "state"),
            "zones": ZoneSettings(folder=tmp_path / "zones", server="zones"),
            "instruments": {"krios": {"folder": tmp_path / "gateway" / "krios"}},
        }
    )


@pytest.fixture
def zones(database: Database, settings: Settings) -> Zones:
    made = Zones(database, settings, accounts=accounts)
    made.create(KEEPER, "alice", kind=ZoneKind.PERSONAL, owner="alice", at=1.0)
    made.create(
        KEEPER, "cryo", kind=ZoneKind.PLATFORM, owner="bob", readers=Who.of(["alice"]), writers=Who.of([], ["cryo"]), at=2.0
    )
    return made


def names(zones: Zones, actor: Actor) -> list[str]:
    return [each.name for each in zones.list(actor)]


def test_each_sees_the_own_zones_and_the_keeper_all(zones: Zones) -> None:
    assert names(zones, ALICE) == ["alice", "cryo"]
    assert names(zones, BOB) == names(zones, CAROL) == ["cryo"]
    assert names(zones, KEEPER) == ["alice", "cryo"]
    assert names(zones, page("dave")) == []


def test_what_is_another_persons_is_not_found_by_any_verb(zones: Zones) -> None:
    for verb in (
        lambda: zones.get(BOB, "alice"),
        lambda: zones.browse(BOB, "alice"),
        lambda: zones.history(BOB, "alice"),
        lambda: zones.measure(BOB, "alice"),
        lambda: zones.change(BOB, "alice", readers=Who.of(["bob"])),
        lambda: zones.download(BOB, "alice", "x").__enter__(),
        lambda: zones.zone(BOB, ZoneAct.WRITE, "alice"),
        lambda: zones.archive(BOB, "alice"),
        lambda: zones.activate(BOB, "alice"),
        lambda: zones.repair(BOB, "alice"),
        lambda: zones.change(BOB, "alice", owner="bob"),
        lambda: zones.set_relation(BOB, "alice", "bob", Relation.WRITER),
    ):
        with pytest.raises(NotFound, match="There is no zone `alice`"):
            verb()
    with pytest.raises(NotAllowed, match="may not keep zones"):
        zones.create(BOB, "bob", kind=ZoneKind.PERSONAL, owner="bob")


def test_a_keeper_keeps_zones_without_being_let_into_them(zones: Zones) -> None:
    for verb in (lambda: zones.browse(KEEPER, "alice"), lambda: zones.download(KEEPER, "alice", "x").__enter__()):
        with pytest.raises(NotAllowed, match="keeper is steward of zone alice"):
            verb()
    assert zones.get(KEEPER, "alice").may == ["see", "share", "govern", "archive"]


def test_a_zone_has_its_folder_paths_and_room(zones: Zones, tmp_path: Path) -> None:
    view = zones.get(ALICE, "ALICE")
    assert (view.linux, view.windows) == (str(tmp_path / "zones" / "alice"), r"\\zones\alice")
    assert (tmp_path / "zones" / "alice").is_dir()
    assert view.total_bytes and view.free_bytes and view.total_bytes > view.free_bytes
    assert view.may == ["see", "read", "write", "share"]
    assert view.usage is None


def test_readers_and_writers_get_entries_on_what_is_there_and_on_what_comes(zones: Zones, tmp_path: Path) -> None:
    folder = tmp_path / "zones" / "cryo"
    (folder / "sub").mkdir()
    acl = from_bytes(os.getxattr(folder / "sub", ACCESS))
    assert acl is not None
    assert (acl.users, acl.groups) == ({IDS["alice"]: 5, IDS["bob"]: 7}, {IDS["cryo"]: 7})
    zones.change(BOB, "cryo", readers=Who.of(["carol"]))
    acl = from_bytes(os.getxattr(folder / "sub", ACCESS))
    assert acl is not None
    assert IDS["alice"] not in acl.users
    assert acl.users[IDS["carol"]] == 5


def test_one_person_without_root_needs_no_rights_set(database: Database, settings: Settings, tmp_path: Path) -> None:
    there = tmp_path / "zones" / "mine"
    there.mkdir(parents=True, mode=0o755)
    Zones(database, settings, accounts=accounts).create(ROOT, "mine", kind=ZoneKind.PERSONAL, owner=ROOT.name)
    assert there.stat().st_mode & 0o777 == 0o755


def test_rights_that_were_given_are_taken_back_to_the_last(database: Database, settings: Settings, tmp_path: Path) -> None:
    zones = Zones(database, settings, accounts=accounts)
    zones.create(ROOT, "mine", kind=ZoneKind.PERSONAL, owner=ROOT.name, readers=Who.of(["bob"]))
    zones.change(ROOT, "mine", readers=Who())
    acl = from_bytes(os.getxattr(tmp_path / "zones" / "mine", ACCESS))
    assert acl is not None
    assert not acl.users


def test_people_that_the_machine_does_not_know_are_told(zones: Zones) -> None:
    view = zones.change(ALICE, "alice", readers=Who.of(["stranger"], ["others"]))
    assert [note for note in view.notes if "knows no account" in note] == [
        "This machine knows no account stranger: nothing is shown to it.",
        "This machine knows no account others: nothing is shown to it.",
    ]


def test_an_owner_shares_but_does_not_govern(zones: Zones) -> None:
    assert zones.change(ALICE, "alice", readers=Who.of(["bob"]), description="of Alice").readers.people == ["bob"]
    assert "alice" in names(zones, BOB)
    with pytest.raises(NotAllowed):
        zones.change(BOB, "alice", readers=Who.of(["bob", "carol"]))
    with pytest.raises(NotAllowed):
        zones.change(ALICE, "alice", quota_bytes=10**12)
    assert zones.change(KEEPER, "alice", quota_bytes=10**12).quota_bytes == 10**12
    assert zones.change(KEEPER, "alice", no_quota=True).quota_bytes is None


def test_an_archived_zone_is_read_and_not_written(zones: Zones) -> None:
    zones.change(ALICE, "alice", readers=Who.of(["bob"]))
    view = zones.archive(KEEPER, "alice", at=50.0)
    assert (view.state, view.archived_at) == ("archived", 50.0)
    assert zones.get(ALICE, "alice").may == ["see", "read"]
    with pytest.raises(NotAllowed, match="archived: nobody writes"):
        zones.zone(ALICE, ZoneAct.WRITE, "alice")
    with pytest.raises(IllegalMove):
        zones.archive(KEEPER, "alice")
    assert [each.name for each in zones.list(ALICE, archived=False)] == ["cryo"]
    zones.activate(KEEPER, "alice")
    assert zones.zone(ALICE, ZoneAct.WRITE, "alice").name == "alice"


def test_usage_grows_into_a_history_and_counts_against_the_quota(zones: Zones, tmp_path: Path) -> None:
    zones.change(KEEPER, "alice", quota_bytes=1 << 20)
    assert zones.measure(ALICE, "alice", at=10.0).bytes == 0
    (tmp_path / "zones" / "alice" / "movie").write_bytes(os.urandom(1 << 19))
    assert zones.measure(ALICE, "alice", at=20.0).files == 1
    view = zones.get(ALICE, "alice")
    assert view.quota_used == pytest.approx(0.5, abs=0.02)
    assert view.free_bytes == pytest.approx(1 << 19, abs=1 << 14)
    history = zones.history(ALICE, "alice")
    assert [each.at for each in history.usage] == [20.0, 10.0]
    assert [(each.act, each.person) for each in history.events] == [("zone_change", "keeper"), ("zone_create", "keeper")]


@pytest.mark.parametrize("path", ["../cryo", "a/../../cryo", "..", "%2E%2E/cryo", "%2e%2e", "/../x", "a/\x00"])
def test_no_path_leads_out_of_a_zone(zones: Zones, path: str) -> None:
    for verb in (lambda: zones.browse(ALICE, "alice", path), lambda: zones.download(ALICE, "alice", path).__enter__()):
        with pytest.raises((BadInput, NotFound)) as told:
            verb()
        assert "cryo" not in str(told.value) or "is not a path within a zone" in str(told.value)


@pytest.mark.parametrize("name", ["plain", "a%41", "line\nbreak", os.fsdecode(b"caf\xe9"), "<script>", "x" * 255])
def test_any_name_is_listed_and_found_again_by_the_name_that_was_listed(zones: Zones, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "zones" / "alice" / name
    folder.mkdir()
    (folder / name).write_bytes(b"content")
    (listed,) = zones.browse(ALICE, "alice").entries
    inner = zones.browse(ALICE, "alice", listed.name)
    assert inner.path == to_text(name)
    assert "\n" not in listed.shown + listed.windows + listed.linux
    with zones.download(ALICE, "alice", f"{inner.path}/{inner.entries[0].name}") as descriptor:
        assert os.read(descriptor, 100) == b"content"


def test_a_folder_is_listed_in_parts(zones: Zones, tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / "zones" / "alice" / f"m{number:02d}%41").touch()
    seen: list[str] = []
    after = ""
    while True:
        part = zones.browse(ALICE, "alice", after=after, limit=10)
        seen += [entry.shown for entry in part.entries]
        after = part.next
        if not after:
            break
    assert seen == [f"m{number:02d}%41" for number in range(25)]


def test_downloads_and_refusals_are_in_the_audit_log(zones: Zones, database: Database, tmp_path: Path) -> None:
    (tmp_path / "zones" / "alice" / "movie").write_bytes(b"x")
    with zones.download(ALICE, "alice", "movie"):
        pass
    with pytest.raises(NotFound):
        zones.download(BOB, "alice", "movie").__enter__()
    latest = read_audit(database, ROOT, limit=2)
    assert [(each.person, each.act, each.result, each.data) for each in latest] == [
        ("bob", "zone_download", "refused", {"path": "movie"}),
        ("alice", "zone_download", "done", {"path": "movie"}),
    ]


def test_who_looked_and_who_was_refused_is_told_to_the_owner_alone(zones: Zones, tmp_path: Path) -> None:
    (tmp_path / "zones" / "cryo" / "movie").write_bytes(b"x")
    with zones.download(ALICE, "cryo", "movie"):
        pass
    with pytest.raises(NotAllowed):
        zones.change(ALICE, "cryo", description="mine")
    assert [event.act for event in zones.history(ALICE, "cryo").events] == ["zone_create"]
    assert [event.result for event in zones.history(BOB, "cryo").events] == ["refused", "done", "done"]


def test_zones_of_pages_lie_where_zones_may_lie(zones: Zones, tmp_path: Path) -> None:
    for root in (tmp_path / "elsewhere", tmp_path / "zones", tmp_path / "zones" / ".." / "state" / "x"):
        with pytest.raises(BadInput, match="no folder where zones may lie"):
            zones.create(KEEPER, "new", kind=ZoneKind.PERSONAL, owner="bob", root=root)
    zones.create(ROOT, "new", kind=ZoneKind.PERSONAL, owner="bob", root=tmp_path / "elsewhere")


def test_zones_never_lie_within_each_other_an_instrument_or_the_state(zones: Zones, tmp_path: Path) -> None:
    for inner in ("zones/alice", "zones/alice/sub", "zones", "state/zone", "gateway/krios/zone", "gateway"):
        with pytest.raises(Conflict, match="lies within"):
            zones.create(ROOT, "new", kind=ZoneKind.PLATFORM, owner="bob", root=tmp_path / inner)
        assert names(zones, KEEPER) == ["alice", "cryo"]


def test_a_root_that_is_a_link_is_refused(zones: Zones, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "zones" / "new").symlink_to(tmp_path / "target")
    with pytest.raises(NotFound, match="link"):
        zones.create(KEEPER, "new", kind=ZoneKind.PERSONAL, owner="bob")


def test_the_zone_of_an_instrument_is_its_folder(zones: Zones, tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    view = zones.create(KEEPER, "krios", kind=ZoneKind.INSTRUMENT, owner="keeper", readers=Who.of(["alice"]))
    assert view.linux == str(tmp_path / "gateway" / "krios")
    assert zones.get(ALICE, "krios").may == ["see", "read"]
    with pytest.raises(BadInput, match="instrument's own folder"):
        zones.create(KEEPER, "glacios", kind=ZoneKind.INSTRUMENT, owner="keeper")


@pytest.mark.parametrize(
    "changes",
    [{"name": "a/b"}, {"owner": "@cryo"}, {"readers": Who.of(["a b"])}, {"writers": Who.of([], ["x\n"])}, {"quota_bytes": 0}],
)
def test_values_that_samba_or_posix_would_read_otherwise_are_refused(zones: Zones, changes: dict[str, object]) -> None:
    values = {"name": "new", "kind": ZoneKind.PERSONAL, "owner": "bob"} | changes
    with pytest.raises(BadInput):
        zones.create(KEEPER, **values)  # type: ignore[arg-type]
    assert names(zones, KEEPER) == ["alice", "cryo"]


def test_a_change_of_rights_is_followed_and_what_it_did_not_reach_is_told(database: Database, settings: Settings) -> None:
    calls: list[str] = []

    def follow(actor: Actor) -> list[str]:
        calls.append(actor.name)
        return ["Samba was not told."]

    zones = Zones(database, settings, accounts=accounts, rights_changed=follow)
    assert "Samba was not told." in zones.create(KEEPER, "z", kind=ZoneKind.PERSONAL, owner="alice").notes
    zones.change(ALICE, "z", description="no rights in this")
    zones.change(ALICE, "z", readers=Who.of(["bob"]))
    assert calls == ["keeper", "alice"]


def test_a_zone_whose_disk_is_away_is_listed_with_words(zones: Zones, tmp_path: Path) -> None:
    os.rename(tmp_path / "zones" / "alice", tmp_path / "away")
    view = zones.get(ALICE, "alice")
    assert view.free_bytes is None
    assert "is not there" in view.notes[0]
    with pytest.raises(PasserelleError):
        zones.measure(ALICE, "alice")


def test_a_token_without_the_scope_does_not_write(zones: Zones) -> None:
    token = Actor("alice", PersonRole.USER, frozenset({Power.LOOK}), Through.TOKEN)
    assert zones.get(token, "alice").may == ["see", "read"]
    with pytest.raises(NotAllowed, match="This token may not send"):
        zones.zone(token, ZoneAct.WRITE, "alice")
