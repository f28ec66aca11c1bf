"""Bad and hostile sidecars: each is refused in words that name the file, soon, and without eating memory."""

import importlib.util
import time
import tracemalloc
from pathlib import Path, PurePosixPath

import pytest

from passerelle.acquisition import (
    PROGRAMS,
    Metadata,
    read_atlas,
    read_epu_session,
    read_grid_square,
    read_picture_geometry,
    reconcile,
)
from passerelle.core.errors import BadFile, IncompleteFile, Retry

_spec = importlib.util.spec_from_file_location("sidecar_mutants", Path(__file__).with_name("sidecar_mutants.py"))
assert _spec and _spec.loader
sidecar_mutants = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sidecar_mutants)
SEED_XML, SEED_MDOC = sidecar_mutants.SEED_XML, sidecar_mutants.SEED_MDOC

XML = PurePosixPath("s/Images-Disc1/GridSquare_7/Data/FoilHole_8_Data_1_2_20250101_120000.xml")
MDOC = PurePosixPath("frames/x.tif.mdoc")
HEAD, TAIL = b"<MicroscopeImage>", b"</MicroscopeImage>"
BODY = b"<microscopeData/>"

ENTITIES = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))

BAD_XML = {
    "billion laughs": b'<!DOCTYPE x [<!ENTITY a0 "lol">' + ENTITIES + b"]>" + HEAD + b"&a9;" + TAIL,
    "quadratic blow-up": b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 50000 + b'">]>' + HEAD + b"&a;" * 50000 + TAIL,
    "external file": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + HEAD + b"<name>&a;</name>" + BODY + TAIL,
    "external address": b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">' + HEAD + BODY + TAIL,
    "parameter entity": b'<!DOCTYPE x [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]>' + HEAD + BODY + TAIL,
    "unparsed entity": b'<!DOCTYPE x [<!NOTATION n SYSTEM "n"><!ENTITY a SYSTEM "x" NDATA n>]>' + HEAD + BODY + TAIL,
    "harmless doctype": b"<!DOCTYPE MicroscopeImage>" + HEAD + BODY + TAIL,
    "undeclared entity": HEAD + b"&lol;" + BODY + TAIL,
    "nested 201 deep": HEAD + b"<a>" * 201 + b"</a>" * 201 + BODY + TAIL,
    "nested without end": HEAD + b"<a>" * 100000,
    "too many elements": HEAD + b"<a/>" * 300_000 + BODY + TAIL,
    "too many elements kept": HEAD + b"<CustomData>" + b"<a/>" * 60_000 + b"</CustomData>" + BODY + TAIL,
    "too many attributes": HEAD + b"<a " + b" ".join(b'x%d="1"' % n for n in range(100_000)) + b"/>" + BODY + TAIL,
    "the same attribute twice": HEAD + b'<a b="1" b="2"/>' + BODY + TAIL,
    "text of 1 MiB": HEAD + b"<name>" + b"x" * (1 << 20) + b"</name>" + BODY + TAIL,
    "tag of 1 MiB": HEAD + b"<" + b"a" * (1 << 20) + b"/>" + BODY + TAIL,
    "larger than any": b" " * (33 << 20),
    "another document": b"<EpuSessionXml/>",
    "a page of HTML": b"<html><body><p>502 Bad Gateway<br></body></html>",
    "a picture": b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\x00\x01" * 50,
    "text": b"hello\n",
    "no data inside": HEAD + TAIL,
    "two roots": HEAD + BODY + TAIL + HEAD + BODY + TAIL,
    "text after the root": HEAD + BODY + TAIL + b"x",
    "crossed tags": HEAD + b"<a><b></a></b>" + BODY + TAIL,
    "unknown prefix": HEAD + b"<q:a/>" + BODY + TAIL,
    "NUL in the middle": HEAD + b"<a>\0</a>" + BODY + TAIL,
    "NUL reference": HEAD + b"<a>&#0;</a>" + BODY + TAIL,
    "invalid UTF-8": HEAD + b"<a>\xc3\x28</a>" + BODY + TAIL,
    "a lone surrogate": HEAD + b"<a>\xed\xa0\x80</a>" + BODY + TAIL,
    "unknown encoding": b'<?xml version="1.0" encoding="klingon"?>' + HEAD + BODY + TAIL,
    "encoding of many bytes": b'<?xml version="1.0" encoding="utf-7"?>' + HEAD + BODY + TAIL,
    "UTF-16 said, UTF-8 written": b'<?xml version="1.0" encoding="utf-16"?>' + HEAD + BODY + TAIL,
    "a word for a number": SEED_XML.replace(b"<width>2880", b"<width>wide"),
    "two numbers for one": SEED_XML.replace(b"<width>2880", b"<width>2880 2880"),
    "a comma for a point": SEED_XML.replace(b"0.75", b"0,75"),
    "no instant": SEED_XML.replace(b"2023-09-19T15:41:00.6497848+01:00", b"yesterday"),
    "the thirteenth month": SEED_XML.replace(b"2023-09-19", b"2023-13-19"),
    "an instant before the calendar": SEED_XML.replace(b"2023-09-19", b"0000-09-19"),
    "a zone of a week": SEED_XML.replace(b"+01:00", b"+99:99"),
}

