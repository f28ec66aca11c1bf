"""Which names the watch never looks at."""

from __future__ import annotations

import pytest

from passerelle.gateway.admit import admit, ignored
from passerelle.testing.writers import ZooProgram


@pytest.mark.parametrize(
    "name",
    [
        ".p-1234", ".hidden.mrc", "movie.mrc.tmp", "movie.mrc.TMP", "movie.mrc.part", "movie.tif.filepart", "movie.mrc.partial",
        "~$notes.docx", "movie.mrc~", "movie~RF1a2b.TMP", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN", "System Volume Information",
        "lost+found", ".nfs000000012", ".fuse_hidden0001", "download.crdownload", ".Trash-1000", "@eaDir",
    ],
)  # fmt: skip
def test_temporary_hidden_and_litter_names_are_ignored(name: str) -> None:
    assert ignored(name)


@pytest.mark.parametrize(
    "name",
    [
        "movie.mrc",
        "FoilHole_1_Data_2_3_20200101_120000_fractions.tiff",
        "a b.mrc",
        "näme.mrc",
        "new\nline.mrc",
        "\udcff.mrc",
        "tmp",
        "part",
    ],
)
def test_ordinary_and_odd_names_are_let_in(name: str) -> None:
    assert not ignored(name)


def test_the_place_is_the_programs_word_on_the_path() -> None:
    place = admit(ZooProgram(), "session/sub/m1-Frame3.mrc")
    assert place is not None
    assert (str(place.session), place.movie, place.frame) == ("session", "m1", 3)
    assert admit(ZooProgram(), "session/readme.txt") is None
