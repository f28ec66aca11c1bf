"""A service of another account that does nothing but run transfers: `python -m passerelle.testing.send_service CONFIG`.

It writes its process id to STATE/ready once the loop runs, and goes on until it is killed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from passerelle.core.atomic import write_text
from passerelle.service.notices import Notices
from passerelle.service.settings import read_settings
from passerelle.service.wiring import Claim, assemble
from passerelle.service.wiring_transfers import transfer_runner


def main(config: Path) -> None:
    """Run transfers until killed."""
    settings = read_settings(config)
    claim = Claim(settings.state.folder)
    parts = assemble(settings)
    runner = transfer_runner(parts, Notices(parts.database, settings))
    runner.start()
    write_text(settings.state.folder / "ready", str(os.getpid()))
    try:
        while True:
            time.sleep(1.0)
    finally:
        runner.stop()
        parts.close()
        claim.release()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
