"""Samba's configuration and the firewall file as text: nothing in them can be read otherwise than it is meant."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerelle.core.errors import BadConfiguration, BadInput, ProgramFailed
from passerelle.programs.nftables import Segment, acquisition_firewall, check_firewall
from passerelle.programs.samba import check_samba_config, parse_status
from passerelle.programs.samba_config import GatewayShare, Server, ZoneExport, read_sections, samba_config, samba_settings

SERVER = Server("CRYO", ("10.20.0.1/24",))
PC = GatewayShare("krios-pc", Path("/gateway/krios"), "pc-krios", "10.20.0.11")


def export(**changes: object) -> ZoneExport:
    values = {"name": "alice", "path": Path("/data/alice"), "readers": ("alice", "+cryo"), "writers": ("alice",)} | changes
    return ZoneExport(**values)  # type: ignore[arg-type]


def test_what_is_written_is_what_is_read_back() -> None:
    meant = samba_settings(SERVER, [PC, export(readers=("alice", "+domain users"))])
    assert read_sections(samba_config(meant)) == meant
    assert meant["alice"]["valid users"] == 'alice "+domain users"'
    assert list(meant) == ["global", "krios-pc", "alice"]


def test_a_pc_has_a_share_of_its_own_from_its_address_alone() -> None:
    share = samba_settings(SERVER, [PC])["krios-pc"]
    assert (share["valid users"], share["hosts allow"], share["path"]) == ("pc-krios", "10.20.0.11", "/gateway/krios")
    assert "force user" not in share
    assert share["oplocks"] == "no"


def test_a_zone_without_writers_has_no_list_of_writers_and_the_barred_are_named() -> None:
    share = samba_settings(SERVER, [export(writers=(), barred=("bob",), networks=("192.168.0.0/16",))])["alice"]
    assert share["read only"] == "yes"
    assert "write list" not in share
    assert share["invalid users"] == "bob"
    assert share["hosts allow"] == "192.168.0.0/16"
    assert share["server smb encrypt"] == "required"


def test_smb_1_is_spoken_by_the_legacy_server_alone() -> None:
    assert samba_settings(SERVER, [])["global"]["server min protocol"] == "SMB2"
    legacy = samba_settings(Server("CRYO", ("10.30.0.1/24",), legacy=True), [])["global"]
    assert (legacy["server min protocol"], legacy["server max protocol"], legacy["ntlm auth"]) == ("NT1", "NT1", "ntlmv2-only")


@pytest.mark.parametrize("path", ["/data/%U", '/data/"x', "/data/a\nguest ok = yes", "/data/back\\", "/data/a\t", "/data/x "])
def test_paths_that_samba_reads_otherwise_are_refused(path: str) -> None:
    with pytest.raises(BadInput):
        samba_settings(SERVER, [export(path=Path(path))])


@pytest.mark.parametrize("name", ["@cryo", "&x", "++x", "a,b", "a;b", 'a"b', "%U", "a\nb", "", "+"])
def test_accounts_that_samba_reads_otherwise_are_refused(name: str) -> None:
    with pytest.raises(BadInput):
        samba_settings(SERVER, [export(readers=(name,))])


@pytest.mark.parametrize("name", ["a b", "a]", "", "-a", "a\n", "é"])
def test_names_that_are_no_shares_are_refused(name: str) -> None:
    with pytest.raises(BadInput):
        samba_settings(SERVER, [export(name=name)])


def test_two_shares_of_one_name_are_refused_in_any_case() -> None:
    with pytest.raises(BadInput, match="two shares"):
        samba_settings(SERVER, [export(), export(name="ALICE")])
    with pytest.raises(BadInput, match="two shares"):
        samba_settings(SERVER, [export(name="global")])


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_no_name_path_or_account_adds_a_line(name: str, path: str, account: str) -> None:
    try:
        meant = samba_settings(SERVER, [export(name=name, path=Path("/data") / path, readers=(account,), comment=account)])
    except (BadInput, ValueError):
        return
    assert read_sections(samba_config(meant)) == meant


@pytest.mark.skipif(shutil.which("testparm") is None, reason="testparm is not installed")
class TestBySamba:
    def test_testparm_understands_all_that_is_meant(self, tmp_path: Path) -> None:
        server = Server("CRYO", ("127.0.0.1/8",), 20445, tmp_path)
        for name in ("private", "lock", "state", "cache", "pid", "ncalrpc", "log"):
            (tmp_path / name).mkdir()
        barred = export(barred=("bob",), networks=("192.168.0.0/16", "10.0.0.0/8"), comment="of Alice; 2026 # x = y")
        for legacy in (False, True):
            meant = samba_settings(Server("CRYO", server.addresses, 20445, tmp_path, legacy), [PC, barred])
            (tmp_path / "smb.conf").write_text(samba_config(meant))
            check_samba_config(tmp_path / "smb.conf", meant)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("[global]\n  workgruop = CRYO\n", "workgroup"),
            ("[global]\n  workgroup = CRYO\n[extra]\n  path = /x\n", "share that is not meant"),
            ("[global]\n  workgroup = OTHER\n", "Samba understood 'OTHER'"),
        ],
    )
    def test_what_samba_understands_otherwise_is_told(self, tmp_path: Path, text: str, words: str) -> None:
        (tmp_path / "smb.conf").write_text(text)
        with pytest.raises(BadConfiguration, match=words):
            check_samba_config(tmp_path / "smb.conf", {"global": {"workgroup": "CRYO"}})


# as Samba 4.17.12 wrote it, shortened
STATUS = """{
  "timestamp": "2026-11-23T07:10:00.000000+0000", "version": "4.17.12-Debian",
  "sessions": {"77": {"session_id": "77", "server_id": {"pid": "4711"}, "uid": 1002, "gid": 1003, "username": "pt-krios",
    "groupname": "pt-krios", "remote_machine": "10.20.0.11", "hostname": "ipv4:10.20.0.11:50432"}},
  "tcons": {"88": {"service": "krios-pc", "server_id": {"pid": "4711"}, "tcon_id": "88", "session_id": "77",
    "machine": "10.20.0.11", "connected_at": "2026-11-23T07:09:00.000000+00:00"}},
  "open_files": {
    "/gateway/krios/live.mrc": {"service_path": "/gateway/krios", "filename": "live.mrc", "opens": {
      "4711/3": {"server_id": {"pid": "4711"}, "uid": 1002, "share_file_id": 3,
        "access_mask": {"hex": "0x00120196", "READ_DATA": false, "WRITE_DATA": true, "APPEND_DATA": true, "text": "W"}}}},
    "/gateway/krios/.": {"service_path": "/gateway/krios", "filename": ".", "opens": {
      "4711/4": {"server_id": {"pid": "4711"}, "uid": 1002,
        "access_mask": {"hex": "0x00100081", "READ_DATA": true, "WRITE_DATA": false, "APPEND_DATA": false, "text": "R"}}}}}}"""


def test_the_status_of_a_server_is_read() -> None:
    status = parse_status(STATUS)
    (connection,) = status.connections
    assert (connection.share, connection.account, connection.address, connection.pid) == (
        "krios-pc",
        "pt-krios",
        "10.20.0.11",
        4711,
    )
    assert [(each.path, each.writing) for each in status.open_files] == [
        (PurePosixPath("/gateway/krios/live.mrc"), True),
        (PurePosixPath("/gateway/krios"), False),
    ]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"tcons": {"1": {}}}', '{"open_files": {"/x": 3}}', "null"])
def test_what_is_no_status_is_told(text: str) -> None:
    with pytest.raises(ProgramFailed):
        parse_status(text)


def test_a_server_without_clients_has_none() -> None:
    assert parse_status('{"sessions": {}, "tcons": {}, "open_files": {}}').connections == ()


SEGMENTS = [
    Segment("enp3s0", "10.20.0.1/24", ("10.20.0.12", "10.20.0.11", "fd00::5")),
    Segment("enp4s0", "10.30.0.1/24", ("10.30.0.9",)),
]


def test_the_firewall_lets_each_pc_reach_smb_from_its_own_network_and_drops_the_rest() -> None:
    text = acquisition_firewall(SEGMENTS, port=445)
    assert 'iifname "enp3s0" ip saddr @pcs0_v4 ip daddr 10.20.0.1 tcp dport 445 accept' in text
    assert 'iifname "enp4s0" ip saddr @pcs1_v4 ip daddr 10.30.0.1 tcp dport 445 accept' in text
    assert "elements = { 10.20.0.11, 10.20.0.12 }" in text
    assert text.count("counter drop") == 4


@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")
@pytest.mark.parametrize("segments", [SEGMENTS, SEGMENTS[:1], [Segment("eth0", "10.0.0.1/8", ())], []])
def test_nft_takes_the_file(tmp_path: Path, segments: list[Segment]) -> None:
    import os

    if os.getuid() != 0:
        pytest.skip("nft is asked by root only")
    path = tmp_path / "acquisition.nft"
    path.write_text(acquisition_firewall(segments))
    check_firewall(path)
    path.write_text("table inet x { chain y { nonsense } }\n")
    with pytest.raises(BadConfiguration, match="nft does not take it"):
        check_firewall(path)
