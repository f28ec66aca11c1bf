"""STAR files as RELION ≥ 3.1 writes and reads them: blocks of pairs or of one table each.

A table keeps its bytes, not its words: a file of a million particles takes little more memory than its own size.
Not read, and said so: several tables in one block, values over several lines (`;`), save frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from passerelle.core.atomic import atomic_write
from passerelle.core.errors import BadFile, BadInput
from passerelle.formats.source import Source

_MAX_BYTES = 2 << 30
_MAX_COLUMNS = 10_000
_BLANKS = " \t\n\r\x0b\x0c"
_BLANK = re.compile(rb"[ \t\n\r\x0b\x0c]")


@dataclass(frozen=True, slots=True)
class StarBlock:
    """One `data_` block.

    columns: labels without the leading underscore. A block of pairs is a table of one row with `loop` False. body: the rows as
    they stand in the file, one a line, with what comments and empty lines are between them.
    """

    columns: tuple[str, ...]
    loop: bool = True
    body: bytes = b""

    @classmethod
    def of_rows(cls, columns: Sequence[str], rows: Iterable[Sequence[object]], *, loop: bool = True) -> StarBlock:
        """Make a block from values; floats are written with six digits after the point, None as `None`.

        Raises:
            BadInput: a row of another length than `columns`, or a value that STAR cannot hold (a line break, NUL).
        """
        lines: list[str] = []
        for row in rows:
            if len(row) != len(columns):
                raise BadInput(f"a row of {len(row)} values does not fit {len(columns)} columns.")
            lines.append(" ".join(_word(value) for value in row))
        if not loop and len(lines) != 1:
            raise BadInput(f"a block of pairs has one row, not {len(lines)}.")
        return cls(tuple(columns), loop, "\n".join(lines).encode("utf-8", "surrogateescape"))

    @classmethod
    def of_pairs(cls, pairs: Mapping[str, object]) -> StarBlock:
        """Make a block of pairs."""
        return cls.of_rows(tuple(pairs), [tuple(pairs.values())], loop=False)

    def __len__(self) -> int:
        return sum(1 for line in _lines(self.body) if _is_row(line))

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the rows as words, in the order of `columns`."""
        for line in _lines(self.body):
            if _is_row(line):
                yield tuple(_words(line))

    def column(self, name: str) -> list[str]:
        """Return all values of one column.

        Raises:
            BadInput: there is no such column.
        """
        try:
            place = self.columns.index(name)
        except ValueError:
            raise BadInput(f"a STAR table has no column {name}; it has {', '.join(self.columns[:20])}.") from None
        return [row[place] for row in self.rows()]


def _lines(content: bytes) -> Iterator[bytes]:
    """Yield lines without what is blank at their ends; never more than one of them is in memory."""
    start = 0
    while start < len(content):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        yield content[start:end].strip()
        start = end + 1


def _is_row(line: bytes) -> bool:
    return bool(line) and line[:1] != b"#"


def read_star(path: Path) -> dict[str, StarBlock]:
    """Read the blocks of a STAR file by name (without `data_`), in order.

    Raises:
        BadFile: not STAR; the line and what was expected are named.
        NotFound, StorageError: as `core.errors.storage_errors`.
    """
    source = Source(path)
    try:
        if source.size > _MAX_BYTES:
            raise BadFile(f"has {source.size:,} bytes; STAR files up to {_MAX_BYTES:,} are read.", path=path)
        content = source.read(0, source.size)
    finally:
        source.close()
    if b"\0" in content:
        raise BadFile("is not a STAR file: it holds binary zeros.", path=path)
    return _Parser(path, content.removeprefix(b"\xef\xbb\xbf")).parse()


