"""The first lines of a text file, whoever wrote it: for a page, which escapes them."""

from __future__ import annotations

import codecs

READ_BYTES = 64 << 10
_MOST_LINES = 200
_LONGEST = 400
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_PERMITTED = set(range(0x20, 0x7F)) | set(b"\t\n\r\f\x1b") | set(range(0x80, 0x100))


def first_lines(content: bytes) -> list[str] | None:
    """Return the first lines of what begins with `content` (at most READ_BYTES of it); None where it is no text.

    Bytes that are not of the encoding become U+FFFD. Lines are cut at 400 characters, and at 200 lines.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            text = content[len(mark) :].decode(encoding, "replace")
            break
    else:
        if not content or not set(content) <= _PERMITTED:
            return None
        text = content.decode("utf-8", "replace")
        if text.count("\ufffd") > len(text) // 20:  # old Windows programs write the alphabet of Western Europe
            text = content.decode("cp1252", "replace")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[: _MOST_LINES + 1]
    cut = [line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…" for line in lines]
    return [*cut[:_MOST_LINES], "…"] if len(cut) > _MOST_LINES else cut
