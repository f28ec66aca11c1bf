"""Log-ins against a real directory (slapd) and the real PAM of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from passerelle.core.errors import BadConfiguration, Busy, NotLoggedIn
from passerelle.service import checks_service
from passerelle.service.checks import Check, Level
from passerelle.service.log_in import LogIns
from passerelle.service.passwords import Passwords
from passerelle.service.settings import Settings
from passerelle.service.settings_people import LdapSettings
from passerelle.service.source_ldap import LdapSource
from passerelle.service.source_pam import PamSource
from passerelle.service.sources import Identity
from passerelle.service.wiring import Parts
from passerelle.service.wiring_people import sources_of
from passerelle.store import Database
from passerelle.testing.accounts import changing_accounts
from passerelle.testing.ldap_directory import PASSWORDS, READER, READER_PASSWORD, SUFFIX, Directory, missing

ALICE = PASSWORDS["alice"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    if reason := missing():
        pytest.skip(reason)
    made = Directory(tmp_path_factory.mktemp("ldap") / "slapd")
    made.start()
    yield made
    made.stop()


def settings(directory: Directory, **changes: object) -> LdapSettings:
    secret = directory.folder / "reader.secret"
    secret.write_text(f"{READER_PASSWORD}\n")
    values = {
        "url": f"ldaps://127.0.0.1:{directory.tls_port}",
        "ca_file": directory.certificate,
        "people_base": f"ou=people,{SUFFIX}",
        "group_base": f"ou=groups,{SUFFIX}",
        "bind_dn": READER,
        "bind_password_file": secret,
        "data_managers": ("data-managers",),
    } | changes
    return LdapSettings.model_validate(values)


def clear(directory: Directory) -> dict[str, object]:
    return {"url": f"ldap://127.0.0.1:{directory.port}", "encryption": "none", "ca_file": None}


@pytest.mark.parametrize("how", ["tls", "start_tls", "none"])
def test_the_right_password_tells_who_it_is(directory: Directory, how: str) -> None:
    changes = {"tls": {}, "start_tls": clear(directory) | {"encryption": "start_tls", "ca_file": directory.certificate}}.get(
        how, clear(directory)
    )
    source = LdapSource(settings(directory, **changes))
    assert source.check("alice", ALICE) == Identity(
        "alice", "Alice of the Institute", "alice@inst.test", ("cryoem", "data-managers"), "data_manager"
    )
    assert source.check("bob", PASSWORDS["bob"]) == Identity("bob", "Bob of the Institute", "bob@inst.test", ("cryoem",), "user")
    for name, password in (("alice", "wrong"), ("alice", ""), ("nobody", ALICE), ("", ALICE), ("alice", "\x00")):
        assert source.check(name, password) is None


@pytest.mark.parametrize("name", ["*", "al*", "alice)(uid=*", "*)(objectClass=*", "alice\x00", "(|(uid=alice))", "\\2a"])
def test_a_name_is_a_name_and_no_question_to_the_directory(directory: Directory, name: str) -> None:
    source = LdapSource(settings(directory))
    for password in PASSWORDS.values():
        assert source.check(name, password) is None


def test_an_odd_name_is_found_by_itself(directory: Directory) -> None:
    found = LdapSource(settings(directory)).check("star*", PASSWORDS["star*"])
    assert found is not None
    assert found.name == "star*"


def test_only_people_of_the_needed_group_log_in(directory: Directory) -> None:
    source = LdapSource(settings(directory, group_needed="data-managers"))
    assert source.check("alice", ALICE) is not None
    assert source.check("bob", PASSWORDS["bob"]) is None


def test_a_directory_with_another_certificate_gets_no_password(directory: Directory, tmp_path: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "other.pem")]
    subprocess.run(command, check=True, capture_output=True)
    for changes in (
        {"ca_file": tmp_path / "other.pem"},
        {"ca_file": None},
        clear(directory) | {"encryption": "start_tls", "ca_file": tmp_path / "other.pem"},
    ):
        with pytest.raises(Busy):
            LdapSource(settings(directory, **changes)).check("alice", ALICE)


def test_passwords_go_unencrypted_only_where_the_configuration_says_so(directory: Directory) -> None:
    with pytest.raises(BadConfiguration, match="ldaps:// with tls"):
        LdapSource(settings(directory, url="ldap://127.0.0.1"))
    with pytest.raises(BadConfiguration, match="ldaps:// with tls"):
        LdapSource(settings(directory, encryption="none"))


def test_a_wrong_searching_account_is_told_to_the_operator(directory: Directory, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("wrong")
    with pytest.raises(BadConfiguration, match="does not let passerelle in"):
        LdapSource(settings(directory, bind_password_file=tmp_path / "secret")).check("alice", ALICE)


def test_a_person_of_the_directory_logs_in_and_what_the_directory_says_is_kept(directory: Directory, database: Database) -> None:
    found = sources_of(Settings(ldap=settings(directory)))
    logins = LogIns(database, Settings().people, Passwords(memory_kib=64, rounds=1), sources=found)
    made = logins.log_in("ALICE", ALICE, address="127.0.0.1")
    assert (made.actor.name, made.actor.role) == ("alice", "data_manager")
    assert {"cryoem", "data-managers"} <= made.actor.groups
    assert logins.who(made.secret).name == "alice"
    with pytest.raises(NotLoggedIn):
        logins.log_in("alice", "wrong", address="127.0.0.1")


def test_a_directory_that_went_away_is_said_at_once(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    made = Directory(tmp_path / "slapd")
    made.start()
    source = LdapSource(settings(made))
    try:
        assert source.check("bob", PASSWORDS["bob"]) is not None
    finally:
        made.stop()
    with pytest.raises(Busy):
        source.check("bob", PASSWORDS["bob"])
    (check,) = doctor(settings(made))
    assert check.level is Level.ERROR
    assert "does not answer" in check.words
    assert "See whether the directory runs" in check.advice


def doctor(ldap: LdapSettings) -> list[Check]:
    """What `passerelle doctor` says of the directory."""
    return list(checks_service.directory(cast(Parts, SimpleNamespace(settings=SimpleNamespace(ldap=ldap)))))


def test_doctor_says_whether_the_directory_lets_us_in(directory: Directory, tmp_path: Path) -> None:
    (check,) = doctor(settings(directory))
    assert (check.level, check.words) == (Level.WELL, f"ldaps://127.0.0.1:{directory.tls_port} lets passerelle in.")
    wrong = tmp_path / "wrong.secret"
    wrong.write_text("not the reader's\n")
    (check,) = doctor(settings(directory, bind_password_file=wrong))
    assert check.level is Level.ERROR
    assert "does not let passerelle in to search: invalidCredentials" in check.words
    assert "not the reader's" not in check.words + check.advice


# -- PAM --


@pytest.fixture(scope="module")
def account() -> Iterator[str]:
    if os.getuid() != 0 or not Path("/etc/pam.d").is_dir() or shutil.which("useradd") is None:
        pytest.skip("PAM is asked for others by root only")
    name, service = "pt-pam", Path("/etc/pam.d/passerelle-test")
    service.write_text("auth required pam_unix.so nodelay\naccount required pam_unix.so\n")
    with changing_accounts():
        subprocess.run(["userdel", name], check=False, capture_output=True)
        subprocess.run(["useradd", "-M", "-c", "Pam Person,,,", "-s", "/usr/sbin/nologin", name], check=True)
        subprocess.run(["chpasswd"], input=f"{name}:right pw\n".encode(), check=True)
    yield name
    with changing_accounts():
        subprocess.run(["userdel", name], check=False, capture_output=True)
    service.unlink()


def test_an_account_of_the_machine_logs_in_by_pam(account: str, database: Database) -> None:
    source = PamSource("passerelle-test")
    assert source.check(account, "right pw") == Identity(account, "Pam Person", "", (account,))
    logins = LogIns(database, Settings().people, Passwords(memory_kib=64, rounds=1), sources={"pam": source})
    assert logins.log_in(account, "right pw", address="a").actor.groups == frozenset({account})
    for name, password in ((account, "wrong"), (account, ""), ("pt-nobody", "x"), (account, "right pw\x00")):
        assert source.check(name, password) is None


def test_a_locked_account_and_accounts_of_the_system_stay_out(account: str) -> None:
    source = PamSource("passerelle-test")
    with changing_accounts():
        subprocess.run(["usermod", "-e", "1", account], check=True)
    try:
        assert source.check(account, "right pw") is None
    finally:
        with changing_accounts():
            subprocess.run(["usermod", "-e", "", account], check=True)
    assert source.check("daemon", "x") is None


def test_the_name_of_a_pam_service_is_no_path() -> None:
    with pytest.raises(BadConfiguration):
        PamSource("../shadow")
