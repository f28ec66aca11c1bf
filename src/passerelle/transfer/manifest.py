"""The manifest of a dataset: what each file is, when it was verified, by which leg. It travels with the dataset.

It lies beside the files, in `.passerelle/manifest.jsonl`: text that any program reads, one JSON object a line.

    {"passerelle_manifest":1,"block_bytes":4194304,"legs":["gateway to zone"]}
    {"path":"a/movie.tiff","size":9000000,"mtime_ns":…,"blake3":"…","xxh3_128":"…","at":1795421000.5,"leg":0}
    {"path":"a/latest","link_to":"movie.tiff","mtime_ns":…,"at":…,"leg":0}
    {"files":2,"bytes":9000000,"blake3":"…"}

`blake3` is the digest of all bytes of the file, holes as zeros. `xxh3_128`, of files larger than a block, holds 32 digits for
each block of `block_bytes`, so that damage is found to the block. `at`: UTC seconds when it was read back from the medium of this
copy. `leg`: which of `legs` brought it. A name that is not UTF-8 is in `path_hex`. The last line has the digest of all before.
A copy that left something out on purpose says in its first line what was chosen: `"selection":"accepted movies"`.

While a copy runs, what was verified is appended to `.passerelle/journal`: each line with its checksum, each batch with one fsync.
A journal that was cut off in the middle of a line is good up to there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import xxhash
from blake3 import blake3

from passerelle.core.errors import BadFile, BadInput
from passerelle.transfer.beneath import checked
from passerelle.transfer.medium import BLOCK_BYTES

MANIFEST = "manifest.jsonl"
OTHER_DIGESTS = ("md5", "sha1", "sha256", "sha512")  # what depositions ask for
_VERSION = 1
_BLOCK_DIGITS = 32
_DIGEST_DIGITS = 64
_ENCODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Row(NamedTuple):
    """What is known of one file, or of one link: `link_to` is set then, and there is no digest. also: digests asked for."""

    path: str
    size: int
    mtime_ns: int
    digest: str
    blocks: str
    at: float
    leg: str
    link_to: str = ""
    also: tuple[tuple[str, str], ...] = ()

    def block(self, index: int) -> str:
        """Return the digest of a block; "" for files of one block."""
        return self.blocks[index * _BLOCK_DIGITS : (index + 1) * _BLOCK_DIGITS]


@dataclass(slots=True)
class Manifest:
    """All rows of a dataset by path, and the legs that it has come, in order. digest: of the text that it was read from.

    selection: what was chosen of the dataset, in words; empty where nothing was left out on purpose.
    """

    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    legs: list[str] = field(default_factory=list[str])
    digest: str = ""
    selection: str = ""

    @property
    def bytes(self) -> int:
        return sum(row.size for row in self.rows.values())


def write_lines(manifest: Manifest) -> Iterator[bytes]:
    """Yield the text of a manifest line by line, files in order of their paths; its digest is set when all were taken."""
    hasher = blake3()
    legs = list(dict.fromkeys([*manifest.legs, *(row.leg for row in manifest.rows.values())]))
    numbers = {leg: number for number, leg in enumerate(legs)}
    chosen = {"selection": manifest.selection} if manifest.selection else {}
    head = _line({"passerelle_manifest": _VERSION, "block_bytes": BLOCK_BYTES, "legs": legs, **chosen})
    hasher.update(head)
    yield head
    for path in sorted(manifest.rows):
        row = manifest.rows[path]
        line = _row_line(row, numbers[row.leg])
        hasher.update(line)
        yield line
    manifest.digest = hasher.hexdigest()
    yield _line({"files": len(manifest.rows), "bytes": manifest.bytes, "blake3": manifest.digest})


def read_lines(lines: Iterable[bytes], path: str) -> Manifest:
    """Read a manifest. path: where it lies, for the message.

    Raises:
        BadFile: it is no manifest, was cut off, or was changed after it was written.
    """
    hasher = blake3()
    manifest = Manifest()
    last: dict[str, Any] | None = None
    held = b""
    for number, line in enumerate(lines, 1):
        if last is not None:
            hasher.update(held)
        held = line
        last = _object(line, path, number)
        if number == 1:
            manifest.legs = _legs(last, path)
            manifest.selection = str(last.get("selection", ""))
        elif "files" not in last:
            row = _row(last, manifest.legs, path, number)
            manifest.rows[row.path] = row
    if last is None or last.get("files") != len(manifest.rows) or last.get("blake3") != hasher.hexdigest():
        raise BadFile(
            "is not the manifest that was written: it was cut off or changed.",
            advice="Copy the dataset again from where it came, or restore this file.",
            path=path,
        )
    manifest.digest = hasher.hexdigest()
    return manifest


def journal_lines(rows: Iterable[Row]) -> bytes:
    """Return rows as text to be appended to a journal."""
    return b"".join(_sealed(_row_line(row, row.leg)) for row in rows)


def read_journal(content: bytes) -> tuple[list[Row], int]:
    """Return the rows of a journal, and how many of its bytes are good: it may end in the middle of a line."""
    rows: list[Row] = []
    good = 0
    while (end := content.find(b"\n", good)) >= 0:
        line = content[good : end + 1]
        seal, _, text = line.partition(b" ")
        if seal != _seal(text):
            break
        rows.append(_row(json.loads(text), None, "journal", 0))
        good = end + 1
    return rows, good


def _row_line(row: Row, leg: str | int) -> bytes:
    """Return a row as text; the plain ones, nearly all, without the detour over a dictionary."""
    if not (row.link_to or row.blocks or row.also) and row.path.isascii():
        text = f'"size":{row.size},"mtime_ns":{row.mtime_ns},"blake3":"{row.digest}","at":{row.at!r},"leg":{_ENCODE(leg)}'
        return f'{{"path":{_ENCODE(row.path)},{text}}}\n'.encode()
    return _line(_fields(row) | {"leg": leg})


def _fields(row: Row) -> dict[str, Any]:
    """Return what is written of a row, its leg aside."""
    try:
        row.path.encode()
        named: dict[str, Any] = {"path": row.path}
    except UnicodeEncodeError:
        named = {"path_hex": os.fsencode(row.path).hex()}
    if row.link_to:
        try:
            row.link_to.encode()
            named["link_to"] = row.link_to
        except UnicodeEncodeError:
            named["link_to_hex"] = os.fsencode(row.link_to).hex()
        return named | {"mtime_ns": row.mtime_ns, "at": row.at}
    named |= {"size": row.size, "mtime_ns": row.mtime_ns, "blake3": row.digest}
    if row.blocks:
        named["xxh3_128"] = row.blocks
    named |= dict(row.also)
    return named | {"at": row.at}


def _row(fields: dict[str, Any], legs: list[str] | None, path: str, number: int) -> Row:
    """Read a row; legs: those of the header, or None where the leg stands in words. Everything is checked: it may be hostile."""
    try:
        name, link_to = _text(fields, "path"), _text(fields, "link_to") if "link_to" in fields or "link_to_hex" in fields else ""
        leg = cast("Any", fields["leg"] if legs is None else legs[fields["leg"]])
        size, digest, blocks = (0, "", "") if link_to else (fields["size"], fields["blake3"], fields.get("xxh3_128", ""))
        mtime_ns: Any = fields["mtime_ns"]
        expected = -(-size // BLOCK_BYTES) if size > BLOCK_BYTES else 0
        whole = link_to or (size >= 0 and len(digest) == _DIGEST_DIGITS and len(blocks) == expected * _BLOCK_DIGITS)
        if not (whole and isinstance(size, int) and isinstance(mtime_ns, int) and isinstance(leg, str)):
            raise ValueError(name)
        also = tuple((other, str(fields[other])) for other in OTHER_DIGESTS if other in fields)
        return Row(checked(name), size, mtime_ns, digest, blocks, float(fields["at"]), leg, link_to, also)
    except (BadInput, KeyError, IndexError, TypeError, ValueError) as error:
        raise BadFile(f"has no row of a manifest in line {number}.", advice="Restore this file.", path=path) from error


def _text(fields: dict[str, Any], key: str) -> str:
    text = fields.get(key)
    return text if isinstance(text, str) else os.fsdecode(bytes.fromhex(fields[f"{key}_hex"]))


def _object(line: bytes, path: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:  # lists within lists, a million deep
        raise BadFile(f"has no JSON in line {number}.", advice="Restore this file.", path=path) from error
    if not isinstance(value, dict):
        raise BadFile(f"has no row of a manifest in line {number}.", advice="Restore this file.", path=path)
    return cast("dict[str, Any]", value)


def _legs(head: dict[str, Any], path: str) -> list[str]:
    legs = head.get("legs")
    if head.get("passerelle_manifest") != _VERSION or head.get("block_bytes") != BLOCK_BYTES or not isinstance(legs, list):
        found = head.get("passerelle_manifest", "none")
        raise BadFile(f"is no manifest of version {_VERSION} (found: {found}).", advice="Use a newer passerelle.", path=path)
    return [str(leg) for leg in cast("list[Any]", legs)]


def _line(value: dict[str, Any]) -> bytes:
    return _ENCODE(value).encode() + b"\n"


def _sealed(line: bytes) -> bytes:
    return _seal(line) + b" " + line


def _seal(line: bytes) -> bytes:
    return xxhash.xxh3_64_hexdigest(line).encode()
