"""Which owner, group and access control list the files of a zone must have, so that POSIX lets in whom the zone lets in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from passerelle.zones.acl import ENTER, EXECUTE, READ, WRITE, Acl
from passerelle.zones.rights import entitled
from passerelle.zones.zone import Zone

Lookup = Callable[[str], int | None]

_ALL = READ | WRITE | EXECUTE


@dataclass(frozen=True, slots=True)
class Accounts:
    """How names become numbers on this machine, and who the service is. user_of, group_of: None where there is no such account.
    groups_of: the groups of a person.

    service_uid, service_gid: the account that copies and processes; it reads and writes everywhere, as the facility's hand.
    may_give: files may be given to others (root, or CAP_CHOWN); without it everything stays the service's own.
    looker_uid: the account of a service for which root settles rights: it looks into all zones, and writes to none.
    """

    user_of: Lookup
    group_of: Lookup
    groups_of: Callable[[str], frozenset[str]]
    service_uid: int
    service_gid: int
    may_give: bool
    looker_uid: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a folder of a zone must be like. uid None: as it is. gid: of all that is made in it (setgid).

    hands: accounts of instrument PCs: files of theirs stay theirs until they are sealed, in folders with the sticky bit.
    unknown: people and groups of the zone that this machine has no account for; they reach nothing through POSIX.
    """

    uid: int | None
    gid: int
    folder: Acl
    unknown: tuple[str, ...]
    hands: frozenset[int] = frozenset()

    @property
    def file(self) -> Acl:
        """What a file must be like."""
        return self.folder.without(EXECUTE)

    @property
    def folder_mode(self) -> int:
        """The mode of a folder, setgid with it, and the sticky bit where instrument PCs write."""
        return (0o3000 if self.hands else 0o2000) | self.folder.mode


def wanted(zone: Zone, accounts: Accounts, *, hands: Iterable[str] = ()) -> Wanted:
    """Derive owner, group and access control list of a zone's folders from who is entitled to what.

    Files of a zone that is open for writing are given to its owner, where files can be given. All others stay, or become, the
    service's own: an owner could always write again, whatever the list says. hands: accounts of instrument PCs, which write
    whatever the zone says, through their own shares.
    """
    people = entitled(zone)
    hands = frozenset(hands)
    unknown: list[str] = []
    users: dict[int, int] = {}
    groups: dict[int, int] = {}
    for names, lookup, found, writers in (
        (people.readers.people, accounts.user_of, users, people.writers.people),
        (people.readers.groups, accounts.group_of, groups, people.writers.groups),
        (hands, accounts.user_of, users, hands),
    ):
        for name in sorted(names):
            number = lookup(name)
            if number is None:
                unknown.append(name)
            else:
                found[number] = found.get(number, 0) | (_ALL if name in writers else ENTER)
    for name in people.readers.people - people.writers.people - hands:
        # an entry for a person hides what the person's groups may do (acl(5)): a reader who is in a group of writers has none
        if people.writers.has(name, accounts.groups_of(name)):
            users.pop(accounts.user_of(name) or -1, None)
    owner_uid = accounts.user_of(zone.owner)
    given = accounts.service_uid
    if accounts.may_give and owner_uid is not None and zone.owner in people.writers.people:
        given = owner_uid
    if accounts.looker_uid is not None:
        users[accounts.looker_uid] = users.get(accounts.looker_uid, 0) | ENTER
    users.pop(given, None)  # the owner's own bits are another entry
    if accounts.service_uid not in (given, 0):
        users[accounts.service_uid] = _ALL
    group_bits = groups.pop(accounts.service_gid, 0)
    numbers = frozenset(filter(None, map(accounts.user_of, hands)))
    uid = given if accounts.may_give else None
    return Wanted(uid, accounts.service_gid, Acl(_ALL, group_bits, 0, users, groups), tuple(unknown), numbers)
