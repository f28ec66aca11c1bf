"""The verbs on transfers: who may send what where, what stands against it, and what another person gets of it: nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from passerelle.core.errors import BadInput, Conflict, IllegalMove, NotAllowed, NotFound, OutOfSpace, PasserelleError
from passerelle.core.states import MovieState, SessionState, TransferState, Verdict
from passerelle.service.access import POWERS, Actor, PersonRole, Power, Through, this_account
from passerelle.service.audit import read_audit
from passerelle.service.datasets import Datasets
from passerelle.service.errands import account_for, order_for
from passerelle.service.instruments import instrument_of
from passerelle.service.selections import SelectionKind
from passerelle.service.settings import Settings, StateSettings
from passerelle.service.settings_zones import ZoneSettings
from passerelle.service.transfers import Transfers
from passerelle.service.zones import Zones
from passerelle.store import Database, movies, sessions, transfers
from passerelle.zones import Accounts, Who, Zone, ZoneKind

# accounts that every Debian has, so that files could be theirs
OWNER, FRIEND, STRANGER = "games", "man", "mail"


def page(name: str, role: PersonRole = PersonRole.USER, *, powers: frozenset[Power] | None = None) -> Actor:
    return Actor(name, role, POWERS[role] if powers is None else powers, Through.PAGE, address="10.0.0.7")


GAMES, MAN, MAIL = page(OWNER), page(FRIEND), page(STRANGER)
KEEPER, OPERATOR = page("keeper", PersonRole.DATA_MANAGER), page("operator", PersonRole.OPERATOR)


class Place:
    """A facility: two instruments, one that games and man may see; two zones of games."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.krios, self.xrd = folder / "gateway" / "krios", folder / "gateway" / "xrd"
        for path in (self.krios / "visit" / "s1" / "frames", self.krios / "visit" / "notes", self.xrd / "crystal 1" / "scan"):
            path.mkdir(parents=True)
        for number in range(3):
            (self.krios / "visit" / "s1" / "frames" / f"m{number}.tif").write_bytes(os.urandom(10_000))
            (self.krios / "visit" / "s1" / "frames" / f"m{number}.tif.mdoc").write_bytes(b"x" * 100)
        (self.krios / "visit" / "s1" / "gain.mrc").write_bytes(os.urandom(5_000))
        (self.xrd / "crystal 1" / "scan" / "0001.cbf").write_bytes(os.urandom(7_000))
        self.settings = Settings.model_validate(
            {
                "state": StateSettings(folder=folder / "state"),
                "zones": ZoneSettings(folder=folder / "zones", server="zones"),
                "instruments": {
                    "krios": {"folder": self.krios, "program": "serialem"},
                    "xrd": {"folder": self.xrd, "processing": False},
                },
            }
        )
        self.instruments = {name: instrument_of(name, each) for name, each in self.settings.instruments.items()}
        ids = {OWNER: 61001, FRIEND: 61002, STRANGER: 61003}
        accounts = Accounts(ids.get, ids.get, lambda name: frozenset(), os.geteuid(), os.getegid(), False)
        self.zones = Zones(database, self.settings, accounts=lambda: accounts)
        self.zones.create(KEEPER, "krios", kind=ZoneKind.INSTRUMENT, owner="operator", readers=Who.of([OWNER, FRIEND]), at=1.0)
        self.zones.create(KEEPER, "home", kind=ZoneKind.PERSONAL, owner=OWNER, at=1.0)
        self.zones.create(KEEPER, "shared", kind=ZoneKind.PLATFORM, owner=OWNER, writers=Who.of([FRIEND]), at=1.0)
        with database.write() as connection:
            self.session = sessions.create(
                connection,
                instrument="krios",
                root="visit/s1",
                name="s1",
                program="serialem",
                recipe={},
                thresholds={},
                at=1_700_000_000.0,
            )
            keys = {f"frames/m{number}": f"visit/s1/frames/m{number}.tif" for number in range(3)}
            movies.find_or_create(connection, self.session.id, keys, at=2.0)
        self.datasets = Datasets(database, self.instruments)
        self.transfers = Transfers(database, self.settings, self.datasets, self.zones)

    def judge(self, *verdicts: Verdict, squares: tuple[str, ...] = ("7", "7", "8")) -> None:
        with self.database.write() as connection:
            for movie, verdict, square in zip(movies.of_session(connection, self.session.id), verdicts, squares, strict=True):
                movies.move_all(connection, [movies.Step(movie, MovieState.QUEUED)], at=3.0)
                movies.change(connection, movie, state=MovieState.DONE, verdict=verdict, grid_square=square)

    def send(self, actor: Actor = GAMES, name: str = "krios/visit/s1", zone: str = "home", **options: Any) -> Any:
        return self.transfers.send(actor, self.datasets.named(actor, name), zone, **({"at": 1_700_000_100.0} | options))

    def go(self, number: int, *states: TransferState, **values: Any) -> None:
        with self.database.write() as connection:
            for state in states:
                transfers.change_state(connection, number, state, at=50.0, **(values if state is states[-1] else {}))


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Place:
    return Place(database, tmp_path)