CUT_XML = {
    "empty": b"",
    "spaces": b" \r\n ",
    "zeros": b"\0" * 5000,
    "in the head": SEED_XML[:20],
    "in a tag": SEED_XML[:300],
    "in a text": SEED_XML[:-400],
    "before the last tag": SEED_XML[:-3],
    "in a character": HEAD + "<a>µ".encode()[:-1],
    "pre-allocated, filled in part": SEED_XML[:700] + b"\0" * 4000,
    "pre-allocated, in a text": SEED_XML[:-400] + b"\0" * 100_000,
    "in a comment": HEAD + b"<!-- ",
    "in a CDATA section": HEAD + b"<a><![CDATA[ x",
}

BAD_MDOC = {
    "XML": b'<?xml version="1.0"?><a/>\n',
    "NUL inside": SEED_MDOC.replace(b"StageZ", b"Sta\0eZ"),
    "UTF-16": SEED_MDOC.decode().encode("utf-16"),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(1, 200)) + b"\n",
    "prose": b"These are the frames of Tuesday.\n",
    "a head without its end": b"[FrameSet = 0\nA = 1\n",
    "a head without a name": b"[FrameSet]\nA = 1\n",
    "a value without a key": b"= 1\n",
    "a line of 1 MiB": b"A = " + b"1" * (1 << 20) + b"\n",
    "200,000 keys": b"".join(b"k%d = 1\n" % n for n in range(200_000)),
    "100,000 sections": b"[ZValue = 0]\n" * 100_000,
    "larger than any": b"A = 1\n" * (1 << 20),
    "a word for a number": SEED_MDOC.replace(b"StageZ = 3", b"StageZ = three"),
    "infinity": SEED_MDOC.replace(b"StageZ = 3", b"StageZ = inf"),
    "an odd number of frame doses": SEED_MDOC.replace(b"1.25 40", b"1.25"),
    "the 40th of October": SEED_MDOC.replace(b"08-Oct-21  07:39:08\r\n", b"40-Oct-21  07:39:08\r\n"),
    "a month of another language": SEED_MDOC.replace(b"DateTime = 08-Oct", b"DateTime = 08-Okt"),
    "no value": b"\xef\xbb\xbf\r\n# nothing\r\n",
}

CUT_MDOC = {
    "empty": b"",
    "line ends": b"\r\n\r\n",
    "zeros": b"\0" * 100,
    "in a number": SEED_MDOC[: SEED_MDOC.index(b"50\r\n") + 1],
    "in a key": SEED_MDOC[:-20],
    "in a head": SEED_MDOC[: SEED_MDOC.index(b"[Fra") + 4],
}


def refused(read, path, content):
    begin = time.process_time()
    with pytest.raises(BadFile) as caught:
        read(path, content)
    assert time.process_time() - begin < 2.0
    assert path.name in str(caught.value)
    assert len(str(caught.value)) < 1000
    return caught.value


@pytest.mark.parametrize("name", BAD_XML)
def test_bad_xml_is_refused_by_name_and_for_good(name):
    error = refused(PROGRAMS["epu"].read_sidecar, XML, BAD_XML[name])
    assert error.retry is Retry.NEVER, error


@pytest.mark.parametrize("name", CUT_XML)
def test_xml_that_is_still_being_written_is_asked_for_again(name):
    error = refused(PROGRAMS["epu"].read_sidecar, XML, CUT_XML[name])
    assert isinstance(error, IncompleteFile), error


