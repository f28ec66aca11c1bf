"""Until when a certificate holds, read from its file."""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

from passerelle.core.errors import BadFile, storage_errors

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# RFC 5280: Validity ::= SEQUENCE { notBefore Time, notAfter Time }; a time is UTCTime (year of two digits) or GeneralizedTime
_VALIDITY = re.compile(
    rb"\x30.(?:\x17\x0d\d{12}Z|\x18\x0f\d{14}Z)(?:\x17\x0d(?P<short>\d{12})Z|\x18\x0f(?P<long>\d{14})Z)", re.DOTALL
)
_LARGEST = 1 << 20


def holds_until(path: Path) -> float:
    """Return the earliest end of all certificates in a PEM file, UTC seconds.

    Raises:
        NotFound, NotAllowed, StorageError: it cannot be read. BadFile: there is none in it.
    """
    with storage_errors(path), path.open("rb") as stream:
        text = stream.read(_LARGEST).decode("ascii", "replace")
    ends: list[float] = []
    for block in _PEM.findall(text):
        try:
            found = _VALIDITY.search(ssl.PEM_cert_to_DER_cert(block))
        except ValueError:
            found = None
        if found is None:
            raise BadFile("holds a certificate that cannot be read.", path=path)
        ends.append(_instant(found))
    if not ends:
        raise BadFile("holds no certificate (PEM).", path=path)
    return min(ends)


def _instant(found: re.Match[bytes]) -> float:
    if found["long"]:
        digits = found["long"].decode()
    else:
        short = found["short"].decode()
        digits = ("19" if int(short[:2]) >= 50 else "20") + short
    return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
