"""Read an atomic model: where the atoms are and how strongly they scatter electrons. PDB and mmCIF, plain or gzipped."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadFile, storage_errors

_MAX_TEXT_BYTES = 1 << 28
_MAX_LINE = 4096
# electron scattering amplitude at zero angle, Å (Doyle & Turner 1968, Acta Cryst. A24, 390)
_AMPLITUDE_ANGSTROM = {
    "C": 2.51, "N": 2.21, "O": 1.98, "P": 5.49, "S": 5.16, "NA": 4.78, "MG": 5.21, "CL": 4.86, "K": 8.98, "CA": 9.91, "MN": 7.51,
    "FE": 7.16, "CO": 6.85, "NI": 6.57, "CU": 5.60, "ZN": 6.07, "SE": 7.20,
}  # fmt: skip
_OTHER_ANGSTROM = 5.0


@dataclass(frozen=True, slots=True)
class Atoms:
    """Atoms without hydrogen.

    place: (n, 3) as (x, y, z) in angstrom, the centre of scattering at the origin. amplitude: (n,) in angstrom.
    """

    place: NDArray[np.float64]
    amplitude: NDArray[np.float64]

    @property
    def radius_angstrom(self) -> float:
        """The distance of the farthest atom from the centre."""
        return float(np.sqrt((self.place**2).sum(axis=1).max()))


def read_atoms(path: Path) -> Atoms:
    """Read all atoms but hydrogen and water of a model; where there are several MODELs (an assembly), of all.

    Raises:
        BadFile: no atoms, a coordinate that is not a number, or more than 256 MiB of text.
    """
    with storage_errors(path):
        packed = path.suffix == ".gz"
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            try:
                lines = _lines(stream, path)  # type: ignore[arg-type]
                found = list(_cif(lines) if ".cif" in path.suffixes or ".mmcif" in path.suffixes else _pdb(lines))
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise BadFile(f"is a damaged gzip file: {error}.", path=path) from error
            except ValueError as error:
                raise BadFile(f"is not an atomic model: {error}.", path=path) from error
    if not found:
        raise BadFile("holds no atoms.", advice="Give a PDB or mmCIF file.", path=path)
    place = np.array([atom[1:] for atom in found], np.float64)
    amplitude = np.array([_AMPLITUDE_ANGSTROM.get(atom[0], _OTHER_ANGSTROM) for atom in found])
    if not np.isfinite(place).all():
        raise BadFile("has a coordinate that is not a number.", path=path)
    place -= (place * amplitude[:, None]).sum(axis=0) / amplitude.sum()
    return Atoms(place, amplitude)


def _lines(stream: io.BufferedIOBase, path: Path) -> Iterator[str]:
    total = 0
    while line := stream.readline(_MAX_LINE):
        total += len(line)
        if total > _MAX_TEXT_BYTES:
            raise BadFile("unpacks to more than 256 MiB of text.", path=path)
        yield line.decode("ascii", "replace")


def _pdb(lines: Iterator[str]) -> Iterator[tuple[str, float, float, float]]:
    for line in lines:
        if line.startswith(("ATOM  ", "HETATM")):
            element = line[76:78].strip().upper() or line[12:14].strip(" 0123456789").upper()
            if element not in ("H", "D") and line[17:20] != "HOH" and line[16] in " A":
                yield element, float(line[30:38]), float(line[38:46]), float(line[46:54])


def _cif(lines: Iterator[str]) -> Iterator[tuple[str, float, float, float]]:
    columns: dict[str, int] = {}
    for line in lines:
        if line.startswith("_atom_site."):
            columns[line.strip()] = len(columns)
        elif columns and line.startswith(("ATOM", "HETATM")):
            words = line.split()
            if len(words) < len(columns):
                raise ValueError(f"an atom line has {len(words)} words, expected {len(columns)}")
            element = words[columns["_atom_site.type_symbol"]].upper()
            if element not in ("H", "D") and words[columns["_atom_site.label_comp_id"]] != "HOH":
                x, y, z = (float(words[columns[f"_atom_site.Cartn_{axis}"]]) for axis in "xyz")
                yield element, x, y, z
        elif columns and line.startswith("#"):
            return
