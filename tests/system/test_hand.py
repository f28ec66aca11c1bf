"""A service that is not root has root's hand write as the owners of zones, and can have it do nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import passerelle
from passerelle import __version__
from passerelle.core.errors import Busy, NotAllowed, PasserelleError
from passerelle.core.states import TransferState
from passerelle.service.access import this_account
from passerelle.service.accounts import machine_accounts
from passerelle.service.checks_hand import hand as hand_checks
from passerelle.service.datasets import Datasets
from passerelle.service.instruments import instrument_of
from passerelle.service.settings import read_settings
from passerelle.service.transfers import Transfers
from passerelle.service.zones import Zones
from passerelle.store import connect
from passerelle.transfer import verify_dataset
from passerelle.transfer.become import Account
from passerelle.transfer.courier import Order
from passerelle.transfer.hand_rules import keep_closed
from passerelle.transfer.handed import Handed, ask
from passerelle.zones import Who, Zone, ZoneKind, settle_rights, wanted

SERVICE, OWNER, LOW, STRANGER = "daemon", "games", "bin", "man"  # accounts that every Debian has
LOWEST = 3  # of these, bin is lower
ROUNDS = int(os.environ.get("PASSERELLE_SOAK_HAND", "2"))
UNIT = "--bounding-set=-all,+setuid,+setgid,+setpcap,+dac_read_search,+kill"  # as docs/how-to/install.md has it


def cannot() -> str:
    if os.getuid() != 0:
        return "other accounts are taken on by root only"
    try:
        for code in {sys.executable, sys.prefix, __file__}:
            keep_closed(Path(code).resolve())
    except PasserelleError as error:
        return f"root's hand runs no code that others could change: {error}"
    return "" if shutil.which("setpriv") else "util-linux is not installed"


def run_as(name: str, *groups: str) -> list[str]:
    """Return words that start a program as an account, which may also read, where Python itself lies in a folder of root's."""
    reads = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    more = ["--groups", ",".join(groups)] if groups else ["--clear-groups"]
    return ["setpriv", "--reuid", name, "--regid", name, *more, *reads, "--"]


pytestmark = pytest.mark.skipif(bool(cannot()), reason=cannot() or "-")


class Place:
    """Folders of a facility, a hand, and what is asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gateway, self.zones = folder / "gateway", folder / "zones"
        self.socket = folder / "run" / "socket"
        for path in (self.gateway, self.zones, self.socket.parent, self.zones / "root"):
            path.mkdir(mode=0o755)
        for name in (SERVICE, LOW, "nobody"):
            self.make_zone(name)
        self.root = self.make_zone(OWNER)
        self.rules(at_a_time=4)
        self.process: subprocess.Popen[str] | None = None

    def rules(self, at_a_time: int) -> None:
        (self.folder / "hand.toml").write_text(
            f'service = "{SERVICE}"\nsocket = "{self.socket}"\nzones = ["{self.zones}"]\nsources = ["{self.gateway}"]\n'
            f"lowest_uid = {LOWEST}\nat_a_time = {at_a_time}\n"
        )

    def make_zone(self, owner: str) -> Path:
        root = self.zones / owner
        root.mkdir()
        settle_rights(root, wanted(Zone(owner, ZoneKind.PERSONAL, root, owner, Who()), machine_accounts("users")))
        os.chown(root, pwd.getpwnam(owner).pw_uid, -1)
        return root

    def write(self, name: str = "krios/session", files: int = 30, size: int = 3000) -> Path:
        """Write a dataset that only root may read."""
        folder = self.gateway / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(files):
            (folder / f"{number:04}.cbf").write_bytes(os.urandom(size + number))
            (folder / f"{number:04}.cbf").chmod(0o600)
        folder.chmod(0o700)
        return folder

    def start(self, *, by_command: bool = False) -> None:
        program = ["-m", "passerelle"] if by_command else ["-c", "from passerelle.transfer.hand import run; run()"]
        words = ["hand", "--config"] if by_command else []
        setpriv = ["setpriv", UNIT, "--inh-caps=-all", "--no-new-privs"]
        command = [*setpriv, sys.executable, "-P", *program, *words, str(self.folder / "hand.toml")]
        self.process = subprocess.Popen(command, stderr=(self.folder / "log").open("a"), text=True, cwd="/")
        wait(lambda: self.socket.exists() and self.answers())

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with contextlib.suppress(Busy):
            return ask(self.socket).version == __version__
        return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        wait(lambda: not couriers(self.folder))

    def order(self, **changes: Any) -> Order:
        ends = {"source": (str(self.gateway / "krios"), "session"), "target": (str(self.root), "datasets/krios/session")}
        return Order(**({"leg": "gateway to zone", **ends} | changes))

    def bring(self, **changes: Any) -> dict[str, Any]:
        """Have the hand bring a dataset; return the last word."""
        handed = Handed(self.socket, self.order(**changes))
        try:
            wait(lambda: handed.code() is not None)
            heard = handed.heard()
            assert heard, (handed.code(), handed.last_words())
            return json.loads(heard[-1])
        finally:
            handed.close()

    def said(self, piece: bytes) -> list[dict[str, Any]]:
        """Send bytes to the hand, and return what it says until it closes."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            with contextlib.suppress(OSError):  # it may have heard enough
                connection.sendall(piece)
            heard: list[dict[str, Any]] = []
            with contextlib.suppress(ConnectionError), connection.makefile("rb") as stream:
                heard.extend(json.loads(line) for line in stream if line.strip())
            return heard

    def request(self, **changes: Any) -> bytes:
        order = self.order()
        return json.dumps({"version": __version__, "source": order.source, "target": order.target} | changes).encode() + b"\n"


