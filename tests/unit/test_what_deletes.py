"""Nothing in the product deletes but at these places, each with its reason; what is not ours goes at two of them only.

A new place: is what goes there ours, made by this product, and can it be made again? Then add a line. Else it is no business of
anything but transfer/purge.py.
"""

import ast
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "passerelle"
DELETES = {"unlink", "rmtree", "rmdir", "removedirs"}
SHELLS = {"os.remove", "shutil.rmtree", "shutil.move", "os.unlink", "os.rmdir"}

# file -> how many calls that delete, and what goes there
ALLOWED: dict[str, tuple[int, str]] = {
    # what is not ours
    "transfer/purge.py": (2, "the purge of the buffer: by rule, after the last looks, with a row before; folders that are empty"),
    "service/recompress.py": (1, "a raw movie whose compressed copy was proven twice, where the configuration asks for it"),
    # what an earlier run of ours has left under a name of its own
    "core/atomic.py": (1, "the temporary file of a writing that failed"),
    "transfer/copy.py": (3, "drafts under temporary names, and a draft's second name where renameat2 is missing"),
    "transfer/folders.py": (1, "drafts of runs that did not end well, by names that they had written down"),
    "transfer/ledger.py": (3, "temporary manifests, and the journal once the manifest has it"),
    "transfer/links.py": (3, "links under temporary names"),
    "transfer/hand.py": (1, "the socket of a hand that has ended"),
    "store/database.py": (1, "the temporary file of the database's copy"),
    "service/shares.py": (2, "Samba configurations that were checked, and the one that was in force before"),
    # what we made, and can make again
    "compute/code_place.py": (1, "compiled code of another version"),
    "compute/parsl_executor.py": (1, "run folders of Parsl of earlier runs"),
    "compute/work.py": (1, "the claim of a task that has ended"),
    "pipeline/runner.py": (2, "outcomes of tasks that were recorded"),
    "processing/code_cache.py": (2, "compiled code of another version"),
    "processing/program_inputs.py": (2, "folders of links that external programs were given"),
    "processing/records.py": (1, "the record of a step that is to be done again"),
    "service/places.py": (1, "links to files whose names JSON cannot carry"),
    "service/previews.py": (2, "small pictures, which are made again when asked for"),
    # where there is nothing but what the product itself has made up
    "cli/demo.py": (1, "the folder of an earlier demonstration"),
    "simulation/arrival.py": (2, "a simulated movie at its first place, and one that is replayed"),
    "simulation/microscope.py": (1, "the buffer of the simulated microscope"),
}


def _deletions(text: str) -> int:
    count = 0
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and (node.attr in DELETES or ast.unparse(node) in SHELLS):
            count += 1
        if isinstance(node, ast.ImportFrom) and node.module in {"os", "shutil"}:
            count += sum(alias.name in DELETES | {"remove", "move"} for alias in node.names)
    return count


def test_only_these_places_delete() -> None:
    found = Counter(
        {
            str(path.relative_to(SOURCE)): count
            for path in SOURCE.rglob("*.py")
            if "testing" not in path.parts and (count := _deletions(path.read_text(encoding="utf-8")))
        }
    )
    assert dict(found) == {name: count for name, (count, _) in ALLOWED.items()}


def test_every_place_has_its_reason() -> None:
    assert all(reason for _, reason in ALLOWED.values())


def test_deletions_are_found_however_they_are_written() -> None:
    assert _deletions("import os\nos.unlink('x')\nPath('y').unlink()\nshutil.rmtree(z)\nos.remove(a)\ng = os.rmdir") == 5
    assert _deletions("from os import unlink, remove\nfrom shutil import rmtree as gone, copy") == 3
    assert _deletions("names.remove('x')\nitems.pop()") == 0


def test_no_program_deletes_for_us() -> None:
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.List | ast.Tuple) and node.elts and isinstance(node.elts[0], ast.Constant):
                assert node.elts[0].value not in {"rm", "unlink", "rmdir", "find", "shred"}, f"{path}: {ast.unparse(node)}"
