"""A real slapd with a few people and two groups, on a free port of 127.0.0.1, with a certificate; for the tests of log-ins."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from passerelle.testing.ports import kept_port

SUFFIX = "dc=inst,dc=test"
ADMIN, ADMIN_PASSWORD = f"cn=admin,{SUFFIX}", "adminpw"
READER, READER_PASSWORD = f"cn=reader,{SUFFIX}", "readerpw"
PASSWORDS = {"alice": "alice pw ü", "bob": "bobpw", "star*": "starpw"}

_CONFIG = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile {folder}/cert.pem
TLSCertificateKeyFile {folder}/key.pem
database mdb
maxsize 104857600
suffix "{suffix}"
rootdn "{admin}"
rootpw {password}
directory {folder}/db
index objectClass,uid eq
access to attrs=userPassword by anonymous auth by * none
access to * by dn.base="{reader}" read by anonymous auth by * none
"""

_HEAD = f"""\
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: inst
o: Inst

dn: {READER}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: {READER_PASSWORD}

dn: ou=people,{SUFFIX}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{SUFFIX}
objectClass: organizationalUnit
ou: groups
"""

_PERSON = """
dn: uid={escaped},ou=people,{suffix}
objectClass: inetOrgPerson
uid: {name}
cn: {title}
sn: {title}
displayName: {title} of the Institute
mail: {name}@inst.test
userPassword: {password}
"""

_GROUP = """
dn: cn={name},ou=groups,{suffix}
objectClass: groupOfNames
cn: {name}
{members}
"""


def missing() -> str:
    """Say why no directory can be run here, or nothing."""
    for program in ("slapd", "slapadd", "openssl"):
        if shutil.which(program, path=_path()) is None:
            return f"{program} is not installed"
    return ""


class Directory:
    """A running slapd. Anonymous people may log in and see nothing; `READER` may search."""

    def __init__(self, folder: Path, passwords: Mapping[str, str] = PASSWORDS) -> None:
        """passwords: of all people; alice and bob are members of groups."""
        self.folder = folder
        (folder / "db").mkdir(parents=True)
        self.certificate = folder / "cert.pem"
        self._run(
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"),
        )
        (folder / "slapd.conf").write_text(
            _CONFIG.format(folder=folder, suffix=SUFFIX, admin=ADMIN, password=ADMIN_PASSWORD, reader=READER)
        )
        entries = _HEAD
        for name, password in passwords.items():
            escaped = name.replace("*", "\\2A")
            entries += _PERSON.format(escaped=escaped, name=name, suffix=SUFFIX, title=name.title(), password=password)
        for group, members in {"cryoem": ("alice", "bob"), "data-managers": ("alice",)}.items():
            lines = "\n".join(f"member: uid={name},ou=people,{SUFFIX}" for name in members)
            entries += _GROUP.format(name=group, suffix=SUFFIX, members=lines)
        (folder / "base.ldif").write_text(entries, encoding="utf-8")
        self._run("slapadd", "-f", "slapd.conf", "-l", "base.ldif")
        self._keeper, self.port = kept_port()
        self._tls_keeper, self.tls_port = kept_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start slapd and wait until it answers."""
        self._process = subprocess.Popen(
            ["slapd", "-d", "0", "-f", "slapd.conf", "-h", f"ldap://127.0.0.1:{self.port}/ ldaps://127.0.0.1:{self.tls_port}/"],
            cwd=self.folder,
            env=os.environ | {"PATH": _path()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        ends = time.monotonic() + 90
        while time.monotonic() < ends and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.tls_port), 5):
                return
            time.sleep(0.05)
        raise AssertionError("slapd does not answer")

    def stop(self) -> None:
        """Stop slapd. Its ports stay its own."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def _run(self, *command: str) -> None:
        subprocess.run(command, cwd=self.folder, env=os.environ | {"PATH": _path()}, check=True, capture_output=True)


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
