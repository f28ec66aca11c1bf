"""Pages of zones over a real service with real files of every kind: what they are looked at and tested against.

`python -m tests.web_zones_demo --port 8000` serves it to everybody on this machine as an admin.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from passerelle.service.access import this_account
from passerelle.service.facility import Facility
from passerelle.service.settings import read_settings
from passerelle.service.wiring import Parts, assemble
from passerelle.store import zones as rows
from passerelle.testing.pictures import PICTURES
from passerelle.transfer import copy_dataset
from passerelle.zones import ZoneKind


def furnish(folder: Path) -> Parts:
    """Make a facility with zones: a zone with a dataset that a copy brought, one archived, an instrument's."""
    (folder / "gateway" / "krios").mkdir(parents=True, exist_ok=True)
    config = folder / "passerelle.toml"
    config.write_text(
        '[zones]\nfolder = "zones"\nserver = "data"\n[instruments.krios]\nfolder = "gateway/krios"\nprogram = "epu"\n'
    )
    return assemble(read_settings(config))


def fill(parts: Parts, folder: Path) -> None:
    """Put zones and files into a facility that has none."""
    facility = Facility(parts)
    actor, zones = this_account(), facility.zones
    own = actor.name
    zones.create(
        actor, "alice", kind=ZoneKind.PERSONAL, owner=own, quota_bytes=5 << 30, description="Ribosomes, and what else comes"
    )
    zones.create(actor, "cryo-platform", kind=ZoneKind.PLATFORM, owner=own, description="Of everybody at the Krios")
    zones.create(actor, "krios", kind=ZoneKind.INSTRUMENT, owner=own)
    zones.create(actor, "thesis-2019", kind=ZoneKind.PERSONAL, owner=own)
    session = folder / "gateway" / "krios" / "session 1"
    session.mkdir()
    for name, write in PICTURES.items():
        write(session / name)
    (session / "session.mdoc").write_text(
        "[T = SerialEM: Acquired on Krios]\nPixelSpacing = 1.06\n<script>alert(1)</script>\n" * 20
    )
    place = folder / "zones" / "alice" / "datasets" / "krios" / "2026-11-28_ribosome"
    place.parent.mkdir(parents=True)
    copy_dataset(session, place, leg="gateway to zone")
    (place / "notes.txt").write_text("added later\n")
    content = bytearray((place / "photo.jpg").read_bytes())
    (place / "photo.jpg").unlink()
    (place / "photo.jpg").write_bytes(content + b"x")
    odd = folder / "zones" / "alice" / "odd names"
    odd.mkdir()
    for name in (
        b"caf\xe9.txt",
        b"a\nb.txt",
        b"<img src=x onerror=alert(1)>.txt",
        b"con.txt",
        b"ends.",
        b"50%25 off.txt",
        b"a:b.txt",
    ):
        (odd / os.fsdecode(name)).write_bytes(b"text\n")
    (odd / "out").symlink_to("/etc")
    now = time.time()
    with parts.database.write() as connection:
        row = rows.get(connection, "alice")
        for day in range(30):
            rows.add_usage(connection, row.id, rows.Usage(now - (30 - day) * 86400, int((1 << 27) * day**1.3), 40 * day))
    zones.measure(actor, "cryo-platform")
    zones.archive(actor, "thesis-2019")
    facility.close()


def main() -> None:
    import uvicorn

    from passerelle.web import create_app

    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=8000)
    arguments.add_argument("--folder", type=Path, default=Path("/tmp/passerelle-zones-demo"))
    chosen = arguments.parse_args()
    fresh = not (chosen.folder / "passerelle.toml").exists()
    parts = furnish(chosen.folder)
    if fresh:
        fill(parts, chosen.folder)
    facility = Facility(parts)
    try:
        uvicorn.run(create_app(facility, files_beneath=()), host="127.0.0.1", port=chosen.port, log_level="warning")
    finally:
        facility.close()
        parts.close()


if __name__ == "__main__":
    main()
