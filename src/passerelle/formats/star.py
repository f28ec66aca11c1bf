"""STAR files as RELION ≥ 3.1 writes and reads them: blocks of pairs or of one table each.

A table keeps its lines, not its words: a file of a million particles takes little more memory than its own size.
Not read, and said so: several tables in one block, values over several lines (`;`), save frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from passerelle.core.atomic import write_text
from passerelle.core.errors import BadFile, BadInput
from passerelle.formats.source import Source

_MAX_BYTES = 2 << 30
_MAX_COLUMNS = 10_000


@dataclass(slots=True)
class StarBlock:
    """One `data_` block. columns: labels without the leading underscore. A block of pairs is a table of one row with `loop`
    False.
    """

    columns: tuple[str, ...]
    loop: bool = True
    lines: list[str] = field(default_factory=list[str])

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
        return cls(tuple(columns), loop, lines)

    @classmethod
    def of_pairs(cls, pairs: Mapping[str, object]) -> StarBlock:
        """Make a block of pairs."""
        return cls.of_rows(tuple(pairs), [tuple(pairs.values())], loop=False)

    def __len__(self) -> int:
        return len(self.lines)

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the rows as words, in the order of `columns`."""
        for line in self.lines:
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
        return [_words(line)[place] for line in self.lines]


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
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    del content
    return _Parser(path).parse(text)


class _Parser:
    """State of reading one file, line by line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._blocks: dict[str, StarBlock] = {}
        self._name: str | None = None
        self._columns: dict[str, None] = {}  # ordered, and quick to ask
        self._lines: list[str] = []
        self._pairs: list[str] = []
        self._place = "block"  # where the next line stands: block, labels (after loop_), rows, closed

    def parse(self, text: str) -> dict[str, StarBlock]:
        start, number = 0, 0
        while start < len(text):
            end = text.find("\n", start)
            end = len(text) if end < 0 else end
            number += 1
            self._line(text[start:end].strip(), number)
            start = end + 1
        self._finish()
        if not self._blocks:
            raise BadFile("is not a STAR file: no line begins with data_.", path=self._path)
        return self._blocks

    def _line(self, line: str, number: int) -> None:
        if not line:
            if self._place == "rows":
                self._place = "closed"  # RELION ends a table at an empty line
            return
        if line[0] == "#":
            return
        if line.startswith("data_"):
            self._finish()
            words = _words(line)
            if len(words) != 1:
                raise self._bad(number, "more than the name of a block")
            self._name = words[0][5:]
            if self._name in self._blocks:
                raise self._bad(number, f"a second block data_{self._name}")
            return
        if self._name is None:
            raise self._bad(number, f"{line[:40]!r} before the first data_ block")
        if line == "loop_" or line.startswith(("loop_ ", "loop_\t", "loop_#")):
            if self._place != "block" or self._columns:
                raise self._bad(number, "a second table in one block, which is not read")
            self._place = "labels"
        elif line[0] == "_":
            self._label(line, number)
        elif line[0] == ";":
            raise self._bad(number, "a value over several lines, which is not read")
        elif self._place in ("labels", "rows") and self._columns:
            self._place = "rows"
            if len(_words(line)) != len(self._columns):
                raise self._bad(number, f"{len(_words(line))} values for {len(self._columns)} columns")
            self._lines.append(line)
        else:
            raise self._bad(number, f"{line[:40]!r} where a label or a block was expected")

    def _label(self, line: str, number: int) -> None:
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
            if self._place == "block":
                block = StarBlock(tuple(self._columns), loop=False, lines=[" ".join(self._pairs)] if self._pairs else [])
            else:
                block = StarBlock(tuple(self._columns), loop=True, lines=self._lines)
            self._blocks[self._name] = block
        self._columns, self._lines, self._pairs, self._place = {}, [], [], "block"

    def _bad(self, number: int, what: str) -> BadFile:
        return BadFile(f"is not a STAR file that can be read: line {number} has {what}.", path=self._path)


def _words(line: str) -> list[str]:
    """Split a line into words; quotes hold words with spaces, ` #` begins a comment."""
    if '"' not in line and "'" not in line and "#" not in line:
        return line.split()
    words: list[str] = []
    at, length = 0, len(line)
    while at < length:
        if line[at].isspace():
            at += 1
        elif line[at] == "#":
            break
        elif line[at] in "\"'":
            end = _closing_quote(line, at)
            words.append(line[at + 1 : end])
            at = end + 1
        else:
            end = at
            while end < length and not line[end].isspace():
                end += 1
            words.append(line[at:end])
            at = end
    return words


def _closing_quote(line: str, at: int) -> int:
    """Return the place of the quote that ends the word begun at `at`: one followed by a space (STAR), else the end of the
    line.
    """
    end = line.find(line[at], at + 1)
    while 0 <= end < len(line) - 1 and not line[end + 1].isspace():
        end = line.find(line[at], end + 1)
    return end if end >= 0 else len(line)


def _word(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    word = str(value)
    if "\n" in word or "\r" in word or "\0" in word:
        raise BadInput(f"a STAR file cannot hold a value with a line break: {word[:60]!r}.")
    if word and not any(c.isspace() for c in word) and word[0] not in "\"'#_;" and not word.startswith(("data_", "loop_")):
        return word
    for quote in "\"'":
        if not any(word[i] == quote and (i + 1 == len(word) or word[i + 1].isspace()) for i in range(len(word))):
            return f"{quote}{word}{quote}"
    raise BadInput(f"a STAR file cannot hold a value with both kinds of quotes: {word[:60]!r}.")


def write_star(path: Path, blocks: Mapping[str, StarBlock]) -> None:
    """Write blocks as RELION does; the file appears under its name only when it is whole and on the disk.

    Raises:
        OutOfSpace, StorageError: nothing of this name has changed.
    """
    parts: list[str] = []
    for name, block in blocks.items():
        parts.append(f"\n# version 30001\n\ndata_{name}\n\n")
        if block.loop:
            parts.append("loop_ \n")
            parts.extend(f"_{column} #{place} \n" for place, column in enumerate(block.columns, 1))
            parts.extend(f"{line} \n" for line in block.lines)
        else:
            words = next(block.rows(), ())
            parts.extend(f"_{column}   {_word(word)}\n" for column, word in zip(block.columns, words, strict=True))
        parts.append("\n")
    write_text(path, "".join(parts))