@pytest.fixture
def place() -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="passerelle-hand-")).resolve()
    folder.chmod(0o755)
    made = Place(folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


@pytest.fixture
def there(place: Place) -> Place:
    """With a hand that runs, and a dataset to bring."""
    place.write()
    place.start()
    return place


def wait(reached: Callable[[], object], seconds: float = 120.0, pause: float = 0.02) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(pause)


def couriers(folder: Path) -> list[psutil.Process]:
    """Processes, of any hand, that still bring something to this place."""
    found: list[psutil.Process] = []
    for each in psutil.process_iter(["cmdline"]):
        words = " ".join(each.info["cmdline"] or [])
        if "main_of_hand" in words or "transfer.worker" in words:
            with contextlib.suppress(psutil.Error):
                if any(str(folder) in link for link in open_folders(each.pid)):
                    found.append(each)
    return found


def open_folders(process: int) -> list[str]:
    links: list[str] = []
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{process}/fd"):
            with contextlib.suppress(OSError):
                links.append(os.readlink(f"/proc/{process}/fd/{name}"))
    return links


def attendants(place: Place) -> list[psutil.Process]:
    """The processes by which a hand attends to connections; those that have ended and wait for their parent do not count."""
    assert place.process is not None
    found: list[psutil.Process] = []
    for each in psutil.Process(place.process.pid).children():
        with contextlib.suppress(psutil.Error):
            if each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


def test_what_the_hand_brings_is_the_owners_and_nobody_elses(there: Place) -> None:
    wait(there.answers)
    ended = there.bring()["ended"]
    assert (ended["files"], ended["problem_count"]) == (30, 0), ended
    target = there.root / "datasets/krios/session"
    assert {each.lstat().st_uid for each in (there.root / "datasets", target, *target.rglob("*"))} == {pwd.getpwnam(OWNER).pw_uid}
    assert verify_dataset(target).whole
    status = there.socket.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o660, 0, pwd.getpwnam(SERVICE).pw_gid)


