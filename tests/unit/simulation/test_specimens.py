"""Computed specimens: phantom, bad exposures, atomic models, the real micrographs' cache."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from passerelle.core.errors import BadFile, BadInput, NotFound
from passerelle.simulation import (
    Atoms,
    Conditions,
    InstrumentPlan,
    Pose,
    krios,
    krios_micrograph,
    particles_of_model,
    phantom,
    read_atoms,
)
from passerelle.simulation.bad_exposures import contaminate, crystals, empty_hole
from passerelle.simulation.exposures import fault_of
from passerelle.simulation.particles import euler_matrix

_ATOM = "ATOM  {serial:5d}  {name:<3s} ALA A{residue:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00 20.00          {element:>2s}\n"


def _pdb(atoms: list[tuple[str, float, float, float]]) -> str:
    return "".join(
        _ATOM.format(serial=n + 1, name=element, residue=n // 5 + 1, x=x, y=y, z=z, element=element)
        for n, (element, x, y, z) in enumerate(atoms)
    )


def test_a_phantom_has_the_dose_and_is_the_same_for_the_same_seed():
    conditions = Conditions(pixel_size_angstrom=1.2, dose_e_per_angstrom2=30)
    first, again, other = (phantom(256, 320, conditions, seed=seed) for seed in (1, 1, 2))
    assert first.picture.shape == (256, 320)
    assert first.picture.mean() == pytest.approx(30 * 1.44, rel=1e-4)
    np.testing.assert_array_equal(first.picture, again.picture)
    assert (first.picture != other.picture).any()
    assert (first.defocus_u_angstrom, first.defocus_v_angstrom, first.defocus_angle_deg) == (15000, 14800, 30)
    assert first.electrons(1).var() == pytest.approx(first.picture.var() + first.picture.mean(), rel=0.03)


def test_particles_of_a_phantom_do_not_overlap_and_lie_inside():
    specimen = phantom(512, 512, Conditions(pixel_size_angstrom=2.0), seed=3, particle_diameter_angstrom=100)
    places = np.array([(pose.y_px, pose.x_px) for pose in specimen.poses])
    assert len(places) > 15
    distances = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + np.eye(len(places)) * 1e9
    assert distances.min() >= 50
    assert places.min() >= 0
    assert places.max() < 512


def test_zeros_of_the_spectrum_lie_where_the_defocus_puts_them():
    conditions = Conditions(pixel_size_angstrom=1.0, defocus_u_angstrom=10000, defocus_v_angstrom=10000, dose_e_per_angstrom2=40)
    specimen = phantom(512, 512, conditions, seed=1)
    power = abs(np.fft.fft2(specimen.picture - specimen.picture.mean())) ** 2
    radius = np.rint(512 * np.hypot(np.fft.fftfreq(512)[:, None], np.fft.fftfreq(512)[None])).astype(int)
    curve = np.bincount(radius.ravel(), power.ravel()) / np.bincount(radius.ravel())
    first_zero = 512 * np.sqrt((np.pi - 0.07) / (np.pi * 0.019687 * 10000))  # without Cs: 0.07 % off
    found = 20 + int(np.argmin(curve[20:50]))
    assert found == pytest.approx(first_zero, abs=1.5)


def test_an_empty_hole_is_flat_and_crystals_cover_what_was_asked_for():
    hole = empty_hole(64, 64, Conditions())
    assert hole.picture.std() == 0
    electrons = np.full((512, 512), 400, np.uint16)
    left = contaminate(electrons, 1.0, seed=4, coverage=0.3)
    thickness = crystals(512, 512, seed=4, coverage=0.3)
    covered = thickness > 0.5
    assert 0.28 < covered.mean() < 0.45
    assert (left[thickness == 0] == 400).mean() > 0.9999
    assert 90 < left[covered].mean() < 210
    power = abs(np.fft.fft2(left - left.mean())) ** 2
    radius = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.fftfreq(512)[None])
    ring, beside = (power[abs(radius - r) < 0.002].mean() for r in (1 / 3.67, 0.32))
    assert ring > 5 * beside


def test_bad_exposures_come_in_turn_and_only_where_the_plan_says():
    plan = InstrumentPlan(bad_every=3)
    assert [fault_of(plan, n) for n in range(12)] == ["", "", "ice", "", "", "empty", "", "", "drift", "", "", "astigmatism"]
    assert {fault_of(InstrumentPlan(bad_every=0), n) for n in range(20)} == {""}


def test_a_pdb_and_an_mmcif_of_the_same_atoms_read_alike_without_hydrogen_and_water(tmp_path: Path):
    atoms = [("C", 1.0, 2.0, 3.0), ("N", -4.0, 0.5, 9.0), ("H", 0.0, 0.0, 0.0), ("ZN", 7.5, -8.0, 1.25)]
    pdb = tmp_path / "m.pdb"
    pdb.write_text(_pdb(atoms) + "HETATM    9  O   HOH A   9      50.000  50.000  50.000  1.00 20.00           O\nEND\n")
    names = ["group_PDB", "id", "type_symbol", "label_comp_id", "Cartn_x", "Cartn_y", "Cartn_z"]
    lines = ["data_m", "loop_", *(f"_atom_site.{name}" for name in names)]
    lines += [f"ATOM {n} {e} ALA {x} {y} {z}" for n, (e, x, y, z) in enumerate(atoms)]
    lines += ["HETATM 9 O HOH 50 50 50", "#", "loop_", "_other.thing", "ATOM nonsense"]
    cif = tmp_path / "m.cif.gz"
    cif.write_bytes(gzip.compress("\n".join(lines).encode()))
    one, two = read_atoms(pdb), read_atoms(cif)
    assert one.place.shape == (3, 3)
    np.testing.assert_allclose(one.place, two.place)
    np.testing.assert_allclose(one.amplitude, [2.51, 2.21, 6.07])
    np.testing.assert_allclose((one.place * one.amplitude[:, None]).sum(axis=0), 0, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.pdb", b"HEADER nothing\n", "no atoms"),
        ("a.pdb", b"ATOM      1  C   ALA A   1         abc     def     ghi  1.00 20.00           C\n", "not an atomic model"),
        ("a.pdb", b"ATOM      1  C   ALA A   1         nan   1.000   1.000  1.00 20.00           C\n", "not a number"),
        ("a.pdb.gz", b"\x1f\x8b\x08\x00garbage", "damaged gzip"),
        ("a.cif", b"loop_\n_atom_site.type_symbol\n_atom_site.id\nATOM\n", "words"),
    ],
)
def test_a_bad_model_is_refused_by_name(tmp_path: Path, name: str, content: bytes, said: str):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadFile, match=said) as caught:
        read_atoms(path)
    assert name in str(caught.value)


def test_euler_angles_turn_as_relion_turns():
    along_z = np.array([0, 0, 1.0])
    assert euler_matrix(Pose(0, 0, 0, 90, 0)) @ along_z == pytest.approx([-1, 0, 0], abs=1e-12)
    along_x = np.array([1.0, 0, 0])
    assert euler_matrix(Pose(0, 0, 90, 0, 0)) @ along_x == pytest.approx([0, -1, 0], abs=1e-12)
    turn = euler_matrix(Pose(0, 0, 31, 62, -17))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


def test_atoms_land_where_their_pose_puts_them():
    atoms = Atoms(np.array([[30.0, 0, 0], [-30.0, 0, 0]]), np.array([600.0, 600.0]))
    conditions = Conditions(pixel_size_angstrom=2.0, defocus_u_angstrom=3000, defocus_v_angstrom=3000, dose_e_per_angstrom2=500)
    specimen = particles_of_model(atoms, 128, 128, conditions, seed=1, coverage=0.01, ice_contrast=0.0)
    (pose,) = specimen.poses
    turn = euler_matrix(pose)
    darkest = np.dstack(np.unravel_index(np.argsort(specimen.picture.ravel())[:1], (128, 128)))[0, 0]
    wanted = [(pose.y_px + s * turn[1, 0] * 15, pose.x_px + s * turn[0, 0] * 15) for s in (1, -1)]
    assert min(np.hypot(darkest[0] - y, darkest[1] - x) for y, x in wanted) < 1.5


def test_a_picture_too_small_for_its_particle_is_refused():
    atoms = Atoms(np.array([[300.0, 0, 0], [-300.0, 0, 0]]), np.ones(2))
    with pytest.raises(BadInput, match="no room"):
        particles_of_model(atoms, 64, 64, Conditions(), seed=1)


def test_a_crop_takes_its_particles_along():
    specimen = phantom(256, 256, Conditions(pixel_size_angstrom=2.0), seed=3, particle_diameter_angstrom=100)
    crop = specimen.crop(128, 100)
    assert crop.picture.shape == (128, 100)
    assert crop.poses[0].y_px == specimen.poses[0].y_px - 64
    assert crop.poses[0].x_px == specimen.poses[0].x_px - 78
    np.testing.assert_array_equal(crop.flipped(True, False).picture, crop.picture[::-1])


def test_a_micrograph_that_is_not_cached_and_may_not_be_fetched_is_not_found(tmp_path: Path):
    with pytest.raises(NotFound, match="not in the cache"):
        krios_micrograph("falcon", cache=tmp_path, fetch=False)
    with pytest.raises(NotFound, match="no real micrograph of a camera"):
        krios_micrograph("ceta", cache=tmp_path, fetch=False)


def test_a_damaged_file_in_the_cache_is_not_believed(tmp_path: Path):
    (tmp_path / "krios-k2.mrc").write_bytes(b"\0" * 29265416)
    with pytest.raises(NotFound, match="not in the cache"):
        krios_micrograph("k2", cache=tmp_path, fetch=False)


def test_an_archive_with_another_digest_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def download(command: list[str], **_: object) -> str:
        folder = Path(command[command.index("--dest") + 1])
        (folder / "mrcfile-1.5.4.tar.gz").write_bytes(b"not the archive")
        return ""

    monkeypatch.setattr(krios, "run", download)
    with pytest.raises(BadFile, match=hashlib.sha256(b"not the archive").hexdigest()):
        krios_micrograph("k2", cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_pip_says_is_told_and_the_phantom_advised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(NotFound, match=r"pip could not get mrcfile.*Choose the phantom"):
        krios_micrograph("k2", cache=tmp_path)
