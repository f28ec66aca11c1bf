"""Pages, downloads and JSON of zones over the real service: who sees what, and that no path and no name does harm."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from fastapi.routing import APIRoute
from PIL import Image

from passerelle.service.access import this_account
from passerelle.service.audit import read_audit
from passerelle.testing.pictures import PICTURES
from passerelle.zones import Who, ZoneKind
from tests.web_house import House, page_token

ZONE = "bobs"
ODD = [
    b"plain.txt",
    b"caf\xe9 \xff.txt",
    b"a\nb.txt",
    b"<img src=x onerror=alert(1)>.txt",
    b"100%.txt",
    b"50%25 off %FF.txt",
    b"back\\slash.txt",
    b"#hash?query&x=1.txt",
    b"  blanks  ",
    b"'quotes\".txt",
    "größe µm – ½.txt".encode(),
    b"x" * 255,
]
# what leads out of a zone, if anything does; as it stands in an address
TRAVERSALS = [
    "%2e%2e/secret.txt",
    "..%2fsecret.txt",
    "%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "a/%2e%2e/%2e%2e/secret.txt",
    "%2fetc%2fpasswd",
    "/etc/passwd",
    "%252e%252e/secret.txt",
    "%25%32%65%25%32%65/secret.txt",
    "%00",
    "plain.txt%00.png",
    "%2500",
    "%252Fetc%252Fpasswd",
    "out/secret.txt",
    "out",
    "deep-out/passwd",
    "%ff",
    "%c0%ae%c0%ae/secret.txt",
    "..%5csecret.txt",
    "x" * 3000,
    "a/" * 400 + "b",
    "fifo",
]
BODIES: dict[str, Any] = {
    "POST /zones/{name}/people": {"data": {"whom": "carl", "relation": "reader"}},
    "POST /api/zones/{name}": {"json": {"description": "mine now"}},
    "POST /api/zones/{name}/people": {"json": {"whom": "carl", "relation": "reader"}},
}


@pytest.fixture
def zone(house: House, tmp_path: Path) -> Path:
    """The root of bob's zone, with files of odd names, and a secret beside it."""
    house.facility.zones.create(this_account(), ZONE, kind=ZoneKind.PERSONAL, owner="bob", description="<b>of bob</b>")
    root = tmp_path / "zones" / ZONE
    (root / "odd").mkdir()
    for name in ODD:
        (root / "odd" / os.fsdecode(name)).write_bytes(b"content of " + name)
    (root / "plain.txt").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "zones" / "secret.txt").write_text("SECRET")
    (root / "out").symlink_to(tmp_path / "zones")
    (root / "deep-out").symlink_to("/etc")
    os.mkfifo(root / "fifo")
    PICTURES["pilatus.tif"](root / "pilatus.tif")
    return root


def zone_routes(house: House) -> Iterator[tuple[str, str]]:
    """Yield method and path of each route that names a zone or an instrument."""
    for path, methods in house.app.openapi()["paths"].items():
        if re.match(r"/(api/)?(zones|instruments)/\{name\}", path):
            yield from ((method.upper(), path) for method in methods)
    from passerelle.web.app import ROUTERS

    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and re.match(r"/(zones|instruments)/\{name\}", route.path):
                yield from ((method, route.path) for method in route.methods)


def asked(client: Any, method: str, path: str, name: str, within: str = "plain.txt") -> Any:
    address = path.replace("{name}", name).replace("{path:path}", within).replace("{path}", within)
    return client.request(method, address, **BODIES.get(f"{method} {path}", {}))


def test_a_stranger_is_told_by_every_route_that_there_is_no_such_zone(house: House, zone: Path) -> None:
    carl = house.client("carl")
    page_token(carl, "/")
    routes = sorted(set(zone_routes(house)))
    assert len(routes) > 25
    for method, path in routes:
        name = "krios" if "instruments" in path else ZONE
        answer = asked(carl, method, path, name)
        assert answer.status_code == 404 or answer.headers.get("location", "").endswith("/files/"), (method, path, answer.text)
        missing = asked(carl, method, path, "nowhere")
        assert missing.status_code == answer.status_code, (method, path)
        assert missing.text.replace("nowhere", name) == answer.text, "what is another's looks as what is not there"
        assert "of bob" not in answer.text
        if name == ZONE:  # Windows takes upper and lower case for the same
            assert asked(carl, method, path, ZONE.upper()).text.replace(ZONE.upper(), ZONE) == answer.text, (method, path)
    assert carl.get("/api/zones").json() == []
    assert ZONE not in carl.get("/zones").text


