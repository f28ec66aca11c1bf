"""Where the service keeps what it makes: results by session and movie, outcomes of tasks, logs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from passerelle.core.errors import storage_errors
from passerelle.store import Movie, Session

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one service. state: a local disk. results: may be large."""

    state: Path
    results: Path

    @property
    def outcomes(self) -> Path:
        return self.state / "outcomes"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def links(self) -> Path:
        return self.state / "links"

    @property
    def kernels(self) -> Path:
        """Compiled code, where neither the package nor the account has a place for it."""
        return self.state / "kernels"

    @property
    def previews(self) -> Path:
        return self.state / "previews"

    @property
    def backup(self) -> Path:
        return self.state / "backup" / "passerelle.sqlite"

    @property
    def exports(self) -> Path:
        return self.results / "exports"

    def session_folder(self, session: Session) -> Path:
        """Return the folder of a session's results: its number, and its name for people."""
        return self.results / f"{session.id:05d}-{_safe(session.name)}"

    def movie_folder(self, session: Session, movie: Movie) -> Path:
        """Return the folder of a movie's results."""
        return self.session_folder(session) / f"{movie.id:07d}-{_safe(movie.key.rpartition('/')[2])}"

    def carried(self, movie_id: int, path: Path, index: int) -> str:
        """Return a path that JSON can carry: the path itself, or a link to it where its name is not valid UTF-8."""
        text = str(path)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            link = self.links / f"{movie_id}-{index}{path.suffix if path.suffix.isascii() else ''}"
            with storage_errors(link):
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.is_symlink() or link.readlink() != path:
                    link.unlink(missing_ok=True)
                    link.symlink_to(path)
            return str(link)
        return text


def _safe(name: str, limit: int = 60) -> str:
    """Return a name for people to recognise: unusual characters out, cut; the number before it tells it apart."""
    return _UNSAFE.sub("_", name)[-limit:].strip("._") or "unnamed"