@pytest.mark.parametrize("name", BAD_MDOC)
def test_a_bad_mdoc_is_refused_by_name_and_for_good(name):
    error = refused(PROGRAMS["serialem"].read_sidecar, MDOC, BAD_MDOC[name])
    assert error.retry is Retry.NEVER or name == "no value", error


@pytest.mark.parametrize("name", CUT_MDOC)
def test_an_mdoc_that_is_still_being_written_is_asked_for_again(name):
    error = refused(PROGRAMS["serialem"].read_sidecar, MDOC, CUT_MDOC[name])
    assert isinstance(error, IncompleteFile), error


@pytest.mark.parametrize("name", [name for name in (*BAD_XML, *CUT_XML) if name != "too many elements"])
def test_the_readers_of_a_grid_refuse_the_same(name):
    content = (BAD_XML | CUT_XML)[name]
    for read, root in (
        (read_atlas, b"AtlasSessionXml"),
        (read_epu_session, b"EpuSessionXml"),
        (read_grid_square, b"GridSquareXml"),
        (read_picture_geometry, b"MicroscopeImage"),
    ):
        renamed = content.replace(b"MicroscopeImage", root)
        try:
            read(PurePosixPath("x.dm"), renamed)
        except BadFile as error:
            assert "x.dm" in str(error)


GOOD = [
    b"\xef\xbb\xbf" + SEED_XML,
    SEED_XML.replace(b"\r\n", b"\n"),
    SEED_XML.replace(b'encoding="utf-8"', b'encoding="utf-16"').decode().encode("utf-16"),
    SEED_XML.replace(b"<name>Empty</name>", "<name>电镜 µ 🧊</name>".encode()),
    SEED_XML.replace(b"<name>", b"<!-- a comment --><?pi x?><name>"),
    SEED_XML.replace(b"Empty", b"<![CDATA[ <&> ]]>"),
    SEED_XML + b"\r\n\r\n",
    SEED_XML.replace(b"<name>Empty</name>", b"<name>" + b"x" * 60_000 + b"</name>"),
    SEED_XML.replace(b"<name>", b"<a>" * 150 + b"</a>" * 150 + b"<name>"),
]


@pytest.mark.parametrize("content", GOOD)
def test_harmless_strangeness_changes_no_value(content):
    assert PROGRAMS["epu"].read_sidecar(XML, content) == PROGRAMS["epu"].read_sidecar(XML, SEED_XML)


@pytest.mark.parametrize(
    "name", ["a b  c", "Größe µ 电镜", "line\nbreak", "tab\t\x1b[31mred", "x" * 250, "bad-utf8-\udcff", "-rf", "%s{0}$(x)"]
)
def test_errors_show_any_name_safely(name):
    for program, suffix in (("epu", ".xml"), ("serialem", ".mdoc")):
        with pytest.raises(BadFile) as caught:
            PROGRAMS[program].read_sidecar(PurePosixPath(name + suffix), b"no")
        message = str(caught.value)
        assert message.isprintable()
        message.encode("utf-8")
        assert name[:20].isprintable() is False or name[:20] in message


@pytest.mark.parametrize("name", ["too many elements", "too many attributes", "text of 1 MiB", "tag of 1 MiB", "billion laughs"])
def test_memory_stays_below_four_times_the_file_or_16_mib(name):
    content = BAD_XML[name]
    tracemalloc.start()
    try:
        with pytest.raises(BadFile):
            PROGRAMS["epu"].read_sidecar(XML, content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < max(4 * len(content), 16 << 20)


def test_a_few_hundred_mutants_are_read_or_refused():
    read = refused_ = 0
    for program, path, seed in (("epu", XML, SEED_XML), ("serialem", MDOC, SEED_MDOC)):
        for number, content in sidecar_mutants.mutants([seed], 250, seed=1):
            try:
                metadata = PROGRAMS[program].read_sidecar(path, content)
            except BadFile as error:
                assert path.name in str(error), number
                refused_ += 1
            else:
                result = reconcile({"sidecar": metadata, "file": Metadata(frames=40, height_px=4092, width_px=5760)})
                assert type(result).model_validate_json(result.model_dump_json()) == result, number
                read += 1
    assert read > 50
    assert refused_ > 50