def test_nobody_is_let_in_without_a_log_in(house: House, zone: Path) -> None:
    nobody = house.client()
    for method, path in sorted(set(zone_routes(house))):
        answer = asked(nobody, method, path, ZONE)
        assert answer.status_code in (303, 401, 403), (method, path)
        assert "of bob" not in answer.text


def test_a_keeper_of_zones_sees_a_zone_and_not_its_files(house: House, zone: Path) -> None:
    dora = house.client("dora")
    assert dora.get(f"/zones/{ZONE}").status_code == 200
    for method, path in sorted(set(zone_routes(house))):
        if "{path" in path and "instruments" not in path:
            answer = asked(dora, method, path, ZONE)
            assert answer.status_code == 403, (method, path)


def test_no_path_leads_out_of_a_zone_by_any_route(house: House, zone: Path) -> None:
    bob = house.client("bob")
    page_token(bob, "/")
    for method, path in sorted(set(zone_routes(house))):
        for within in TRAVERSALS if "{path" in path and "instruments" not in path else []:
            answer = asked(bob, method, path, ZONE, within)
            assert answer.status_code in (400, 404), (method, path, within, answer.status_code)
            assert "SECRET" not in answer.text and "root:" not in answer.text
        for name in ("%2e%2e", "..%2f", "%00", "x" * 3000, "%ff", "<script>", "a%0d%0ax-evil:1"):
            answer = asked(bob, method, path, name)
            assert answer.status_code in (303, 307, 404), (method, path, name, answer.status_code)
            assert "x-evil" not in answer.headers
            assert not answer.headers.get("content-type", "").startswith("text/html") or "<script>" not in answer.text


def test_items_of_a_bundle_lie_in_its_folder(house: House, zone: Path) -> None:
    bob = house.client("bob")
    for item in ("../secret.txt", "odd/plain.txt", "", "..", ".", "\x00", "out/secret.txt"):
        answer = bob.get(f"/zones/{ZONE}/bundle/", params={"item": item})
        assert answer.status_code == 400, item
    assert bob.get(f"/zones/{ZONE}/bundle/", params={"item": "out"}).status_code == 400, "a link is no file"


def test_every_name_can_be_listed_asked_for_again_and_downloaded(house: House, zone: Path) -> None:
    bob = house.client("bob")
    page = bob.get(f"/zones/{ZONE}/files/odd?view=list").text
    links = {unescape(link) for link in re.findall(rf'href="(/zones/{ZONE}/files/odd/[^"]+)"', page)}
    assert len(links) == len(ODD)
    found = set()
    for link in links:
        assert bob.get(link).status_code == 200, link
        answer = bob.get(link.replace("/files/", "/download/"))
        assert answer.status_code == 200, link
        found.add(answer.content.removeprefix(b"content of "))
        header = answer.headers["content-disposition"]
        assert header.startswith("attachment; ") and header.isascii() and header.isprintable()
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert found == set(ODD)


def test_names_are_shown_as_text_on_every_page(house: House, zone: Path) -> None:
    bob = house.client("bob")
    hostile = quote("<img src=x onerror=alert(1)>.txt")
    for address in (
        f"/zones/{ZONE}/files/odd?view=list",
        f"/zones/{ZONE}/files/odd?view=grid",
        f"/zones/{ZONE}/files/odd/{hostile}",
        f"/zones/{ZONE}/looks/odd/{hostile}",
        f"/zones/{ZONE}",
        "/zones",
    ):
        text = bob.get(address).text
        assert "<img src=x" not in text and "<b>of bob" not in text, address


def test_the_saved_name_is_the_files(house: House, zone: Path) -> None:
    bob = house.client("bob")
    header = bob.get(f"/zones/{ZONE}/download/odd/{quote('größe µm – ½.txt')}").headers["content-disposition"]
    assert unquote(header.split("filename*=UTF-8''")[1]) == "größe µm – ½.txt"
    assert 'filename="gr_e m _.txt"' in header or 'filename="' in header


