"""Simulated sessions: their names and sidecars mean to passerelle what they mean to the programs that they imitate."""

from __future__ import annotations

import threading
import time
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from passerelle.acquisition import Role, identify
from passerelle.acquisition.grid import is_atlas_of
from passerelle.acquisition.grid_files import read_atlas, read_epu_session, read_grid_square, read_picture_geometry
from passerelle.core.errors import BadFile, BadInput, NotFound, PasserelleError, ProgramFailed
from passerelle.formats import EerOptions, load_stack, open_movie, read_defects, read_gain, read_header
from passerelle.imaging.correct import correct_movie
from passerelle.imaging.fourier_ring import fourier_ring_correlation
from passerelle.imaging.gain import multiplier, orient
from passerelle.simulation import Delivered, InstrumentPlan, Plan, demo_plan, krios, load_truth, simulate, truth_files

_QUICK: dict[str, Any] = {
    "size_px": 256,
    "frames": 6,
    "movies": 2,
    "movies_per_hour": 0,
    "append_seconds": 0,
    "bad_every": 0,
    "drift_px": 8,
    "local_motion_px": 1,
    "pixel_size_angstrom": 1.4,
    "dose_e_per_angstrom2": 10.0,
}


def _run(tmp_path: Path, **settings: Any) -> tuple[InstrumentPlan, Path, Path]:
    plan = InstrumentPlan(**{**_QUICK, **settings})
    simulate(Plan(instruments=(plan,)), tmp_path / "gateway")
    return plan, tmp_path / "gateway" / plan.name, tmp_path / "truth" / plan.name


