"""The kernel's wake-ups for a tree of folders. Only hints: what they say is looked up before it is believed."""

from __future__ import annotations

from dataclasses import dataclass, field

from inotify_simple import INotify, flags

_MASK = (
    flags.CLOSE_WRITE
    | flags.CREATE
    | flags.MOVED_TO
    | flags.MOVED_FROM
    | flags.DELETE
    | flags.DELETE_SELF
    | flags.MOVE_SELF
    | flags.ONLYDIR
)


@dataclass(slots=True)
class Hints:
    """What a batch of events asks to look at. files: path -> whether it was closed after writing or renamed to this name."""

    files: dict[str, bool] = field(default_factory=dict)
    folders_in: list[str] = field(default_factory=list)
    folders_out: list[str] = field(default_factory=list)
    overflow: bool = False
    root: bool = False  # the root itself was moved, removed or unmounted


class Wakeups:
    """inotify watches on the folders of one root."""

    def __init__(self) -> None:
        """Raises: OSError when the kernel gives no (more) inotify instances."""
        self._inotify = INotify()
        self._folder_of: dict[int, str] = {}
        self._watch_of: dict[str, int] = {}

    def add(self, folder: str, descriptor: int) -> None:
        """Watch the folder that is open at `descriptor`; to be called before it is listed.

        Raises: OSError when the kernel gives no more watches (fs.inotify.max_user_watches).
        """
        watch = self._inotify.add_watch(f"/proc/self/fd/{descriptor}", _MASK)
        before = self._folder_of.get(watch)
        if before is not None and before != folder:
            self._watch_of.pop(before, None)  # the same folder under its new name
        self._folder_of[watch] = folder
        self._watch_of[folder] = watch

    def watches(self, folder: str) -> bool:
        """Say whether `folder` is watched."""
        return folder in self._watch_of

    def remove(self, folder: str) -> None:
        """Forget a folder that is gone."""
        watch = self._watch_of.pop(folder, None)
        if watch is None or self._folder_of.get(watch) != folder:
            return
        del self._folder_of[watch]
        try:
            self._inotify.rm_watch(watch)
        except OSError:
            return  # the kernel removed it with the folder

    def wait(self, seconds: float) -> Hints:
        """Wait for events, at most `seconds`, and say what to look at."""
        hints = Hints()
        for event in self._inotify.read(timeout=max(0, int(seconds * 1000))):
            self._note(event.wd, event.mask, event.name, hints)
        return hints

    def close(self) -> None:
        """Give the kernel its watches back."""
        self._inotify.close()

    def _note(self, watch: int, mask: int, name: str, hints: Hints) -> None:
        if mask & flags.Q_OVERFLOW:
            hints.overflow = True
            return
        folder = self._folder_of.get(watch)
        if folder is None:
            return
        if mask & flags.IGNORED:
            del self._folder_of[watch]
            self._watch_of.pop(folder, None)
        if mask & (flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT | flags.IGNORED):
            hints.root |= folder == ""
            return
        path = f"{folder}/{name}" if folder else name
        if not mask & flags.ISDIR:
            closed = bool(mask & (flags.CLOSE_WRITE | flags.MOVED_TO))
            hints.files[path] = hints.files.get(path, False) or closed
        elif mask & (flags.CREATE | flags.MOVED_TO):
            hints.folders_in.append(path)
        else:
            hints.folders_out.append(path)
