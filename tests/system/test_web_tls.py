"""Pages by TLS, with a real certificate: only the versions of today."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from passerelle.cli.serve import running
from passerelle.service.settings import Settings

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def _hello(port: int, version: ssl.TLSVersion) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is what is asked: whether the old ones are still taken
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain, context.wrap_socket(plain) as encrypted:
        return f"{encrypted.version()} {encrypted.cipher()}"


def test_pages_speak_tls_of_today_only(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    (tmp_path / "gateway").mkdir()
    settings = Settings.model_validate(
        {
            "web": {"certificate": certificate, "key": key, "port": 0},
            "state": {"folder": tmp_path / "state"},
            "instruments": {"krios": {"folder": tmp_path / "gateway"}},
            "work": {"executor": "inline"},
        }
    )
    with running(settings, port=0) as (_, address, _alive):
        assert address.startswith("https://")
        port = urlsplit(address).port
        assert port
        assert "TLSv1.2" in _hello(port, ssl.TLSVersion.TLSv1_2) and "TLSv1.3" in _hello(port, ssl.TLSVersion.TLSv1_3)
        for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                _hello(port, old)
