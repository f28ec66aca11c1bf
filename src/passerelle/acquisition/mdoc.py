"""SerialEM's .mdoc files: IMOD's autodoc form, `key = value` lines under `[section = name]` heads."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from passerelle.core.errors import BadFile, IncompleteFile, UnsupportedFile

MAX_BYTES = 4 << 20  # a tilt series of 41 has 20 kB
MAX_SECTIONS = 20_000
MAX_KEYS = 200  # of one section; SerialEM writes about 40
MAX_LINE = 4_096


@dataclass(frozen=True, slots=True)
class Section:
    """Lines below one head. kind and name: of `[kind = name]`; both empty for what stands above the first head."""

    kind: str
    name: str
    values: dict[str, str] = field(default_factory=dict[str, str])

    def string(self, key: str) -> str | None:
        """Return a value, None where it is absent or empty."""
        return self.values.get(key) or None

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return the numbers of a value; empty where it is absent.

        Raises:
            ValueError: a word of the value is not a finite number; the message names the key.
        """
        words = self.values.get(key, "").split()
        try:
            found = tuple(float(word) for word in words)
        except ValueError:
            found = (math.nan,)
        if not all(math.isfinite(number) for number in found):
            raise ValueError(f"{key} should be numbers, found {self.values[key][:40]!r}.")
        return found

    def number(self, key: str) -> float | None:
        """Return the first number of a value, None where it is absent."""
        found = self.numbers(key)
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Mdoc:
    """A whole file. head: the values above the first section. titles: the `T` lines. sections: FrameSet, ZValue …, in order."""

    head: Section
    titles: tuple[str, ...]
    sections: tuple[Section, ...]


def read_mdoc(path: PurePosixPath, content: bytes) -> Mdoc:
    """Read an .mdoc file. A key that comes twice in a section keeps its last value, as in IMOD.

    Raises:
        IncompleteFile: empty, or the last line has no end (a cut number would look like a smaller one).
        UnsupportedFile: IMOD's XML variant of the format.
        BadFile: NUL bytes, too large, a line that is neither `key = value` nor `[section = name]`, or no value at all.
    """
    if len(content) > MAX_BYTES:
        raise BadFile(f"has {len(content) >> 20} MiB; an .mdoc file has at most {MAX_BYTES >> 20} MiB.", path=path)
    if not content.strip(b"\0 \t\r\n"):
        raise IncompleteFile("is empty; SerialEM's values were expected.", advice="It may still be written.", path=path)
    if b"\0" in content.rstrip(b"\0"):
        raise BadFile("holds NUL bytes; an .mdoc file is text.", path=path)
    if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<?xml"):
        raise UnsupportedFile("is an autodoc in XML; the plain form was expected.", path=path)
    if not content.endswith((b"\n", b"\r")):
        raise IncompleteFile("ends in the middle of a line.", advice="It may still be written.", path=path)
    head = Section("", "")
    titles: list[str] = []
    sections: list[Section] = []
    current = head
    for number, line in enumerate(_text(content).splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        kind, value = _split(path, number, stripped)
        if stripped.startswith("["):
            if kind == "T":
                titles.append(value)  # a title stands between sections and begins none
                continue
            current = Section(kind, value)
            sections.append(current)
            if len(sections) > MAX_SECTIONS:
                raise BadFile(f"has more than {MAX_SECTIONS} sections.", path=path)
        elif kind == "T" and current is head:
            titles.append(value)
        else:
            current.values[kind] = value
            if len(current.values) > MAX_KEYS:
                raise BadFile(f"has more than {MAX_KEYS} values in one section.", path=path)
    if not sections and not head.values:
        raise BadFile("holds no value.", path=path)
    return Mdoc(head, tuple(titles[:100]), tuple(sections))


def _split(path: PurePosixPath, number: int, line: str) -> tuple[str, str]:
    if len(line) > MAX_LINE:
        raise BadFile(f"has a line of {len(line)} characters (line {number}); at most {MAX_LINE} are read.", path=path)
    body = line
    if line.startswith("["):
        if not line.endswith("]"):
            raise BadFile(f"has a section head without its end in line {number}: {line[:60]!r}.", path=path)
        body = line[1:-1]
    key, equals, value = body.partition("=")
    if not equals or not key.strip():
        raise BadFile(f"should read `key = value` in line {number}, found {line[:60]!r}.", path=path)
    return key.strip(), value.strip()


def _text(content: bytes) -> str:
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")  # a Windows path with an accent; the numbers are the same in both