def test_html_and_svg_are_never_shown_as_pages(house: House, zone: Path) -> None:
    for name in ("page.html", "picture.svg", "doc.pdf", "x.js"):
        (zone / name).write_text("<script>alert(1)</script>")
        answer = house.client("bob").get(f"/zones/{ZONE}/download/{name}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("wanted", "code", "first", "last"),
    [
        ("", 200, 0, 10239),
        ("bytes=0-", 206, 0, 10239),
        ("bytes=100-199", 206, 100, 199),
        ("bytes=10000-", 206, 10000, 10239),
        ("bytes=-40", 206, 10200, 10239),
        ("bytes=-99999", 206, 0, 10239),
        ("bytes=0-99999", 206, 0, 10239),
        ("bytes=0-1,5-6", 200, 0, 10239),
        ("bytes=nonsense", 200, 0, 10239),
        ("lines=1-2", 200, 0, 10239),
        ("bytes=10240-", 416, 0, -1),
        ("bytes=-0", 416, 0, -1),
        ("bytes=9-3", 416, 0, -1),
    ],
)
def test_ranges_of_a_download(house: House, zone: Path, wanted: str, code: int, first: int, last: int) -> None:
    answer = house.client("bob").get(f"/zones/{ZONE}/download/plain.txt", headers={"range": wanted} if wanted else {})
    whole = (zone / "plain.txt").read_bytes()
    if (first, last) == (0, 10239) and code == 206:
        assert answer.status_code in (200, 206)
    else:
        assert answer.status_code == code
    assert answer.content == whole[first : last + 1]
    assert answer.headers["content-length"] == str(last + 1 - first)
    assert answer.headers["accept-ranges"] == "bytes"


def test_a_download_is_taken_up_again_only_of_the_same_file(house: House, zone: Path) -> None:
    bob = house.client("bob")
    address = f"/zones/{ZONE}/download/plain.txt"
    tag = bob.get(address).headers["etag"]
    again = bob.get(address, headers={"range": "bytes=5-9", "if-range": tag})
    assert (again.status_code, again.content) == (206, bytes([5, 6, 7, 8, 9]))
    (zone / "plain.txt").write_bytes(b"written anew")
    other = bob.get(address, headers={"range": "bytes=5-9", "if-range": tag})
    assert (other.status_code, other.content) == (200, b"written anew")


def test_an_empty_file_can_be_saved(house: House, zone: Path) -> None:
    (zone / "empty").write_bytes(b"")
    answer = house.client("bob").get(f"/zones/{ZONE}/download/empty")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_folder_or_some_of_it_is_saved_as_zip_and_written_down(house: House, zone: Path) -> None:
    bob = house.client("bob")
    whole = bob.get(f"/zones/{ZONE}/bundle/odd", headers={"accept-encoding": "gzip"})
    archive = zipfile.ZipFile(io.BytesIO(whole.content))
    assert archive.testzip() is None
    assert len(archive.namelist()) == len(ODD)
    some = bob.get(f"/zones/{ZONE}/bundle/", params={"item": ["plain.txt", "odd"]})
    assert "bobs.zip" in some.headers["content-disposition"]
    assert zipfile.ZipFile(io.BytesIO(some.content)).read("plain.txt") == (zone / "plain.txt").read_bytes()
    acts = read_audit(house.parts.database, house.actor("ann"), subject=f"zone:{ZONE}")
    assert acts[0].act == "file_bundle" and acts[0].person == "bob" and acts[0].data["files"] == len(ODD) + 1


def test_downloads_and_refusals_are_written_down(house: House, zone: Path) -> None:
    house.client("bob").get(f"/zones/{ZONE}/download/plain.txt")
    house.client("carl").get(f"/api/zones/{ZONE}/download/plain.txt")
    acts = read_audit(house.parts.database, house.actor("ann"), subject=f"zone:{ZONE}", act="file_download")
    assert [(each.person, each.result) for each in acts] == [("carl", "refused"), ("bob", "done")]