class _Parser:
    """State of reading one file, line by line."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path = path
        self._content = content
        self._blocks: dict[str, StarBlock] = {}
        self._name: str | None = None
        self._columns: dict[str, None] = {}  # ordered, and quick to ask
        self._pairs: list[str] = []
        self._begin = self._end = 0  # of the rows of a table
        self._place = "block"  # where the next line stands: block, labels (after loop_), rows, closed

    def parse(self) -> dict[str, StarBlock]:
        start, number = 0, 0
        content = self._content
        while start < len(content):
            end = content.find(b"\n", start)
            end = len(content) if end < 0 else end
            number += 1
            self._line(content[start:end].strip(), number, start, end)
            start = end + 1
        self._finish()
        if not self._blocks:
            raise BadFile("is not a STAR file: no line begins with data_.", path=self._path)
        return self._blocks

    def _line(self, line: bytes, number: int, start: int, end: int) -> None:
        if not line:
            if self._place == "rows":
                self._place = "closed"  # RELION ends a table at an empty line
            return
        if line[:1] == b"#":
            return
        if line.startswith(b"data_"):
            self._block(line, number)
            return
        if self._name is None:
            raise self._bad(number, f"{_shown(line)} before the first data_ block")
        if line == b"loop_" or line.startswith((b"loop_ ", b"loop_\t", b"loop_#")):
            if self._place != "block" or self._columns:
                raise self._bad(number, "a second table in one block, which is not read")
            self._place = "labels"
        elif line[:1] == b"_":
            self._label(line, number)
        elif line[:1] == b";":
            raise self._bad(number, "a value over several lines, which is not read")
        elif self._place in ("labels", "rows") and self._columns:
            if self._place == "labels":
                self._place, self._begin = "rows", start
            self._end = end
            if len(_words(line)) != len(self._columns):
                raise self._bad(number, f"{len(_words(line))} values for {len(self._columns)} columns")
        else:
            raise self._bad(number, f"{_shown(line)} where a label or a block was expected")

    def _block(self, line: bytes, number: int) -> None:
        self._finish()
        words = _words(line)
        if len(words) != 1:
            raise self._bad(number, "more than the name of a block")
        self._name = words[0][5:]
        if self._name in self._blocks:
            raise self._bad(number, f"a second block data_{self._name[:60]}")

    def _label(self, line: bytes, number: int) -> None:
        words = _words(line)
        label = words[0][1:]
        if not label or label in self._columns:
            raise self._bad(number, f"the label {words[0][:60]!r} twice" if label else "a label without a name")
        if self._place in ("rows", "closed"):
            raise self._bad(number, "a label after the rows of a table")
        if len(self._columns) >= _MAX_COLUMNS:
            raise self._bad(number, f"more than {_MAX_COLUMNS:,} columns")
        self._columns[label] = None
        if self._place == "block":
            if len(words) != 2:
                raise self._bad(number, f"{len(words) - 1} values for the label {words[0][:60]!r}")
            self._pairs.append(_word(words[1]))

    def _finish(self) -> None:
        """Close the block that was being read."""
        if self._name is not None:
            if self._place == "labels" and not self._columns:
                raise BadFile(f"is cut short: the table of data_{self._name} has no columns.", path=self._path)
            loop = self._place != "block"
            pairs = " ".join(self._pairs).encode("utf-8", "surrogateescape")
            body = self._content[self._begin : self._end] if loop else pairs
            self._blocks[self._name] = StarBlock(tuple(self._columns), loop, body)
        self._columns, self._pairs, self._place = {}, [], "block"
        self._begin = self._end = 0

    def _bad(self, number: int, what: str) -> BadFile:
        return BadFile(f"is not a STAR file that can be read: line {number} has {what}.", path=self._path)


def _shown(line: bytes) -> str:
    return repr(line[:40].decode("utf-8", "replace"))


def _text(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")


def _words(line: bytes) -> list[str]:
    """Split a line into words at ASCII blanks; quotes hold words with blanks, ` #` begins a comment."""
    if b'"' not in line and b"'" not in line and b"#" not in line:
        return [_text(word) for word in line.split()]
    words: list[str] = []
    at, length = 0, len(line)
    while at < length:
        letter = line[at : at + 1]
        if letter.isspace():
            at += 1
        elif letter == b"#":
            break
        elif letter in (b'"', b"'"):
            end = _closing_quote(line, letter, at)
            words.append(_text(line[at + 1 : end]))
            at = end + 1
        else:
            found = _BLANK.search(line, at)
            end = found.start() if found else length
            words.append(_text(line[at:end]))
            at = end
    return words


def _closing_quote(line: bytes, quote: bytes, at: int) -> int:
    """Return the place of the quote that ends the word begun at `at`: one before a blank (STAR), else the end of the line."""
    end = line.find(quote, at + 1)
    while 0 <= end < len(line) - 1 and not line[end + 1 : end + 2].isspace():
        end = line.find(quote, end + 1)
    return end if end >= 0 else len(line)


def _word(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    word = str(value)
    if "\n" in word or "\r" in word or "\0" in word:
        raise BadInput(f"a STAR file cannot hold a value with a line break: {word[:60]!r}.")
    if (
        word
        and not any(letter in _BLANKS for letter in word)
        and word[0] not in "\"'#_;"
        and not word.startswith(("data_", "loop_"))
    ):
        return word
    for quote in "\"'":
        if not any(word[i] == quote and (i + 1 == len(word) or word[i + 1] in _BLANKS) for i in range(len(word))):
            return f"{quote}{word}{quote}"
    raise BadInput(f"a STAR file cannot hold a value with both kinds of quotes: {word[:60]!r}.")


def write_star(path: Path, blocks: Mapping[str, StarBlock]) -> None:
    """Write blocks as RELION does; the file appears under its name only when it is whole and on the disk.

    Raises:
        OutOfSpace, StorageError: nothing of this name has changed.
    """
    with atomic_write(path) as stream:
        for name, block in blocks.items():
            lines = [f"\n# version 30001\n\ndata_{name}\n\n"]
            if block.loop:
                lines.append("loop_ \n")
                lines.extend(f"_{column} #{place} \n" for place, column in enumerate(block.columns, 1))
            else:
                words = next(block.rows(), ())
                lines.extend(f"_{column}   {_word(word)}\n" for column, word in zip(block.columns, words, strict=True))
            stream.write("".join(lines).encode("utf-8", "surrogateescape"))
            if block.loop:
                stream.writelines(line + b" \n" for line in _lines(block.body) if _is_row(line))
            stream.write(b"\n")