# -- datasets


def test_a_person_sees_sessions_and_other_folders_of_the_own_instruments(place: Place) -> None:
    (place.krios / "loose").mkdir()
    labels = {each.label: each.state for each in place.datasets.list(GAMES)}
    assert labels == {"krios/visit/s1": "open", "krios/loose": ""}
    assert {each.label for each in place.datasets.list(OPERATOR)} == {*labels, "xrd/crystal 1"}
    assert place.datasets.list(MAIL) == []


def test_folders_within_are_browsed_and_an_instrument_that_is_not_seen_is_not_there(place: Place) -> None:
    assert [each.source for each in place.datasets.browse(GAMES, "krios", "visit")] == ["visit/notes", "visit/s1"]
    for verb in (
        lambda: place.datasets.browse(GAMES, "xrd"),
        lambda: place.datasets.find(MAIL, "krios", "visit/s1"),
        lambda: place.datasets.of_session(MAIL, place.session.id),
        lambda: place.datasets.named(GAMES, f"{place.xrd}/crystal 1"),
        lambda: place.datasets.find(GAMES, "krios", "not/there"),
        lambda: place.datasets.named(GAMES, "/etc"),
    ):
        with pytest.raises(NotFound):
            verb()


@pytest.mark.parametrize("source", ["..", "visit/../../xrd", "visit/s1/\x00"])
def test_a_path_that_leads_elsewhere_is_no_dataset(place: Place, source: str) -> None:
    with pytest.raises((BadInput, NotFound)):
        place.datasets.find(OPERATOR, "krios", source)


def test_a_link_is_no_dataset(place: Place) -> None:
    (place.krios / "link").symlink_to(place.xrd)
    with pytest.raises(PasserelleError):
        place.datasets.find(GAMES, "krios", "link")


@pytest.mark.parametrize("name", ["krios/visit/s1", "1", "{krios}/visit/s1", "krios/visit/s1/"])
def test_a_dataset_is_named_in_three_ways(place: Place, name: str) -> None:
    found = place.datasets.named(GAMES, name.format(krios=place.krios))
    assert (found.source, found.session and found.session.id, found.name) == ("visit/s1", place.session.id, "s1")


def test_an_instruments_whole_folder_is_a_dataset_too(place: Place) -> None:
    found = place.datasets.named(OPERATOR, "xrd")
    assert (found.source, found.place.path, found.name) == ("", "", "xrd")


# -- send


def test_a_session_goes_to_a_folder_of_its_instrument_day_and_name(place: Place) -> None:
    made = place.send()
    assert (made.state, made.person, made.ahead) == (TransferState.QUEUED, OWNER, 0)
    assert made.folder == "datasets/krios/2023-11-14_s1"
    assert made.linux == str(place.folder / "zones" / "home" / "datasets/krios/2023-11-14_s1")
    assert made.windows == r"\\zones\home\datasets\krios\2023-11-14_s1"
    assert made.may == ["pause", "cancel"]
    (entry, *_) = read_audit(place.database, this_account(), act="send")
    assert (entry.person, entry.result, entry.data["transfer"]) == (OWNER, "done", made.id)


def test_a_folder_of_no_session_goes_under_its_name_or_where_the_person_says(place: Place) -> None:
    place.zones.create(KEEPER, "xrd", kind=ZoneKind.INSTRUMENT, owner="operator", readers=Who.of([OWNER]), at=1.0)
    assert place.send(name="xrd/crystal 1").folder == "datasets/xrd/crystal_1"
    assert place.send(name="xrd/crystal 1/scan", folder="mine/here").folder == "mine/here"


@pytest.mark.parametrize("folder", ["../out", "a/../b", ".passerelle", "x/.p-1"])
def test_a_folder_that_cannot_be_is_refused(place: Place, folder: str) -> None:
    with pytest.raises(BadInput):
        place.send(folder=folder)


def test_nobody_sends_to_a_zone_that_is_another_persons(place: Place) -> None:
    with pytest.raises(NotFound, match="no zone `home`"):
        place.send(MAN)
    assert place.send(MAN, zone="shared").person == FRIEND
    with pytest.raises(NotAllowed, match="only an instrument writes"):
        place.send(page("operator", PersonRole.OPERATOR), zone="krios")


