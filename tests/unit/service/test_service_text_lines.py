"""The first lines of a text, in whatever letters; nothing of what is no text."""

from __future__ import annotations

import pytest

from passerelle.service.text_lines import first_lines


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"[T = SerialEM]\r\nPixelSpacing = 1.06\r\n", ["[T = SerialEM]", "PixelSpacing = 1.06", ""]),
        ("Größe, µm".encode(), ["Größe, µm"]),
        (b"\xff\xfe" + "Åland\n".encode("utf-16-le"), ["Åland", ""]),
        (b"\xef\xbb\xbf<a>", ["<a>"]),
        ("Maßstab für Überlänge".encode("cp1252"), ["Maßstab für Überlänge"]),
        (b"\x93NUMPY\x01\x00", None),
        (b"\x00\x01", None),
        (b"", None),
    ],
)
def test_what_is_text_is_read_in_its_letters(content: bytes, lines: list[str] | None) -> None:
    assert first_lines(content) == lines


def test_long_texts_and_long_lines_are_cut() -> None:
    lines = first_lines(b"a" * 5000 + b"\n" + b"b\n" * 5000)
    assert lines is not None
    assert len(lines) == 201 and lines[-1] == "…"
    assert max(map(len, lines)) == 400
