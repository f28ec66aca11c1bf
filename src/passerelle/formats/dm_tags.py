"""The tag tree of DigitalMicrograph files (DM3, DM4), read with suspicion: no recursion, every length held against the file.

Gatan has not published the format; source: Chris Boothroyd's description and Greg Jefferis' notes on DM3, and files of GMS 1 to
3. Only what is asked for is kept: a path such as `ImageList.1.ImageData.DataType` -> a number or a text, or where an array lies.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from passerelle.core.errors import BadFile, IncompleteFile, UnsupportedFile
from passerelle.formats.source import Source

_MAX_DEPTH = 64
_MAX_KEPT = 4096
_MAX_TEXT = 4096
_MAX_TAGS_A_GROUP = 1 << 24
_WINDOW = 1 << 14
_GROUP, _DATA = 20, 21
_STRUCT, _STRING, _ARRAY = 15, 18, 20
# code of a simple type -> struct letter
_SIMPLE = {2: "h", 3: "i", 4: "H", 5: "I", 6: "f", 7: "d", 8: "?", 9: "b", 10: "B", 11: "q", 12: "Q"}
_SIZES = {code: struct.calcsize("<" + letter) for code, letter in _SIMPLE.items()}


@dataclass(frozen=True, slots=True)
class ArrayPlace:
    """Where an array lies: first byte, number of elements, bytes of one."""

    at: int
    count: int
    element_bytes: int


Value = float | int | str | ArrayPlace


def read_tags(source: Source, wanted: Callable[[str], bool]) -> dict[str, Value]:
    """Return the values whose path `wanted` asks for.

    Raises:
        IncompleteFile: the tags, or an array, lead out of the file.
        BadFile: not DM3 or DM4, or corrupt.
        UnsupportedFile: version 2 or older.
    """
    return _Walk(source, wanted).run()


class _Walk:
    """One pass over the tree."""

    def __init__(self, source: Source, wanted: Callable[[str], bool]) -> None:
        self._source = source
        self._wanted = wanted
        self._kept: dict[str, Value] = {}
        self._window = b""
        self._window_at = 0
        self._at = 0
        version, little = 0, 0
        (version,) = struct.unpack(">I", self._take(4))
        if version not in (3, 4):
            raise UnsupportedFile(f"has DigitalMicrograph version {version}; 3 and 4 are read.", path=source.path)
        self._four = version == 4
        self._word = ">Q" if self._four else ">I"
        self._word_bytes = 8 if self._four else 4
        self._take(self._word_bytes)  # length of the file, which programs do not keep right
        (little,) = struct.unpack(">I", self._take(4))
        if little == 0:
            raise UnsupportedFile("was written by a big-endian computer (DigitalMicrograph 3 on a PowerPC).", path=source.path)
        if little != 1:
            raise self._bad(f"a byte order of {little}")

    def run(self) -> dict[str, Value]:
        # groups that are open: [tags left, number of the next tag, path]
        open_groups: list[list[int | str]] = [[self._group(), 0, ""]]
        while open_groups:
            group = open_groups[-1]
            left, index, path = int(group[0]), int(group[1]), str(group[2])
            if left == 0:
                open_groups.pop()
                continue
            group[0], group[1] = left - 1, index + 1
            kind, label = self._label()
            name = f"{path}.{label or index}" if path else label or str(index)
            if len(name) > 1000:
                raise self._bad("names beyond 1000 letters")
            # DM4 says how many bytes the tag has: what is not known can be passed over
            end = struct.unpack(">Q", self._take(8))[0] + self._at if self._four else 0
            if kind == _GROUP:
                if len(open_groups) >= _MAX_DEPTH:
                    raise self._bad(f"more than {_MAX_DEPTH} groups inside each other")
                open_groups.append([self._group(), 0, name])
            elif kind == _DATA:
                self._data(name, end)
            else:
                raise self._bad(f"a tag of kind {kind}")
        return self._kept

    def _group(self) -> int:
        self._take(2)  # sorted, open
        count = self._integer()
        if count > _MAX_TAGS_A_GROUP:
            raise self._bad(f"a group of {count:,} tags")
        return count

    def _label(self) -> tuple[int, str]:
        kind, length = struct.unpack(">BH", self._take(3))
        return kind, self._take(length).decode("latin-1")

    def _data(self, name: str, end: int) -> None:
        if self._take(4) != b"%%%%":
            raise self._bad("a tag without its mark")
        words = self._integer()
        if not 1 <= words <= 4096:
            raise self._bad(f"a tag described by {words:,} words")
        info = struct.unpack(f">{words}{self._word[1]}", self._take(words * self._word_bytes))
        try:
            element, count = self._shape(info)
        except BadFile:
            if end <= self._at:
                raise
            self._at = end
            return
        at = self._at
        self._source.require(at, element * count)
        self._at += element * count
        if self._wanted(name):
            if len(self._kept) >= _MAX_KEPT:
                raise self._bad("more images than can be")
            self._kept[name] = self._value(name, info, at, element, count)

    def _shape(self, info: tuple[int, ...]) -> tuple[int, int]:
        """Return bytes of one element and their number."""
        kind = info[0]
        if kind in _SIZES and len(info) == 1:
            return _SIZES[kind], 1
        if kind == _STRING and len(info) == 2:
            return 1, info[1]
        if kind == _STRUCT and len(info) >= 3:
            return self._struct_bytes(info[1:]), 1
        if kind == _ARRAY and len(info) >= 3:
            if info[1] in _SIZES and len(info) == 3:
                return _SIZES[info[1]], info[2]
            if info[1] == _STRUCT and len(info) >= 5:
                return self._struct_bytes(info[2:-1]), info[-1]
        raise self._bad(f"a value of kind {kind}")

    def _struct_bytes(self, words: tuple[int, ...]) -> int:
        """words: length of the name, number of fields, then for each the length of its name and its type."""
        if len(words) != 2 + 2 * words[1]:
            raise self._bad(f"a structure of {words[1]:,} fields")
        names, types = words[2::2], words[3::2]
        if any(kind not in _SIZES for kind in types):
            raise self._bad("a structure of unknown fields")
        return words[0] + sum(names) + sum(_SIZES[kind] for kind in types)

    def _value(self, name: str, info: tuple[int, ...], at: int, element: int, count: int) -> Value:
        if info[0] in _SIMPLE:
            return struct.unpack("<" + _SIMPLE[info[0]], self._source.read(at, element))[0]
        # texts are arrays of 16-bit letters, and so are the pixels of a K2: only the name tells
        if name.endswith(".Data"):
            return ArrayPlace(at, count, element)
        if info[0] == _ARRAY and info[1] == 4 and count <= _MAX_TEXT:
            return self._source.read(at, 2 * count).decode("utf-16-le", "replace")
        if info[0] == _STRING and count <= _MAX_TEXT:
            return self._source.read(at, count).decode("latin-1")
        return ArrayPlace(at, count, element)

    def _integer(self) -> int:
        return struct.unpack(self._word, self._take(self._word_bytes))[0]

    def _take(self, count: int) -> bytes:
        """Return the next `count` bytes; read ahead in windows, for tags are many and small."""
        end = self._at + count
        if end > self._source.size:
            raise IncompleteFile(
                f"is not whole: its tags lead to byte {end:,}, the file ends at {self._source.size:,}.",
                advice="It may still be written; if not, it was cut short: copy it again.",
                path=self._source.path,
            )
        if not self._window_at <= self._at <= end <= self._window_at + len(self._window):
            self._window_at = self._at
            self._window = self._source.read(self._at, min(max(count, _WINDOW), self._source.size - self._at))
        start = self._at - self._window_at
        self._at = end
        return self._window[start : start + count]

    def _bad(self, what: str) -> BadFile:
        return BadFile(
            f"is not a DigitalMicrograph file that can be read: it has {what} before byte {self._at:,}.", path=self._source.path
        )
