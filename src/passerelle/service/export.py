"""Accepted micrographs as RELION reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from passerelle.core.errors import NotFound, storage_errors
from passerelle.core.states import MovieState, Verdict
from passerelle.formats import MicrographRow, OpticsGroup, micrographs_star, write_star
from passerelle.processing import Recipe
from passerelle.service.places import Places
from passerelle.service.status import outputs_of
from passerelle.service.stored import readable
from passerelle.store import Database, Movie, Session, movies, sessions

_ACCEPTED = frozenset({Verdict.ACCEPT, Verdict.WARN})
_DEFAULT_SPHERICAL_ABERRATION_MM = 2.7


def accepted(known: Sequence[Movie]) -> list[Movie]:
    """Return the movies that are done and accepted: by a person, else by the thresholds; a mark (warn) does not exclude."""
    return [movie for movie in known if movie.state is MovieState.DONE and (movie.chosen or movie.verdict) in _ACCEPTED]


def export_star(database: Database, places: Places, session_id: int) -> Path:
    """Write the accepted micrographs of a session as a STAR file with optics groups; return its path. An older one is replaced.

    Raises:
        NotFound: no such session, or no micrograph is accepted yet.
        BadInput: a path has a space, which RELION cannot read.
        StorageError: it could not be written.
    """
    with database.read() as connection:
        session = sessions.get(connection, session_id)
        known = accepted(movies.of_session(connection, session_id))
    if not known:
        raise NotFound(f"No micrograph of session {session.name} is accepted yet.")
    optics: dict[OpticsGroup, int] = {}
    rows: list[MicrographRow] = []
    for movie in known:
        outputs = outputs_of(movie)
        if "micrograph" in outputs or "micrograph_weighted" in outputs:
            group = _optics(session, movie)
            rows.append(_row(places.movie_folder(session, movie), outputs, movie, optics.setdefault(group, len(optics) + 1)))
    path = places.session_folder(session) / "micrographs_accepted.star"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    groups = [_named(group, number) for group, number in optics.items()]
    write_star(path, micrographs_star(groups, rows))
    return path


def _optics(session: Session, movie: Movie) -> OpticsGroup:
    values = movie.metadata.get("values", {})
    recipe = readable(Recipe, movie.recipe if movie.recipe is not None else session.recipe)
    contrast = values.get("amplitude_contrast")
    aberration = values.get("spherical_aberration_mm")
    pixel = movie.metrics.get("pixel_size_angstrom") or values.get("pixel_size_angstrom") or 0.0
    of_movie = next((step.get("values", {}).get("pixel_size_angstrom") for step in movie.steps if step["step"] == "stack"), None)
    return OpticsGroup(
        name="",
        voltage_kv=float(values.get("voltage_kv") or 0.0),
        spherical_aberration_mm=_DEFAULT_SPHERICAL_ABERRATION_MM if aberration is None else float(aberration),
        amplitude_contrast=recipe.ctf.amplitude_contrast if contrast is None else float(contrast),
        pixel_size_angstrom=round(float(pixel), 6),
        movie_pixel_size_angstrom=round(float(of_movie or pixel), 6),
    )


def _named(group: OpticsGroup, number: int) -> OpticsGroup:
    return OpticsGroup(
        name=f"opticsGroup{number}",
        voltage_kv=group.voltage_kv,
        spherical_aberration_mm=group.spherical_aberration_mm,
        amplitude_contrast=group.amplitude_contrast,
        pixel_size_angstrom=group.pixel_size_angstrom,
        movie_pixel_size_angstrom=group.movie_pixel_size_angstrom,
    )


def _row(folder: Path, outputs: dict[str, str], movie: Movie, group: int) -> MicrographRow:
    numbers: dict[str, Any] = {}
    for step in movie.steps:
        numbers |= step.get("values", {})
    numbers |= movie.metrics

    def number(name: str) -> float | None:
        value = numbers.get(name)
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None

    main = outputs.get("micrograph_weighted") or outputs["micrograph"]
    return MicrographRow(
        name=str(folder / main),
        optics_group=group,
        name_not_weighted=str(folder / outputs["micrograph"]) if "micrograph_weighted" in outputs else None,
        defocus_u_angstrom=number("defocus_u_angstrom"),
        defocus_v_angstrom=number("defocus_v_angstrom"),
        defocus_angle_deg=number("astigmatism_angle_deg"),
        phase_shift_deg=number("phase_shift_deg"),
        score=number("ctf_score"),
        resolution_angstrom=number("ctf_resolution_angstrom"),
        total_motion_angstrom=number("total_motion_angstrom"),
        early_motion_angstrom=number("early_motion_angstrom"),
        late_motion_angstrom=number("late_motion_angstrom"),
    )