def test_a_keeper_of_zones_does_not_write_into_them(place: Place) -> None:
    with pytest.raises(NotAllowed):
        place.send(KEEPER)


def test_a_token_without_the_scope_does_not_send(place: Place) -> None:
    with pytest.raises(NotAllowed):
        place.transfers.send(page(OWNER, powers=frozenset({Power.LOOK})), place.datasets.named(GAMES, "1"), "home")


def test_an_archived_zone_takes_nothing(place: Place) -> None:
    place.zones.archive(KEEPER, "home", at=5.0)
    with pytest.raises(NotAllowed, match="archived"):
        place.send()


def test_two_people_do_not_send_the_same_to_the_same_place_at_a_time(place: Place) -> None:
    first = place.send(zone="shared")
    with pytest.raises(Conflict, match=f"{OWNER} is sending this dataset there already"):
        place.send(MAN, zone="shared")
    place.go(first.id, TransferState.RUNNING, TransferState.DONE)
    assert place.send(MAN, zone="shared").folder == first.folder


def test_what_does_not_fit_is_refused_before(place: Place) -> None:
    place.zones.change(KEEPER, "home", quota_bytes=20_000, at=5.0)
    place.zones.measure(GAMES, "home")
    with pytest.raises(OutOfSpace, match="no room in the zone"):
        place.send()
    assert place.transfers.list(GAMES) == []


def test_accepted_movies_go_with_what_is_no_movie(place: Place) -> None:
    place.judge(Verdict.ACCEPT, Verdict.REJECT, Verdict.WARN)
    made = place.send(kind=SelectionKind.ACCEPTED)
    dataset = place.datasets.named(GAMES, "1")
    with place.database.read() as connection:
        row = transfers.get(connection, made.id)
    order = order_for(
        row, dataset, Zone("home", ZoneKind.PERSONAL, place.folder, OWNER), place.datasets, place.settings.transfers
    )
    assert order.left_out == ("frames/m1.tif", "frames/m1.tif.mdoc")
    assert order.selection == made.selection_words
    weight = place.datasets.weigh(dataset, SelectionKind.ACCEPTED, ())
    assert (weight.files, weight.bytes) == (5, 25_200)


def test_squares_are_offered_with_their_counts_and_sent(place: Place) -> None:
    place.judge(Verdict.ACCEPT, Verdict.REJECT, Verdict.WARN)
    dataset = place.datasets.named(GAMES, "1")
    assert [(each.id, each.movies, each.accepted) for each in place.datasets.squares(dataset)] == [("7", 2, 1), ("8", 1, 1)]
    made = place.send(kind=SelectionKind.SQUARES, squares=["8"])
    assert (made.squares, "squares 8" in made.selection_words) == (["8"], True)
    assert place.datasets.selection(dataset, SelectionKind.SQUARES, ["8"])[1] == {
        f"frames/m{number}.tif{suffix}" for number in (0, 1) for suffix in ("", ".mdoc")
    }


def test_a_selection_of_which_nothing_is_left_is_refused(place: Place) -> None:
    with pytest.raises(Conflict, match="is accepted yet"):
        place.send(kind=SelectionKind.ACCEPTED)
    with pytest.raises(Conflict, match="these squares"):
        place.send(kind=SelectionKind.SQUARES, squares=["9"])


def test_what_is_not_processed_cannot_be_chosen_from(place: Place) -> None:
    place.zones.create(KEEPER, "xrd", kind=ZoneKind.INSTRUMENT, owner="operator", readers=Who.of([OWNER]), at=1.0)
    with pytest.raises(BadInput, match="not processed"):
        place.send(name="xrd/crystal 1", kind=SelectionKind.ACCEPTED)


def test_a_session_is_followed_while_it_is_open_and_only_as_a_whole(place: Place) -> None:
    place.judge(Verdict.ACCEPT, Verdict.REJECT, Verdict.WARN)
    with pytest.raises(BadInput, match="as a whole"):
        place.send(follow=True, kind=SelectionKind.ACCEPTED)
    assert place.send(follow=True).follow
    with place.database.write() as connection:
        sessions.change_state(connection, place.session.id, SessionState.CLOSED, at=9.0)
    assert not place.send(follow=True, zone="shared").follow


def test_before_sending_a_person_is_told_what_would_come_and_what_stands_against_it(place: Place) -> None:
    dataset = place.datasets.named(GAMES, "1")
    view = place.transfers.estimate(GAMES, dataset, "home")
    assert (view.files, view.bytes, view.problem, view.seconds) == (7, 35_300, "", None)
    assert view.free_bytes is not None
    first = place.send()
    place.go(first.id, TransferState.RUNNING)
    assert "already" in place.transfers.estimate(GAMES, dataset, "home").problem
    place.go(first.id, TransferState.DONE, moved_bytes=35_300, seconds=2.0)
    assert place.transfers.estimate(GAMES, dataset, "home").seconds == pytest.approx(2.0)


