"""Read the XML that microscope programs write: bounded, without entities, namespaces set aside.

Built on defusedxml: a document type, an entity or an external reference is refused, whatever it says. The document is
streamed; only the parts that a caller wants become elements, and each is dropped once it was handled. So memory does not
grow with a hostile file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from xml.etree.ElementTree import ParseError
from xml.parsers import expat

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from passerelle.core.errors import BadFile, IncompleteFile

# A square of 570 holes has 2.3 MB and 40,000 elements. These bounds keep the time below 2 s whatever the file holds.
MAX_BYTES = 32 << 20
MAX_DEPTH = 200
MAX_ELEMENTS = 200_000
MAX_ATTRIBUTES = 200_000
MAX_GAP = 64 << 10  # bytes from one > to the next: a tag and the text before it
MAX_KEPT_ELEMENTS = 50_000
MAX_TEXT = 4_096  # characters kept of one element

_codes = expat.errors.codes
_CUT_OFF = frozenset(
    _codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
    )
)


class Element:
    """An element without its namespace. identity and reference: the Id and Ref of .NET's serializer."""

    __slots__ = ("children", "identity", "reference", "tag", "text")

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.text = ""
        self.children: list[Element] = []
        self.identity: str | None = None
        self.reference: str | None = None
        for name, value in attributes.items():
            match _local(name):
                case "Id":
                    self.identity = value[:20]
                case "Ref":
                    self.reference = value[:20]
                case _:
                    pass

    def child(self, *tags: str) -> Element | None:
        """Return the first element along a path of tags, None where there is none."""
        element: Element | None = self
        for tag in tags:
            element = next((child for child in element.children if child.tag == tag), None) if element else None
        return element

    def string(self, *tags: str) -> str | None:
        """Return the text at a path, None where it is absent or empty."""
        element = self.child(*tags)
        return (element.text.strip() or None) if element else None

    def number(self, *tags: str) -> float | None:
        """Return the number at a path, None where it is absent, empty or not finite.

        Raises:
            ValueError: the text there is not a number; the message names the element.
        """
        text = self.string(*tags)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{'/'.join(tags) or self.tag} should be a number, found {text[:40]!r}.") from None
        return value if math.isfinite(value) else None

    def descendants(self, tag: str) -> Iterator[Element]:
        """Yield every element of that tag below this one, in document order; what lies inside a match is not searched."""
        pending = list(reversed(self.children))
        while pending:
            element = pending.pop()
            if element.tag == tag:
                yield element
            else:
                pending.extend(reversed(element.children))


def read_xml(
    path: PurePosixPath,
    content: bytes,
    *,
    root: str,
    keep: Callable[[str, int], bool],
    handle: Callable[[Element], None],
) -> None:
    """Stream a document; call `handle` with each outermost element for which `keep(tag, depth)` is true (the root has depth 0).

    Raises:
        IncompleteFile: the document ends too early; it may still be written.
        BadFile: not XML, another root than `root`, entities or a document type, too large, too deep, too many elements,
            or `handle` found a value that is not what its element promises.
    """
    if len(content) > MAX_BYTES:
        raise BadFile(f"has {len(content) >> 20} MiB; a metadata file has at most {MAX_BYTES >> 20} MiB.", path=path)
    if not content.strip(b"\0 \t\r\n"):
        raise IncompleteFile("is empty; XML was expected.", advice="It may still be written.", path=path)
    _check_gaps(path, content)
    target = _Target(root, keep, handle)
    parser = DefusedXMLParser(target=target, forbid_dtd=True)
    try:
        # in one piece: expat before 2.6 takes quadratic time over one long token that is fed in many
        parser.feed(content)
        parser.close()
    except ParseError as error:
        line, column = error.position
        if error.code in _CUT_OFF or content.endswith(b"\0"):
            raise IncompleteFile(
                f"ends before its XML does (line {line}).", advice="It may still be written.", path=path
            ) from error
        raise BadFile(f"is not well-formed XML at line {line}, column {column}.", path=path) from error
    except DefusedXmlException as error:
        raise BadFile(
            "declares a document type or an entity, which no microscope program does; it was not read.",
            advice="Find out where this file comes from.",
            path=path,
        ) from error
    except (ValueError, LookupError) as error:
        # ValueError: a limit or a value; LookupError: an encoding that does not exist
        raise BadFile(str(error) or "could not be read as XML.", path=path) from error


def _check_gaps(path: PurePosixPath, content: bytes) -> None:
    """Refuse a tag or text of absurd length before the parser takes seconds over it."""
    begin = 0
    for _ in range(4 * MAX_ELEMENTS):
        end = content.find(b">", begin)
        if (len(content) if end < 0 else end) - begin > MAX_GAP:
            break
        if end < 0:
            return
        begin = end + 1
    if content.endswith(b"\0"):
        raise IncompleteFile("ends in zero bytes.", advice="It may still be written.", path=path)
    raise BadFile(f"holds a tag or text longer than {MAX_GAP >> 10} KiB, or far too many: no microscope's XML.", path=path)


class _Target:
    """What the parser calls; keeps the path down to the present element, and the element that is being kept."""

    def __init__(self, root: str, keep: Callable[[str, int], bool], handle: Callable[[Element], None]) -> None:
        self._root = root
        self._keep = keep
        self._handle = handle
        self._depth = -1
        self._elements = 0
        self._attributes = 0
        self._kept: list[Element] = []
        self._kept_elements = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"is nested deeper than {MAX_DEPTH} elements.")
        self._attributes += len(attributes)
        if self._elements > MAX_ELEMENTS or self._attributes > MAX_ATTRIBUTES:
            raise ValueError(f"has more than {MAX_ELEMENTS} elements or {MAX_ATTRIBUTES} attributes.")
        tag = _local(name)
        if self._depth == 0 and tag != self._root:
            raise ValueError(f"should be a {self._root} document, found {tag[:60]!r}.")
        if self._kept:
            self._kept_elements += 1
            if self._kept_elements > MAX_KEPT_ELEMENTS:
                raise ValueError(f"has more than {MAX_KEPT_ELEMENTS} elements in one record.")
            element = Element(tag, attributes)
            self._kept[-1].children.append(element)
            self._kept.append(element)
        elif self._keep(tag, self._depth):
            self._kept_elements = 1
            self._kept.append(Element(tag, attributes))

    def data(self, text: str) -> None:
        if self._kept and len(self._kept[-1].text) < MAX_TEXT:
            self._kept[-1].text += text[:MAX_TEXT]

    def end(self, _name: str) -> None:
        self._depth -= 1
        if self._kept:
            element = self._kept.pop()
            if not self._kept:
                self._handle(element)

    def close(self) -> None:
        return None


def _local(name: str) -> str:
    return name.rpartition("}")[2]
