"""Places on central storage: what a zone is, who may do what in it, where something of it lies."""

from passerelle.zones.acl import has_list
from passerelle.zones.beneath import open_file, open_folder, relative_path
from passerelle.zones.browse import Entry, Leaf, Listing, Measured, Order, Room, leaf_through, list_folder, measure, room
from passerelle.zones.bundle import Bundle, bundle
from passerelle.zones.names import check_account, check_root, check_zone_name, windows_trouble
from passerelle.zones.places import dataset_place, linux_path, plain_name, windows_path
from passerelle.zones.posix import Accounts, Wanted, wanted
from passerelle.zones.rights import Entitled, Relation, Ruling, Visitor, ZoneAct, entitled, may, relations, require
from passerelle.zones.seal import seal
from passerelle.zones.settle_rights import Settled, settle_rights
from passerelle.zones.sizes import exact_size, size_bytes
from passerelle.zones.zone import FEATURES, Content, Features, Who, Zone, ZoneKind

__all__ = [
    "FEATURES",
    "Accounts",
    "Bundle",
    "Content",
    "Entitled",
    "Entry",
    "Features",
    "Leaf",
    "Listing",
    "Measured",
    "Order",
    "Relation",
    "Room",
    "Ruling",
    "Settled",
    "Visitor",
    "Wanted",
    "Who",
    "Zone",
    "ZoneAct",
    "ZoneKind",
    "bundle",
    "check_account",
    "check_root",
    "check_zone_name",
    "dataset_place",
    "entitled",
    "exact_size",
    "has_list",
    "leaf_through",
    "linux_path",
    "list_folder",
    "may",
    "measure",
    "open_file",
    "open_folder",
    "plain_name",
    "relations",
    "relative_path",
    "require",
    "room",
    "seal",
    "settle_rights",
    "size_bytes",
    "wanted",
    "windows_path",
    "windows_trouble",
]
