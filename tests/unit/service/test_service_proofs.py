"""What the manifest of a dataset says of its files, as pages show it."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from passerelle.service.proofs import Proofs, ProofState
from passerelle.transfer import copy_dataset
from passerelle.zones import leaf_through


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    """A zone with a dataset that a real copy has brought."""
    source = tmp_path / "gateway" / "session"
    (source / "GridSquare_1").mkdir(parents=True)
    for number in range(3):
        (source / "GridSquare_1" / f"movie{number}.tif").write_bytes(os.urandom(1000 + number))
    (source / "session.xml").write_text("<a/>")
    root = tmp_path / "zone"
    (root / "datasets").mkdir(parents=True)
    copied = copy_dataset(source, root / "datasets" / "session", leg="gateway to zone")
    assert not copied.problems
    return root


def states(zone: Path, folder: str) -> dict[str, ProofState]:
    within = PurePosixPath(folder)
    _, proofs = Proofs().of(zone, within, leaf_through(zone, within).entries)
    return {name: proof.state for name, proof in proofs.items()}


def test_files_are_verified_changed_or_unlisted(zone: Path) -> None:
    folder = "datasets/session/GridSquare_1"
    assert set(states(zone, folder).values()) == {ProofState.VERIFIED}
    place = zone / folder
    (place / "movie1.tif").write_bytes(b"something else")
    (place / "notes.txt").write_text("mine")
    assert states(zone, folder) == {
        "movie0.tif": ProofState.VERIFIED,
        "movie1.tif": ProofState.CHANGED,
        "movie2.tif": ProofState.VERIFIED,
        "notes.txt": ProofState.UNLISTED,
    }


def test_when_and_by_which_leg_is_told(zone: Path) -> None:
    within = PurePosixPath("datasets/session")
    dataset, proofs = Proofs().of(zone, within, leaf_through(zone, within).entries)
    assert dataset is not None and dataset.within == within
    assert (dataset.files, dataset.legs, dataset.trouble) == (4, ("gateway to zone",), "")
    assert proofs["session.xml"].leg == "gateway to zone"
    assert proofs["session.xml"].at is not None and proofs["session.xml"].at > 1.7e9


def test_a_folder_of_no_dataset_has_no_proofs(zone: Path) -> None:
    assert Proofs().of(zone, PurePosixPath("datasets"), leaf_through(zone, PurePosixPath("datasets")).entries) == (None, {})


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 200_000, b"\xff\xfe", b'{"passerelle_manifest":1}\n{"files":0}\n'])
def test_a_manifest_that_is_none_is_said_not_believed(zone: Path, content: bytes) -> None:
    place = zone / "datasets/session/.passerelle/manifest.jsonl"
    place.chmod(0o600)
    place.write_bytes(content)
    dataset, proofs = Proofs().of(zone, PurePosixPath("datasets/session"), [])
    assert dataset is not None and dataset.trouble
    assert proofs == {}


def test_a_manifest_that_is_a_link_out_of_the_zone_is_not_followed(zone: Path, tmp_path: Path) -> None:
    place = zone / "datasets/session/.passerelle/manifest.jsonl"
    place.rename(tmp_path / "manifest.jsonl")
    place.symlink_to(tmp_path / "manifest.jsonl")
    assert Proofs().of(zone, PurePosixPath("datasets/session"), []) == (None, {})