def test_a_hand_says_what_it_is_and_a_second_one_does_not_take_its_place(there: Place) -> None:
    assert ask(there.socket) == (__version__, (there.zones,), (there.gateway,))
    command = [sys.executable, "-P", "-c", "from passerelle.transfer.hand import run; run()", str(there.folder / "hand.toml")]
    second = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd="/")
    assert (second.returncode, "Another hand" in second.stderr) == (Busy.exit_code, True), second.stderr
    (there.folder / "hand.toml").chmod(0o666)
    there.kill()
    third = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd="/")
    assert (third.returncode, "others than root" in third.stderr) == (78, True), third.stderr
    (there.folder / "hand.toml").chmod(0o644)
    there.socket.unlink()
    there.socket.write_text("something else")
    fourth = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd="/")
    assert (fourth.returncode, there.socket.read_text()) == (78, "something else"), fourth.stderr


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("root", "NotAllowed"),
        (LOW, "NotAllowed"),
        (SERVICE, "NotAllowed"),
        ("nobody", "NotAllowed"),
        ("unknown", "NotAllowed"),
        ("linked", "NotFound"),
        ("missing", "NotFound"),
        (f"{OWNER}/datasets", "NotAllowed"),
        ("", "NotAllowed"),
        ("../gateway", "BadInput"),
    ],
)
def test_nothing_is_written_where_no_ordinary_account_has_its_zone(there: Place, target: str, kind: str) -> None:
    (there.zones / "unknown").mkdir()
    os.chown(there.zones / "unknown", 61234, -1)
    (there.zones / "linked").symlink_to(there.root)
    said = there.bring(target=(f"{there.zones}/{target}".rstrip("/"), "datasets"))
    assert said["error"][0] == kind, said
    assert not list(there.zones.rglob("*.cbf"))


def test_the_account_that_an_order_names_does_not_count(there: Place) -> None:
    ended = there.bring(account=Account(STRANGER, *pwd.getpwnam(STRANGER)[2:4]))["ended"]
    assert ended["problem_count"] == 0
    assert {each.stat().st_uid for each in there.root.rglob("*.cbf")} == {pwd.getpwnam(OWNER).pw_uid}


def test_the_ends_that_the_order_behind_a_request_names_do_not_count(there: Place) -> None:
    order = Order(("/etc", "ssl"), (str(there.root), "elsewhere"), "leg")
    said = there.said(there.request() + order.line().encode() + b"\n")
    assert (said[-1]["exit"], said[-2]["ended"]["files"]) == (0, 30), said
    assert len(list((there.root / "datasets/krios/session").glob("*.cbf"))) == 30
    assert not (there.root / "elsewhere").exists()


def test_no_link_leads_out_of_source_or_zone(there: Place) -> None:
    outside = there.folder / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    (there.gateway / "krios" / "out").symlink_to("/etc")
    (there.root / "way").symlink_to(outside)
    assert there.bring(source=(str(there.gateway / "krios"), "out"))["error"][0] in {"NotAllowed", "NotFound"}
    assert there.bring(target=(str(there.root), "way/datasets"))["error"][0] in {"NotAllowed", "NotFound"}
    assert there.bring(source=("/etc", "ssl"))["error"][0] == "NotAllowed"
    assert list(outside.iterdir()) == []
    assert not list(there.root.rglob("passwd"))


def test_what_is_no_request_is_refused_and_the_hand_goes_on(there: Place) -> None:
    for piece, words in (
        (b"x" * 70_000, "longer than"),
        (os.urandom(500).replace(b"\n", b"") + b"\n", "JSON"),
        (b"[" * 60_000 + b"\n", "JSON"),
        (there.request(account=[OWNER, 0, 0, []]), "`account`"),
        (there.request(uid=0), "`uid`"),
        (there.request(version="0"), "Start it again"),
        (b"\n", "JSON"),
    ):
        first, last = there.said(piece)
        assert words in " ".join(first["error"]), first
        assert last["exit"] == 1
    assert there.said(there.request() + b"no order\n")[-1]["exit"] == 1  # the courier's to say, as the owner
    wait(there.answers)
    assert there.bring()["ended"]["files"] == 30


def test_who_is_silent_is_left_and_more_than_may_be_are_told_so(there: Place) -> None:
    wait(lambda: not attendants(there))  # else one that has answered before has a place yet
    began = time.monotonic()
    silent = [socket.socket(socket.AF_UNIX) for _ in range(4)]
    for each in silent:
        each.connect(str(there.socket))
        each.sendall(b'{"version": ')
    wait(lambda: len(attendants(there)) == 4)
    for each in attendants(there):
        each.suspend()  # however long it takes to ask, they do not leave meanwhile
    with pytest.raises(Busy, match="As many transfers"):
        ask(there.socket)
    assert "As many transfers" in there.bring()["error"][1]
    for each in attendants(there):
        each.resume()
    for each in silent:
        with each.makefile("rb") as stream, each:
            assert b"in time" in stream.read()
    assert time.monotonic() - began > 4
    wait(there.answers)


