"""Look at a dataset in the gateway and at the manifests of its copies; decide of each file whether it may go. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from passerelle.core.atomic import TEMPORARY_PREFIX
from passerelle.core.errors import NotFound, PasserelleError, printable
from passerelle.gateway.buffer import Answer, Rule, Stay, dataset_may_go, file_may_go
from passerelle.service.buffer_datasets import Dataset
from passerelle.store.paths import from_text, to_text
from passerelle.store.transfers import VerifiedCopy
from passerelle.transfer import Entry, Kind, Manifest, Root, Row, describes, list_folder, purge

_OWN = ".passerelle"
_NO = Answer(False)


@dataclass(slots=True)
class OpenCopy:
    """A copy on record whose manifest was read just now. problem: why it does not count, where it does not."""

    record: VerifiedCopy
    folder: Path
    root: Root | None = None
    manifest: Manifest = field(default_factory=Manifest)
    version: tuple[int, ...] = ()
    problem: PasserelleError | None = None

    def row(self, path: str) -> Row | None:
        """Return what the manifest has of a file; path: within the dataset."""
        within = as_path(self.record.within)
        return self.manifest.rows.get(f"{within}/{path}" if within else path)

    def unchanged(self) -> bool:
        """Say whether the manifest is the very file that was read."""
        return self.root is not None and purge.manifest_version(self.root) == self.version


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may go. path: within the instrument's folder; rows: of each copy that has it as it is now."""

    path: str
    entry: Entry
    rows: tuple[tuple[OpenCopy, Row], ...]


@dataclass(slots=True)
class Kept:
    """Files that stay for one reason."""

    files: int = 0
    bytes: int = 0
    example: str = ""


@dataclass(slots=True)
class DatasetPlan:
    """What of a dataset may go, and why the rest may not. answer: of the dataset as a whole."""

    dataset: Dataset
    folder: Path
    answer: Answer = _NO
    changed_at: float = 0.0
    files: int = 0
    bytes: int = 0
    candidates: list[Candidate] = field(default_factory=list[Candidate])
    kept: dict[str, Kept] = field(default_factory=dict[str, Kept])
    copies: list[OpenCopy] = field(default_factory=list[OpenCopy])
    problem: str = ""  # why it could not be looked at

    @property
    def go_bytes(self) -> int:
        return sum(each.entry.size for each in self.candidates)


@contextmanager
def planned(dataset: Dataset, folder: Path, rule: Rule, now: float) -> Iterator[DatasetPlan]:
    """Look at a dataset and decide; source and copies stay open until the block ends. folder: of the instrument."""
    plan = DatasetPlan(dataset, folder)
    with ExitStack() as stack:
        plan.copies = [_opened(copy, folder, stack) for copy in dataset.copies]
        try:
            root = stack.enter_context(Root(folder))
            entries = list(_entries(root, as_path(dataset.source), {as_path(each) for each in dataset.within}))
        except PasserelleError as problem:
            plan.problem = str(problem)
            yield plan
            return
        plan.files, plan.bytes = len(entries), sum(entry.size for entry in entries)
        plan.changed_at = max(dataset.arrived_at, max((entry.mtime_ns for entry in entries), default=0) / 1e9)
        plan.answer = dataset_may_go(Stay(plan.changed_at, dataset.closed_at, dataset.busy), rule, now)
        for entry in entries:
            _decide(plan, entry, rule)
        yield plan


def digest_of(plan: DatasetPlan) -> str:
    """Return what tells the files of a dataset that may go from every other such list; "" where none may."""
    hasher = blake3(f"{plan.dataset.instrument}\0{plan.dataset.source}\n".encode())
    for each in sorted(plan.candidates, key=lambda candidate: candidate.path):
        hasher.update(f"{to_text(each.path)}\0{each.entry.size}\0{each.entry.mtime_ns}\n".encode())
    return hasher.hexdigest() if plan.candidates else ""


def digest_of_all(digests: Iterable[str], rule: Rule) -> str:
    """Return what tells a whole list of files to be deleted, by a rule, from every other. digests: of its datasets."""
    return blake3("\n".join([rule.words, *sorted(filter(None, digests))]).encode()).hexdigest()


def as_path(text: str) -> str:
    """Return a path of the store as the disk has it; "" for the folder itself."""
    path = str(from_text(text))
    return "" if path == "." else path


def within_dataset(dataset: Dataset, path: str) -> str:
    """Return a path within the instrument's folder as one within the dataset."""
    source = as_path(dataset.source)
    return path[len(source) :].lstrip("/") if source else path


def copy_words(copy: VerifiedCopy) -> Mapping[str, str | int]:
    """Return where a copy lies, for the record of what was deleted."""
    return {
        "transfer": copy.transfer_id,
        "zone": copy.zone,
        "folder": f"{copy.zone_root}/{copy.folder}".rstrip("/"),
        "within": copy.within,
        "manifest": copy.manifest_digest,
    }


def _opened(copy: VerifiedCopy, gateway: Path, stack: ExitStack) -> OpenCopy:
    folder = Path(from_text(copy.zone_root)) / from_text(copy.folder)
    found = OpenCopy(copy, folder)
    try:
        found.root = stack.enter_context(Root(folder))
        found.version = purge.manifest_version(found.root)
        found.manifest = purge.recorded_manifest(found.root, copy.manifest_digest)
        if folder.resolve().is_relative_to(gateway.resolve()):
            raise PasserelleError("lies in the gateway itself.", path=folder)
    except PasserelleError as problem:
        found.problem, found.manifest = problem, Manifest()
    return found


def _entries(root: Root, path: str, others: set[str]) -> Iterator[Entry]:
    """Yield files and links of a dataset, but not of other datasets that lie in it, and nothing of our own."""
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        try:
            listing = list_folder(root, folder)
        except NotFound:
            if not folder or folder != path:
                raise
            continue  # its folder is gone, as it is after it was purged
        for name, entry in listing.entries.items():
            if entry.kind is Kind.FOLDER:
                if name != _OWN and entry.path not in others:
                    waiting.append(entry.path)
            elif not name.startswith(TEMPORARY_PREFIX):
                yield entry


def _decide(plan: DatasetPlan, entry: Entry, rule: Rule) -> None:
    path = within_dataset(plan.dataset, entry.path)
    if entry.kind is Kind.SPECIAL:
        _keep(plan, "It is a FIFO, socket or device, of which there are no copies.", entry)
        return
    rows = [(copy, row) for copy in plan.copies if (row := copy.row(path)) is not None]
    alike = tuple((copy, row) for copy, row in rows if describes(row, entry))
    answer = file_may_go(frozenset(copy.record.zone for copy, _ in alike), rule, changed=len(alike) < len(rows))
    if not answer.may_go:
        _keep(plan, " ".join(answer.reasons), entry)
    elif not plan.answer.may_go:
        _keep(plan, " ".join(plan.answer.reasons), entry)
    else:
        plan.candidates.append(Candidate(entry.path, entry, alike))


def _keep(plan: DatasetPlan, reason: str, entry: Entry) -> None:
    kept = plan.kept.setdefault(reason, Kept(example=printable(entry.path)))
    kept.files += 1
    kept.bytes += entry.size