def test_pictures_are_shown_and_kept_by_the_browser_only_while_permitted(house: House, zone: Path) -> None:
    bob = house.client("bob")
    answer = bob.get(f"/zones/{ZONE}/pictures/pilatus.tif")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(answer.content)).size == (300, 260)
    assert answer.headers["cache-control"] == "private, no-cache"
    again = bob.get(f"/zones/{ZONE}/pictures/pilatus.tif", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    refused = bob.get(f"/api/zones/{ZONE}/pictures/plain.txt")
    assert refused.status_code == 415 and "not shown as a picture" in refused.json()["error"]["message"]
    facts = bob.get(f"/api/zones/{ZONE}/previews/pilatus.tif").json()
    assert facts["facts"]["wavelength_angstrom"] == 0.9795 and facts["picture"] is True
    assert "0.9795" in bob.get(f"/zones/{ZONE}/looks/pilatus.tif").text


def test_an_owner_lets_people_in_and_takes_them_out(house: House, zone: Path) -> None:
    bob, carl = house.client("bob"), house.client("carl")
    page_token(bob, f"/zones/{ZONE}")
    answer = bob.post(f"/zones/{ZONE}/people", data={"whom": "carl", "relation": "reader"})
    assert answer.status_code == 200 and "carl" in answer.text
    assert carl.get(f"/zones/{ZONE}/download/plain.txt").status_code == 200
    page_token(carl, f"/zones/{ZONE}")
    assert carl.post(f"/zones/{ZONE}/people", data={"whom": "olga", "relation": "writer"}).status_code == 403
    bob.post(f"/zones/{ZONE}/people", data={"whom": "carl", "relation": "writer"})
    view = bob.get(f"/api/zones/{ZONE}").json()
    assert (view["readers"]["people"], view["writers"]["people"]) == ([], ["carl"])
    bob.post(f"/zones/{ZONE}/people", data={"whom": "@cryo", "relation": "reader"})
    assert bob.get(f"/api/zones/{ZONE}").json()["readers"]["groups"] == ["cryo"]
    bob.post(f"/zones/{ZONE}/people", data={"whom": "carl", "relation": "stranger"})
    assert carl.get(f"/zones/{ZONE}").status_code == 404
    for whom, relation in (("carl", "owner"), ("../x", "reader"), ("", "reader")):
        assert bob.post(f"/zones/{ZONE}/people", data={"whom": whom, "relation": relation}).status_code == 400, whom


def test_zones_are_made_by_who_keeps_them(house: House, zone: Path) -> None:
    dora, bob = house.client("dora"), house.client("bob")
    page_token(dora, "/zones")
    page_token(bob, "/zones")
    form = {"name": "ribosome", "kind": "platform", "owner": "dora", "quota": "5T", "description": "<i>of all</i>"}
    assert "Make a zone" not in bob.get("/zones").text
    assert bob.post("/zones", data=form).status_code == 403
    made = dora.post("/zones", data=form, headers={"hx-request": "true"})
    assert (made.status_code, made.headers["hx-redirect"]) == (204, "/zones/ribosome")
    view = dora.get("/api/zones/ribosome").json()
    assert (view["kind"], view["quota_bytes"], view["windows"]) == ("platform", 5 * 10**12, "\\\\data\\ribosome")
    assert "&lt;i&gt;of all" in dora.get("/zones/ribosome").text
    assert dora.post("/zones", data=form).status_code == 409
    assert dora.post("/zones", data=form | {"name": "a/../b"}).status_code == 400
    assert dora.post("/zones", data=form | {"name": "q", "quota": "lots"}).status_code == 400


def test_keeping_a_zone(house: House, zone: Path) -> None:
    dora, bob = house.client("dora"), house.client("bob")
    page_token(dora, f"/zones/{ZONE}")
    page_token(bob, f"/zones/{ZONE}")
    assert bob.post(f"/zones/{ZONE}/govern", data={"owner": "bob", "quota": "9T"}).status_code == 403
    assert "2 TB" in dora.post(f"/zones/{ZONE}/govern", data={"owner": "bob", "quota": "2T"}).text
    assert dora.get(f"/api/zones/{ZONE}").json()["quota_bytes"] == 2 * 10**12
    dora.post(f"/zones/{ZONE}/govern", data={"owner": "bob", "quota": ""})
    assert dora.get(f"/api/zones/{ZONE}").json()["quota_bytes"] is None
    assert "files and folders" in dora.post(f"/zones/{ZONE}/repair", data={"dry": "true"}).text
    assert bob.post(f"/zones/{ZONE}/measure").status_code == 200
    assert bob.get(f"/api/zones/{ZONE}/history").json()["usage"][0]["files"] == len(ODD) + 5
    assert "Archived" in dora.post(f"/zones/{ZONE}/archive").text
    assert bob.get(f"/api/zones/{ZONE}").json()["may"] == ["see", "read"]
    assert "written by nobody" in bob.get(f"/zones/{ZONE}").text
    assert bob.get(f"/zones/{ZONE}/download/plain.txt").status_code == 200
    assert bob.post(f"/zones/{ZONE}/people", data={"whom": "carl", "relation": "reader"}).status_code == 403
    assert dora.post(f"/zones/{ZONE}/activate").status_code == 200
    assert "write" in bob.get(f"/api/zones/{ZONE}").json()["may"]


def test_zones_in_json(house: House, zone: Path) -> None:
    dora = house.client("dora")
    page_token(dora, "/zones")
    made = dora.post("/api/zones", json={"name": "lens", "owner": "dora", "readers": {"people": ["bob"], "groups": []}})
    assert made.status_code == 201
    assert dora.post("/api/zones/lens", json={"description": "x", "quota_bytes": 5}).json()["quota_bytes"] == 5
    assert dora.post("/api/zones/lens", json={"no_quota": True}).json()["quota_bytes"] is None
    assert dora.post("/api/zones/lens/people", json={"whom": "bob", "relation": "writer"}).json()["writers"]["people"] == ["bob"]
    assert dora.post("/api/zones/lens/repair?dry=true").json()["dry"] is True
    assert dora.post("/api/zones/lens/archive").json()["state"] == "archived"
    assert dora.post("/api/zones/lens/activate").json()["state"] == "active"
    assert dora.post("/api/zones/lens/measure").json()["files"] == 0
    assert dora.post("/api/zones/lens", json={"colour": "red"}).status_code == 422
    described = dora.get("/api/openapi.json").json()["paths"]
    assert {"/api/zones", "/api/zones/{name}", "/api/zones/{name}/folders/{path}", "/api/instruments/{name}/files/{path}"} <= set(
        described
    )


def test_folders_are_sorted_and_paged_in_json(house: House, zone: Path) -> None:
    bob = house.client("bob")
    first = bob.get(f"/api/zones/{ZONE}/folders/odd?limit=5").json()
    rest = bob.get(f"/api/zones/{ZONE}/folders/odd?limit=100&first=5").json()
    assert (first["total"], len(first["entries"]), len(rest["entries"])) == (len(ODD), 5, len(ODD) - 5)
    largest = bob.get(f"/api/zones/{ZONE}/folders/odd?order=size&down=true&limit=1").json()["entries"][0]
    assert largest["name"] == "x" * 255
    assert bob.get(f"/api/zones/{ZONE}/folders/odd?order=colour").status_code == 422


def test_what_an_instrument_writes_is_looked_through_by_who_may_see_it(house: House) -> None:
    folder = house.bench.folder
    (folder / "notes.txt").write_text("of the session")
    for name in ("bob", "olga"):
        assert house.client(name).get("/instruments/krios/download/notes.txt").content == b"of the session", name
    assert "notes.txt" in house.client("olga").get("/instruments/krios/files/?view=list").text
    assert house.client("carl").get("/instruments/krios/download/notes.txt").status_code == 404
    assert house.client("olga").get("/instruments/nowhere/files/").status_code == 404


def test_changes_need_the_token_of_the_page(house: House, zone: Path) -> None:
    bob = house.client("bob")
    bob.headers.pop("x-passerelle-token", None)
    for path in ("people", "description", "measure", "archive"):
        assert bob.post(f"/zones/{ZONE}/{path}", data={"whom": "carl", "relation": "reader"}).status_code == 403, path
    assert house.facility.zones.get(house.actor("bob"), ZONE).readers.people == []


def test_a_reader_of_a_zone_that_is_shared_with_a_group(house: House, zone: Path) -> None:
    house.facility.zones.change(this_account(), ZONE, readers=Who.of([], ["cryo"]))
    assert house.client("carl").get(f"/zones/{ZONE}").status_code == 404, "carl is in no group of that name here"