def _roles(root: Path) -> tuple[Any, dict[Role, list[Path]]]:
    paths = sorted(PurePosixPath(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    program = identify(paths)
    roles: dict[Role, list[Path]] = {}
    for path in paths:
        place = program.place(path)
        assert place is not None, path
        roles.setdefault(place.role, []).append(root / path)
    return program, roles


_KINDS = [
    ("epu", "mrc", "uint8", "as_written"),
    ("epu", "mrc", "uint16", "flip_y"),
    ("epu", "tiff", "uint8", "as_written"),
    ("epu", "eer", "uint8", "as_written"),
    ("serialem", "tiff", "uint16", "rotate_90"),
    ("serialem", "mrc", "uint4", "as_written"),
    ("digitalmicrograph", "dm4", "uint8", "as_written"),
    ("digitalmicrograph", "mrc", "uint8", "transpose"),
    ("falcon2", "mrc", "uint16", "as_written"),
]


@pytest.mark.parametrize(("program", "kind", "depth", "orientation"), _KINDS)
def test_a_movie_read_from_its_files_and_corrected_by_its_truth_shows_the_specimen(
    tmp_path: Path, program: str, kind: str, depth: str, orientation: str
):
    _, root, aside = _run(
        tmp_path, program=program, format=kind, depth=depth, gain_orientation=orientation, movies=1, eer_raw_per_frame=8
    )
    known, roles = _roles(root)
    if Role.MOVIE in roles:
        reader = open_movie(roles[Role.MOVIE][0], eer=EerOptions(frames_per_fraction=1))
    else:
        frames = sorted(roles[Role.FRAME], key=lambda path: known.place(PurePosixPath(path.relative_to(root))).frame)
        assert len(frames) == 6
        reader = open_movie(frames[0], frames=frames)
    with reader:
        frames = load_stack(reader)
    (truth_file,) = truth_files(aside)
    truth = load_truth(truth_file)
    assert frames.shape == (truth.field.frames, 256, 256)
    gain = read_gain(roles[Role.GAIN][0])
    gain = orient(multiplier(gain), truth.gain_orientation)
    np.testing.assert_allclose(gain / np.median(gain), truth.gain() / np.median(truth.gain()), rtol=2e-3, atol=1e-6)
    sums = correct_movie(
        frames, gain=gain, defects=truth.defects(), field=truth.field, pixel_size_angstrom=1.4, weighted=False, half_sums=False
    )
    _, correlation = fourier_ring_correlation(sums.unweighted, truth.micrograph(), rings=6)
    assert correlation[:3].min() > (0.75 if kind == "eer" else 0.85)  # of several electrons in a pixel an event counter sees one
    still = frames.astype(np.float32).sum(axis=0)
    _, lost = fourier_ring_correlation(still, truth.micrograph(), rings=6)
    assert (correlation[1:] > lost[1:] + 0.15).all()


def test_an_epu_session_tells_everything_about_its_exposures(tmp_path: Path):
    begun = time.time()
    plan, root, aside = _run(tmp_path, program="epu", format="mrc", movies=3)
    program, roles = _roles(root)
    assert program.name == "epu"
    assert {role: len(roles[role]) for role in (Role.MOVIE, Role.MOVIE_METADATA, Role.PREVIEW, Role.GAIN)} == {
        Role.MOVIE: 3,
        Role.MOVIE_METADATA: 3,
        Role.PREVIEW: 3,
        Role.GAIN: 1,
    }
    keys = {program.place(PurePosixPath(p.relative_to(root))).movie for r in (Role.MOVIE, Role.MOVIE_METADATA) for p in roles[r]}
    assert keys == {load_truth(path).movie for path in truth_files(aside)}
    sidecar = roles[Role.MOVIE_METADATA][0]
    said = program.read_sidecar(PurePosixPath(sidecar.relative_to(root)), sidecar.read_bytes())
    truth = load_truth(truth_files(aside)[0])
    assert said.voltage_kv == 300
    assert said.pixel_size_angstrom == pytest.approx(1.4)
    assert said.dose_e_per_angstrom2 == pytest.approx(plan.dose_e_per_angstrom2)
    assert said.frames == 6
    assert (said.height_px, said.width_px) == (256, 256)
    assert said.applied_defocus_angstrom == pytest.approx((truth.defocus_u_angstrom + truth.defocus_v_angstrom) / 2)
    assert said.camera == "Falcon 3EC"
    assert said.acquired_at is not None and begun - 1 <= said.acquired_at <= time.time()
    header = read_header(roles[Role.MOVIE][0])
    assert (header.frames, header.height, header.width, header.pixel_size_angstrom) == (6, 256, 256, pytest.approx(1.4))


def test_the_grid_of_an_epu_session_can_be_drawn(tmp_path: Path):
    _, root, _ = _run(tmp_path, program="epu", format="mrc", movies=1)
    inside = {path.name: path for path in root.rglob("*") if path.is_file()}

    def content(path: Path) -> tuple[PurePosixPath, bytes]:
        return PurePosixPath(path.relative_to(root)), path.read_bytes()

    atlas = read_atlas(*content(inside["Atlas.dm"]))
    session = read_epu_session(*content(inside["EpuSession.dm"]))
    assert is_atlas_of(session, PurePosixPath(inside["Atlas.dm"].relative_to(root)))
    assert {square.id for square in atlas.squares} == set(session.squares)
    assert all(0 < square.x_px < atlas.width_px and 0 < square.y_px < atlas.height_px for square in atlas.squares)
    assert f"{atlas.picture}.jpg" in inside
    geometry = read_picture_geometry(*content(inside[f"{atlas.picture}.xml"]))
    for square in atlas.squares:
        assert geometry.locate(square.stage_x_um, square.stage_y_um) == pytest.approx((square.x_px, square.y_px), abs=0.2)
    (visited,) = (p for p in root.rglob("GridSquare_*.dm") if read_grid_square(*content(p)).holes)
    square = read_grid_square(*content(visited))
    geometry = read_picture_geometry(*content(inside[f"{square.picture}.xml"]))
    for hole in square.holes:
        assert geometry.locate(hole.stage_x_um, hole.stage_y_um) == pytest.approx((hole.x_px, hole.y_px), abs=6)
    movie = next(path for name, path in inside.items() if name.endswith("_fractions.mrc"))
    assert movie.parent.parent.name == f"GridSquare_{square.id}"
    assert movie.name.split("_")[1] in {hole.id for hole in square.holes if hole.selected}


def test_a_serialem_session_names_its_gain_and_defects(tmp_path: Path):
    plan, root, aside = _run(tmp_path, program="serialem", format="tiff", arrival="bulk", movies=2)
    program, roles = _roles(root)
    assert program.name == "serialem"
    assert len(roles[Role.MOVIE]) == 2
    sidecar = roles[Role.MOVIE_METADATA][0]
    said = program.read_sidecar(PurePosixPath(sidecar.relative_to(root)), sidecar.read_bytes())
    assert said.gain_reference == roles[Role.GAIN][0].name
    assert said.defect_file == roles[Role.DEFECTS][0].name
    assert (said.frames, said.voltage_kv) == (6, 300)
    assert said.dose_per_frame_e_per_angstrom2 == pytest.approx(plan.dose_e_per_angstrom2 / 6, rel=1e-3)
    assert said.camera == "K2-Summit"
    truth = load_truth(truth_files(aside)[0])
    listed = read_defects(roles[Role.DEFECTS][0], 256, 256)
    assert listed.sum() > 256
    assert not (listed & ~truth.defects()).any()


def test_the_same_seed_makes_the_same_pixels(tmp_path: Path):
    movies = []
    for run in ("a", "b"):
        _, root, _ = _run(tmp_path / run, program="digitalmicrograph", format="mrc", session="s", movies=1, seed=5)
        movies.append((root / "s" / "s_0001.mrc").read_bytes())
    assert movies[0] == movies[1]


def test_bad_exposures_are_marked_in_the_truth_only(tmp_path: Path):
    _, root, aside = _run(tmp_path, program="serialem", format="mrc", movies=4, bad_every=1)
    truths = [load_truth(path) for path in truth_files(aside)]
    assert [truth.fault for truth in truths] == ["ice", "empty", "drift", "astigmatism"]
    assert truths[1].micrograph().mean() == pytest.approx(10 * 1.4**2, rel=0.01)
    assert truths[3].defocus_u_angstrom - truths[3].defocus_v_angstrom > 3000
    reach = np.ptp(truths[2].field.global_px, axis=0).max()
    assert reach > 50
    assert not any("fault" in path.name or "truth" in path.name for path in root.rglob("*"))


def test_a_stopped_microscope_leaves_no_half_file_and_no_camera_disk(tmp_path: Path):
    stop = threading.Event()
    delivered: list[Delivered] = []

    def told(one: Delivered) -> None:
        delivered.append(one)
        stop.set()

    plan = InstrumentPlan(**{**_QUICK, "movies": None, "movies_per_hour": 3600, "append_seconds": 0.2})
    simulate(Plan(instruments=(plan,)), tmp_path / "gateway", stop, told=told)
    movies = list((tmp_path / "gateway").rglob("*_fractions.mrc"))
    assert len(movies) == len(delivered) == 1
    assert read_header(movies[0]).frames == 6
    assert not list((tmp_path / "truth").rglob("camera-disk"))


def test_an_appended_movie_grows_on_the_share_and_is_whole_only_at_its_end(tmp_path: Path):
    plan = InstrumentPlan(**{**_QUICK, "size_px": 1024, "frames": 12, "movies": 1, "append_seconds": 1.2, "gain_pattern": False})
    sizes: list[int] = []
    run = threading.Thread(target=simulate, args=(Plan(instruments=(plan,)), tmp_path / "gateway"))
    run.start()
    while run.is_alive():
        sizes += [path.stat().st_size for path in (tmp_path / "gateway").rglob("*_fractions.mrc")]
        time.sleep(0.02)
    run.join()
    whole = 1024 + 12 * 1024 * 1024
    assert sizes == sorted(sizes)
    assert len({size for size in sizes if 0 < size < whole}) >= 2


def test_files_copied_in_bulk_come_together_and_out_of_order(tmp_path: Path):
    _, root, _ = _run(tmp_path, program="serialem", format="mrc", arrival="bulk", bulk_movies=4, movies=4, seed=3)
    frames = root.glob("*/frames/*.mrc*")
    order = sorted((path for path in frames if "GainRef" not in path.name), key=lambda path: path.stat().st_mtime_ns)
    assert len(order) == 8
    assert [path.name for path in order] != sorted(path.name for path in order)


def test_two_microscopes_write_side_by_side(tmp_path: Path):
    instruments = tuple(
        InstrumentPlan(**{**_QUICK, "name": name, "program": program, "format": "mrc"})
        for name, program in (("one", "epu"), ("two", "serialem"))
    )
    delivered: list[Delivered] = []
    simulate(Plan(instruments=instruments), tmp_path / "gateway", truth=tmp_path / "aside", told=delivered.append)
    assert sorted((one.instrument, one.number) for one in delivered) == [("one", 0), ("one", 1), ("two", 0), ("two", 1)]
    assert {path.name for path in (tmp_path / "aside").iterdir()} == {"one", "two"}


def test_the_truth_may_not_lie_in_the_watched_folder(tmp_path: Path):
    with pytest.raises(BadInput, match="inside the watched folder"):
        simulate(Plan(), tmp_path, truth=tmp_path / "truth")


def test_a_folder_that_cannot_be_written_stops_all_microscopes_with_its_name(tmp_path: Path):
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "one").write_text("a file where the folder should be")
    instruments = tuple(
        InstrumentPlan(**{**_QUICK, "name": name, "movies": None, "movies_per_hour": 60}) for name in ("one", "two")
    )
    with pytest.raises(PasserelleError, match="gateway/one"):
        simulate(Plan(instruments=instruments), tmp_path / "gateway")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"program": "serialem", "format": "eer"}, "serialem writes"),
        ({"specimen": "model"}, "path of a model"),
        ({"depth": "uint4", "format": "tiff"}, "format = mrc"),
        ({"name": "../elsewhere"}, "pattern"),
        ({"session": "a/../../b"}, "pattern"),
        ({"frames": 0}, "greater than or equal"),
        ({"movie": 3}, "Extra inputs"),
        ({"defocus_min_angstrom": 30000.0}, "below"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(settings: dict[str, Any], said: str):
    with pytest.raises(ValidationError, match=said):
        InstrumentPlan(**settings)


def test_two_instruments_of_one_name_are_refused():
    with pytest.raises(ValidationError, match="same name"):
        Plan(instruments=(InstrumentPlan(), InstrumentPlan()))


def test_the_demo_has_a_falcon_that_appends_and_a_k2_that_copies_in_bulk():
    plan = demo_plan(movies=3)
    assert [(one.program, one.arrival, one.specimen, one.movies) for one in plan.instruments] == [
        ("epu", "append", "falcon", 3),
        ("serialem", "bulk", "k2", 3),
    ]
    assert [one.specimen for one in demo_plan(offline=True).instruments] == ["phantom", "phantom"]


def test_a_truth_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(NotFound):
        load_truth(tmp_path / "x.truth.json")
    (tmp_path / "x.truth.json").write_text('{"movie": "x"}')
    with pytest.raises(PasserelleError):
        load_truth(tmp_path / "x.truth.json")
    (tmp_path / "y.truth.json").write_text("[1]")
    with pytest.raises(BadFile, match="not a truth file"):
        load_truth(tmp_path / "y.truth.json")


def test_without_a_network_the_phantom_takes_the_place_of_the_real_micrograph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[list[str]] = []

    def failed(command: list[str], *, seconds: float) -> str:
        asked.append(command)
        raise ProgramFailed("ended with code 1: Could not find a version that satisfies the requirement mrcfile==1.5.4")

    monkeypatch.setattr(krios, "run", failed)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with capture_logs() as said:
        _, _, aside = _run(tmp_path, program="serialem", format="mrc", specimen="k2", movies=1)
    assert load_truth(truth_files(aside)[0]).specimen == "phantom"
    assert asked[0][1:4] == ["-m", "pip", "download"]
    (warning,) = (event for event in said if event["event"] == "phantom_instead_of_micrograph")
    assert "Could not find a version" in warning["reason"]
    assert list((tmp_path / "cache" / "passerelle").iterdir()) == []