# -- look, hold, end


def test_each_sees_the_own_transfers_and_the_keeper_all(place: Place) -> None:
    mine, other = place.send(), place.send(MAN, zone="shared")
    assert [each.id for each in place.transfers.list(GAMES)] == [mine.id]
    assert [each.id for each in place.transfers.list(MAN, person=OWNER)] == [other.id]
    assert [each.id for each in place.transfers.list(KEEPER)] == [other.id, mine.id]
    assert [each.id for each in place.transfers.list(KEEPER, person=OWNER)] == [mine.id]


VERBS: list[Callable[[Transfers, Actor, int], object]] = [
    lambda verbs, actor, number: verbs.get(actor, number),
    lambda verbs, actor, number: verbs.certificate(actor, number),
    lambda verbs, actor, number: verbs.pause(actor, number),
    lambda verbs, actor, number: verbs.resume(actor, number),
    lambda verbs, actor, number: verbs.cancel(actor, number),
    lambda verbs, actor, number: verbs.retry(actor, number),
]


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_another_persons_is_not_found_by_any_verb(place: Place, verb: Callable[[Transfers, Actor, int], object]) -> None:
    made = place.send()
    with pytest.raises(NotFound, match=f"There is no transfer {made.id}"):
        verb(place.transfers, MAN, made.id)
    with pytest.raises(NotFound, match="There is no transfer 99"):
        verb(place.transfers, GAMES, 99)


def test_a_transfer_is_held_and_goes_on(place: Place) -> None:
    made = place.send()
    assert place.transfers.pause(GAMES, made.id).state is TransferState.PAUSED
    with pytest.raises(IllegalMove, match="paused: there is nothing to pause"):
        place.transfers.pause(GAMES, made.id)
    again = place.transfers.resume(KEEPER, made.id)
    assert (again.state, again.may) == (TransferState.QUEUED, ["pause", "cancel"])


def test_what_was_ended_or_failed_is_sent_again_on_request(place: Place) -> None:
    made = place.send()
    ended = place.transfers.cancel(GAMES, made.id)
    assert (ended.state, ended.may) == (TransferState.CANCELLED, ["retry"])
    assert place.transfers.retry(GAMES, made.id).state is TransferState.QUEUED
    place.go(made.id, TransferState.RUNNING, TransferState.FAILED, error="No room.")
    assert place.transfers.get(GAMES, made.id).error == "No room."
    assert place.transfers.retry(GAMES, made.id).error == ""


def test_a_retry_finds_that_the_folder_was_taken_meanwhile(place: Place) -> None:
    made = place.send(zone="shared")
    place.transfers.cancel(GAMES, made.id)
    place.send(MAN, zone="shared")
    with pytest.raises(Conflict):
        place.transfers.retry(GAMES, made.id)


def test_only_what_is_done_has_a_certificate_and_stays_so(place: Place) -> None:
    made = place.send()
    with pytest.raises(Conflict, match="is queued"):
        place.transfers.certificate(GAMES, made.id)
    place.go(made.id, TransferState.RUNNING, TransferState.DONE, manifest_digest="ab" * 32, files=7)
    found = place.transfers.certificate(GAMES, made.id)
    assert (found.transfer.manifest_digest, found.transfer.files, found.source) == ("ab" * 32, 7, "krios/visit/s1")
    assert found.transfer.may == ["certificate"]
    for verb in (place.transfers.pause, place.transfers.resume, place.transfers.cancel, place.transfers.retry):
        with pytest.raises(IllegalMove):
            verb(GAMES, made.id)


# -- as whom


def test_a_service_of_root_writes_as_the_zones_owner_and_never_as_root() -> None:
    def zone(owner: str) -> Zone:
        return Zone("z", ZoneKind.PERSONAL, Path("/z"), owner)

    known = {"anna": (1001, 100, (100, 0, 200)), "root": (0, 0, (0,)), "wheel": (1002, 0, ())}
    found = account_for(zone("anna"), lookup=known.get, root=True)
    assert found is not None and (found.user, found.group, found.groups) == (1001, 100, (100, 200))
    assert account_for(zone("nobody here"), lookup=known.get, root=False) is None
    for owner, words in (
        ("bob", "no account bob"),
        ("root", "nothing is written as root"),
        ("wheel", "nothing is written as root"),
    ):
        with pytest.raises(NotAllowed, match=words):
            account_for(zone(owner), lookup=known.get, root=True)