def test_other_accounts_are_not_listened_to(there: Place) -> None:
    probe = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(there.socket)!r}); print(s.makefile().read())"

    def tried(name: str, *groups: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-c", probe]
        return subprocess.run([*run_as(name, *groups), *command], capture_output=True, text=True, cwd="/")

    assert "PermissionError" in tried(OWNER).stderr
    assert "does not listen to this account" in tried(OWNER, SERVICE).stdout  # to be in its group is not to be the service


CLIENT = """
import sys, time
from pathlib import Path
from passerelle.transfer.courier import Order
from passerelle.transfer.handed import Handed
handed = Handed(Path(sys.argv[1]), Order.of(sys.argv[2]))
while handed.code() is None:
    time.sleep(0.01)
print(*handed.heard()[-1:])
"""


def test_whoever_is_killed_nothing_half_has_a_final_name_and_all_ends_and_the_next_run_converges(place: Place) -> None:
    source = place.write(files=60, size=1_500_000)
    target = place.root / "datasets/krios/session"
    chance = random.Random(int(os.environ.get("PASSERELLE_SEED", "4")))
    place.start()

    def client() -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-c", CLIENT, str(place.socket), place.order().line()]
        return subprocess.Popen([*run_as(SERVICE), *command], stdout=subprocess.PIPE, text=True, cwd="/")

    struck = 0
    for victim in ["hand", "attendant", "service", "courier"] * ROUNDS:
        if place.process is None or place.process.poll() is not None:
            place.start()
        service = client()
        wait(lambda service=service: couriers(place.folder) or service.poll() is not None)  # all may be there before it is seen
        time.sleep(chance.uniform(0, 0.25))
        running = couriers(place.folder)
        struck += bool(running)
        assert place.process is not None
        if victim == "hand":
            place.kill()
        elif victim == "attendant":
            strike(attendants(place), psutil.Process.kill)
        elif victim == "service":
            strike(running, psutil.Process.suspend)  # else it sees for itself that nobody speaks to it any more
            service.send_signal(signal.SIGKILL)
        else:
            strike(running, psutil.Process.kill)
        wait(lambda: not couriers(place.folder))
        service.communicate(timeout=60)
        for path in target.rglob("*.cbf"):
            assert path.read_bytes() == (source / path.name).read_bytes(), (victim, path)
        if not running and target.exists():
            shutil.rmtree(target)  # it was there before anybody could be struck: the next has all to bring
    assert struck
    if place.process.poll() is not None:
        place.start()
    ended = place.bring()["ended"]
    assert (ended["files"], ended["problem_count"]) == (60, 0)
    assert verify_dataset(target).whole
    assert not list(target.rglob(".p-*"))


def strike(processes: list[psutil.Process], blow: Callable[[psutil.Process], None]) -> None:
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it was done before
            blow(each)


def test_words_reach_the_courier_and_a_hand_that_dies_is_said(there: Place) -> None:
    following = there.order(follow=True)
    for end in ("stop", "close", "kill"):
        handed = Handed(there.socket, following)
        wait(lambda: couriers(there.folder))
        if end == "kill":
            there.kill()
        else:
            handed.say(json.dumps({"word": end}))
        wait(lambda handed=handed: handed.code() is not None)
        last = json.loads(handed.heard()[-1])
        handed.close()
        if end == "kill":
            assert last["error"][0] == "Busy"
            assert "systemctl start passerelle-hand" in last["error"][2]
        else:
            assert last["ended"]["cancelled"] is (end == "stop"), last


def opens(name: str, program: str, path: Path) -> bool:
    """Whether an account can do something with a file, with no more rights than its own."""
    command = ["setpriv", "--reuid", name, "--regid", name, "--clear-groups", program, str(path)]
    return subprocess.run(command, capture_output=True).returncode == 0


CONFIG = """
[state]
folder = "{folder}/state"
[zones]
folder = "{folder}/zones"
group = "users"
[transfers]
leave_free_percent = 0
hand = "{folder}/run/socket"
[work]
executor = "processes"
[instruments.xrd]
folder = "{folder}/gateway/xrd"
processing = false
"""


def test_a_service_that_is_not_root_sends_to_a_zone_of_another_and_says_when_the_hand_is_missing(place: Place) -> None:
    source = place.write("xrd/crystal")
    for path in (source.parent, source, *source.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    config = place.folder / "passerelle.toml"
    config.write_text(CONFIG.format(folder=place.folder))
    (place.folder / "state").mkdir()
    shutil.chown(place.folder / "state", SERVICE, SERVICE)
    # alembic asks access(2), which no capability helps where the checkout lies in a folder of root's: code of its own
    shutil.copytree(Path(passerelle.__file__).parent, place.folder / "code" / "passerelle")
    surroundings = {"PATH": os.environ["PATH"], "PYTHONPATH": str(place.folder / "code"), "COLUMNS": "300"}
    # its home cannot be written to, nor can the code: what it compiles is kept with its state
    command = [sys.executable, "-P", "-m", "passerelle", "serve", "--port", "0", "--config", str(config)]
    said = place.folder / "serve.log"

    def zones_command(*words: str) -> subprocess.CompletedProcess[str]:
        command = [*run_as(SERVICE), sys.executable, "-P", "-m", "passerelle", "zones", *words, "--config", str(config)]
        return subprocess.run(command, capture_output=True, text=True, cwd="/", env=surroundings)

    with said.open("wb") as log:
        service = subprocess.Popen([*run_as(SERVICE), *command], cwd="/", env=surroundings, stdout=log, stderr=log)
    try:
        wait(lambda: service.poll() is not None or "http://" in said.read_text(), seconds=240)
        assert service.poll() is None, said.read_text()
        settings = read_settings(config)
        database = connect(settings.database_url)
        zones = Zones(database, settings)
        datasets = Datasets(database, {name: instrument_of(name, each) for name, each in settings.instruments.items()})
        verbs = Transfers(database, settings, datasets, zones)
        me = this_account()
        zones.create(me, "home", kind=ZoneKind.PERSONAL, owner=OWNER, writers=Who.of([me.name]))
        with pytest.raises(NotAllowed, match="none of the folders"):
            zones.create(me, "etc", kind=ZoneKind.PERSONAL, owner=OWNER, root=place.folder / "elsewhere")
        number = verbs.send(me, datasets.named(me, "xrd/crystal"), "home").id
        wait(lambda: verbs.get(me, number).error)
        waits = verbs.get(me, number)
        assert waits.state is TransferState.QUEUED
        assert "not there" in waits.error
        assert "systemctl start passerelle-hand" in waits.advice
        assert [each.level.value for each in hand_checks(settings)] == ["error"]
        place.start(by_command=True)
        assert [each.level.value for each in hand_checks(settings)] == ["well"]
        wait(lambda: verbs.get(me, number).state not in {TransferState.QUEUED, TransferState.RUNNING}, seconds=240)
        done = verbs.get(me, number)
        assert (done.state, done.files) == (TransferState.DONE, 30), done
        target = Path(done.linux)
        assert {each.stat().st_uid for each in target.rglob("*")} == {pwd.getpwnam(OWNER).pw_uid}
        assert verify_dataset(target).whole
        movie = target / "0001.cbf"
        assert [opens(name, "cat", movie) for name in (SERVICE, OWNER, STRANGER)] == [True, True, False]
        assert not opens(SERVICE, "touch", target / "new")
        database.close()
        told = zones_command("relate", "home", STRANGER, "reader", "--json")
        assert "sudo passerelle zones repair home" in json.loads(told.stdout)["notes"][0], told.stderr
        told = zones_command("create", "more", "--owner", OWNER)
        assert (told.returncode, "sudo passerelle zones create more" in told.stderr) == (NotAllowed.exit_code, True), told.stderr
        assert not (place.zones / "more").exists()
    finally:
        service.terminate()  # it ends what it has started: nobody writes any more when the folder is removed
        try:
            service.wait(120)
        finally:
            service.kill()
            service.wait()
