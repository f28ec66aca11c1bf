"""More than a hundred files that a program, a disk or malice could leave in the gateway's folder, each refused in words."""

from __future__ import annotations

import struct
import time
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from passerelle.core.errors import BadFile, IncompleteFile, PasserelleError, UnsupportedFile
from passerelle.formats import open_movie, read_star, write_eer_movie, write_tiff_movie
from passerelle.formats.tiff_assemble import LONG, LONG8, SHORT, UNDEFINED, TiffAssembly

Case = tuple[str, bytes, type[BadFile]]
PIXELS = bytes(64)


def mrc(
    nx: int = 8,
    ny: int = 8,
    nz: int = 1,
    mode: int = 0,
    extended: int = 0,
    order: str = "<",
    body: bytes = PIXELS,
    name: bytes = b"MAP ",
) -> bytes:
    raw = bytearray(1024)
    struct.pack_into(order + "4i", raw, 0, *(value if value < 1 << 31 else value - (1 << 32) for value in (nx, ny, nz, mode)))
    struct.pack_into(order + "i", raw, 92, extended if extended < 1 << 31 else extended - (1 << 32))
    raw[208:212] = name
    raw[212:214] = b"\x44\x44" if order == "<" else b"\x11\x11"
    return bytes(raw) + body


BIG = 2**31 - 1
MRC: dict[str, Case] = {
    f"mrc {words}": ("x.mrc", content, error)
    for words, content, error in [
        ("empty", b"", IncompleteFile),
        ("one byte", b"\x08", IncompleteFile),
        ("half a header", mrc()[:512], IncompleteFile),
        ("header only", mrc()[:1024], IncompleteFile),
        ("one byte short", mrc()[:-1], IncompleteFile),
        ("zeros", bytes(4096), IncompleteFile),
        ("ones", b"\xff" * 4096, BadFile),
        ("text", b"lorem ipsum dolor sit amet " * 80, BadFile),
        ("width zero", mrc(nx=0), BadFile),
        ("height zero", mrc(ny=0), BadFile),
        ("frames zero", mrc(nz=0), IncompleteFile),
        ("width negative", mrc(nx=-8), BadFile),
        ("height negative", mrc(ny=-8), BadFile),
        ("frames negative", mrc(nz=-1), BadFile),
        ("all negative", mrc(-8, -8, -1), BadFile),
        ("width of 2^31 - 1", mrc(nx=BIG), BadFile),
        ("sides whose product overflows 32 bits", mrc(65536, 65536, 1), IncompleteFile),
        ("sides whose product overflows 64 bits", mrc(BIG, BIG, BIG), BadFile),
        ("frames of 2^31 - 1", mrc(nz=BIG), IncompleteFile),
        ("a product that wraps to the file's size", mrc(131072, 32768, 1 << 20), IncompleteFile),
        ("mode 3", mrc(mode=3), UnsupportedFile),
        ("mode 4", mrc(mode=4), UnsupportedFile),
        ("mode 5", mrc(mode=5), UnsupportedFile),
        ("mode 16", mrc(mode=16), UnsupportedFile),
        ("mode negative", mrc(mode=-1), UnsupportedFile),
        ("mode 2^31 - 1", mrc(mode=BIG), UnsupportedFile),
        ("mode 2 over bytes of mode 0", mrc(mode=2), IncompleteFile),
        ("mode 12 with half the bytes", mrc(mode=12), IncompleteFile),
        ("mode 101 one byte short", mrc(9, 8, 1, 101, body=bytes(39)), IncompleteFile),
        ("extended header beyond the end", mrc(extended=1 << 20), IncompleteFile),
        ("extended header of 2^31 - 1", mrc(extended=BIG), IncompleteFile),
        ("extended header negative", mrc(extended=-4), BadFile),
        (
            "swapped sizes under a little-endian stamp",
            mrc(order=">")[:212] + b"\x44\x44\0\0" + mrc(order=">")[216:-1],
            IncompleteFile,
        ),
        ("without its name and too long", mrc(name=b"\0\0\0\0", body=bytes(65)), BadFile),
        ("without its name and too short", mrc(name=b"\0\0\0\0", body=bytes(63)), BadFile),
        ("far too long", mrc(body=bytes(9000)), IncompleteFile),
        ("a gzip", b"\x1f\x8b\x08" + bytes(2000), UnsupportedFile),
        ("a bzip2", b"BZh9" + bytes(2000), UnsupportedFile),
        ("a zip", b"PK\x03\x04" + bytes(2000), UnsupportedFile),
        ("an HDF5", b"\x89HDF\r\n\x1a\n" + bytes(2000), UnsupportedFile),
        ("a JPEG", b"\xff\xd8\xff\xe0" + bytes(2000), UnsupportedFile),
        ("XML", b"<?xml version='1.0'?>" + b" " * 2000, UnsupportedFile),
    ]
}


def tiff(*tags: tuple[int, int, list[int] | bytes], strips: tuple[bytes, ...] = (PIXELS,), big: bool = False) -> bytes:
    import io

    stream = io.BytesIO()
    defaults: dict[int, tuple[int, int, list[int] | bytes]] = {
        256: (256, LONG, [8]),
        257: (257, LONG, [8]),
        258: (258, SHORT, [8]),
    }
    defaults.update({tag[0]: tag for tag in tags})
    TiffAssembly(stream, big=big).add_page(list(strips), list(defaults.values()))
    return stream.getvalue()


def patched(content: bytes, at: int, form: str, *values: int) -> bytes:
    raw = bytearray(content)
    struct.pack_into(form, raw, at, *values)
    return bytes(raw)


def retagged(tag: int, kind: int, count: int, value: int) -> bytes:
    """A TIFF one of whose entries is overwritten."""
    content = bytearray(tiff((278, LONG, [8]), (259, SHORT, [1])))
    (directory,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, directory)
    for index in range(entries):
        at = directory + 2 + 12 * index
        if struct.unpack_from("<H", content, at)[0] == tag:
            struct.pack_into("<HHII", content, at, tag, kind, count, value)
    return bytes(content)


def chain(links: int) -> bytes:
    """Pages that all lie over each other, one byte apart would be loops: `links` directories that share one strip."""
    import io

    stream = io.BytesIO()
    assembly = TiffAssembly(stream)
    for _ in range(links):
        assembly.add_page([b""], [(256, LONG, [8]), (257, LONG, [8]), (258, SHORT, [8])])
    content = bytearray(stream.getvalue())
    at = struct.unpack_from("<I", content, 4)[0]
    while at:
        (entries,) = struct.unpack_from("<H", content, at)
        for index in range(entries):
            place = at + 2 + 12 * index
            tag = struct.unpack_from("<H", content, place)[0]
            if tag == 273:
                struct.pack_into("<I", content, place + 8, 8)
            if tag == 279:
                struct.pack_into("<I", content, place + 8, 4000)
        at = struct.unpack_from("<I", content, at + 2 + 12 * entries)[0]
    return bytes(content)


HUGE = ((256, LONG, [131072]), (257, LONG, [131072]))
DEFLATE_BOMB = zlib.compress(bytes(3_000_000))
BIG_TIFF = tiff(big=True)
FAR_STRIP = patched(BIG_TIFF, BIG_TIFF.index(struct.pack("<HH", 273, LONG8)) + 12, "<Q", 2**64 - 1)
LZW_BOMB = bytes(imagecodecs.lzw_encode(bytes(3_000_000)))
TIFF: dict[str, Case] = {
    f"tiff {words}": ("x.tif", content, error)
    for words, content, error in [
        ("empty", b"", IncompleteFile),
        ("two letters", b"II", IncompleteFile),
        ("wrong letters", b"IX*\0\x08\0\0\0" + bytes(100), BadFile),
        ("wrong version", b"II\x2c\0\x08\0\0\0" + bytes(100), BadFile),
        ("mixed byte order", b"II\0*\0\0\0\x08" + bytes(100), BadFile),
        ("no first page", b"II*\0\0\0\0\0" + bytes(100), IncompleteFile),
        ("first page beyond the end", b"II*\0\xff\xff\xff\x7f" + bytes(100), IncompleteFile),
        ("first page in the header", b"II*\0\x01\0\0\0" + bytes(100), BadFile),
        ("a directory of no tags", b"II*\0\x08\0\0\0" + bytes(100), BadFile),
        ("a directory of 65535 tags", b"II*\0\x08\0\0\0\xff\xff" + bytes(100), BadFile),
        ("a directory cut short", tiff()[:-8], IncompleteFile),
        ("a page after the end", patched(tiff(), len(tiff()) - 4, "<I", 1 << 30), IncompleteFile),
        ("a page that is itself", patched(tiff(), len(tiff()) - 4, "<I", struct.unpack_from("<I", tiff(), 4)[0]), BadFile),
        ("width zero", tiff((256, LONG, [0])), BadFile),
        ("height zero", tiff((257, LONG, [0])), BadFile),
        ("width of 2^32 - 1", tiff((256, LONG, [2**32 - 1])), BadFile),
        ("height of 2^32 - 1", tiff((257, LONG, [2**32 - 1])), BadFile),
        ("rows per strip zero", tiff((278, LONG, [0])), BadFile),
        ("a row a strip but one strip", tiff((278, LONG, [1])), BadFile),
        ("2^32 - 1 strips", retagged(273, LONG, 2**32 - 1, 0), IncompleteFile),
        ("strip places of floats", retagged(273, 11, 1, 0), BadFile),
        ("no strip places", retagged(273, 0, 1, 0), BadFile),
        ("no strip sizes", retagged(279, LONG, 0, 0), BadFile),
        ("a strip beyond the end", retagged(273, LONG, 1, 1 << 31), IncompleteFile),
        ("a strip longer than the file", retagged(279, LONG, 1, 1 << 31), IncompleteFile),
        ("tiles", tiff((322, LONG, [16])), UnsupportedFile),
        ("colours", tiff((277, SHORT, [3])), UnsupportedFile),
        ("reversed bits", tiff((266, SHORT, [2])), UnsupportedFile),
        ("17 bits a pixel", tiff((258, SHORT, [17])), UnsupportedFile),
        ("no bits a pixel", tiff((258, SHORT, [0])), UnsupportedFile),
        ("JPEG inside", tiff((259, SHORT, [7])), UnsupportedFile),
        ("a compression of 2^16 - 1", tiff((259, SHORT, [65535])), UnsupportedFile),
        ("a predictor of 9", tiff((317, SHORT, [9])), UnsupportedFile),
        ("only a preview", tiff((254, LONG, [1])), BadFile),
        ("200 pages over one strip", chain(200), BadFile),
        ("a BigTIFF of 4-byte offsets", b"II+\0\x04\0\0\0" + bytes(100), BadFile),
        ("a BigTIFF cut in its header", b"II+\0\x08\0\0\0\x10\0", IncompleteFile),
        ("a BigTIFF page at 2^64 - 1", b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(100), IncompleteFile),
        ("a BigTIFF of 2^64 - 1 tags", b"II+\0\x08\0\0\0\x10" + bytes(7) + b"\xff" * 8 + bytes(99), BadFile),
        ("a BigTIFF strip at 2^64 - 1", FAR_STRIP, IncompleteFile),
        ("LZW of noise", tiff((259, SHORT, [5]), strips=(b"\x00\xff\x13" * 20,)), BadFile),
        ("LZW of nothing", tiff((259, SHORT, [5]), strips=(b"",)), BadFile),
        ("LZW that ends too soon", tiff((259, SHORT, [5]), strips=(bytes(imagecodecs.lzw_encode(bytes(40))),)), BadFile),
        ("an LZW bomb under a huge size", tiff((259, SHORT, [5]), *HUGE, strips=(LZW_BOMB,)), BadFile),
        ("deflate of noise", tiff((259, SHORT, [8]), strips=(b"\x78\x9c" + b"\xff" * 60,)), BadFile),
        ("deflate that ends too soon", tiff((259, SHORT, [8]), strips=(zlib.compress(bytes(40)),)), BadFile),
        ("deflate that goes on too long", tiff((259, SHORT, [8]), strips=(zlib.compress(bytes(4000)),)), BadFile),
        ("a deflate bomb under a huge size", tiff((259, SHORT, [8]), *HUGE, strips=(DEFLATE_BOMB,)), BadFile),
        ("PackBits that ends too soon", tiff((259, SHORT, [32773]), strips=(b"\x81\0",)), BadFile),
        ("uncompressed that ends too soon", tiff(strips=(bytes(63),)), BadFile),
    ]
}  # fmt: skip

EER_SIZE = [(256, LONG, [64]), (257, LONG, [64])]
EER: dict[str, Case] = {
    f"eer {words}": ("x.eer", content, error)
    for words, content, error in [
        ("empty", b"", IncompleteFile),
        ("of no events and no code", tiff(*EER_SIZE, (259, SHORT, [65001]), strips=(b"",)), BadFile),
        ("of runs without an end", tiff(*EER_SIZE, (259, SHORT, [65001]), strips=(b"\xff" * 8,)), BadFile),
        ("of runs beyond the end", tiff(*EER_SIZE, (259, SHORT, [65001]), strips=(b"\xff" * 900,)), BadFile),
        ("of the prototype, cut short", tiff(*EER_SIZE, (259, SHORT, [65000]), strips=(b"\x01\0\0" * 9,)), BadFile),
        ("of 15 run bits", tiff(*EER_SIZE, (259, SHORT, [65002]), (65007, SHORT, [15])), UnsupportedFile),
        ("of no run bits", tiff(*EER_SIZE, (259, SHORT, [65002]), (65007, SHORT, [0])), UnsupportedFile),
        ("of 9 place bits", tiff(*EER_SIZE, (259, SHORT, [65002]), (65007, SHORT, [7]), (65008, SHORT, [9])), UnsupportedFile),
        ("131072 pixels wide", tiff((256, LONG, [131072]), (257, LONG, [131072]), (259, SHORT, [65001])), BadFile),
        ("with metadata without an end", tiff(*EER_SIZE, (259, SHORT, [65001]), (65001, UNDEFINED, b"<a>" * 999)), BadFile),
    ]
}

STAR: dict[str, Case] = {
    f"star {words}": ("x.star", content, BadFile)
    for words, content in [
        ("empty", b""),
        ("of zeros", bytes(1000)),
        ("with a NUL", b"data_\n_a 1\n\0"),
        ("of a byte order mark only", b"\xef\xbb\xbf"),
        ("in UTF-16", "data_\n_a 1\n".encode("utf-16")),
        ("without a block", b"loop_\n_a\n1\n"),
        ("with an open loop", b"data_\nloop_\n"),
        ("with an open loop in its first block", b"data_a\nloop_\ndata_b\n_x 1\n"),
        ("with a row too short", b"data_\nloop_\n_a\n_b\n1 2\n3\n"),
        ("with a row too long", b"data_\nloop_\n_a\n1 2\n"),
        ("with a value over lines", b"data_\n_a\n;\ntext\n;\n"),
        ("with two tables in a block", b"data_\nloop_\n_a\n1\n\nloop_\n_b\n2\n"),
        ("with a column twice", b"data_\nloop_\n_a\n_a\n1 2\n"),
        ("with a block twice", b"data_x\n_a 1\ndata_x\n_a 1\n"),
        ("with 100,000 columns", b"data_\nloop_\n" + b"".join(b"_c%d\n" % i for i in range(100_000))),
        ("with one line of 1 MB", b"data_\nloop_\n_a\n" + b"x " * 500_000),
        ("with old Macintosh line ends", b"data_\rloop_\r_a\r1\r2 3 4\r"),
        ("of binary noise", bytes(range(1, 256)) * 4),
        ("that is an MRC file", mrc()),
    ]
}

CASES = MRC | TIFF | EER | STAR


def test_there_are_more_than_a_hundred_of_them() -> None:
    assert len(CASES) > 100


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Have the decoders compiled, as they are once a machine: the time limit is for files."""
    folder = tmp_path_factory.mktemp("sound")
    write_tiff_movie(folder / "a.tif", np.ones((1, 64, 64), np.uint8), 1.0)
    write_eer_movie(folder / "a.eer", [np.zeros((1, 2), np.int64)], 64, 64, pixel_size_angstrom=1.0, dose_e_per_angstrom2=1.0)
    for path in folder.iterdir():
        with open_movie(path) as movie:
            movie.frame(0)


@pytest.mark.parametrize("name", CASES)
def test_a_malformed_file_is_refused_at_once_and_in_words(tmp_path: Path, name: str) -> None:
    file_name, content, expected = CASES[name]
    path = tmp_path / file_name
    path.write_bytes(content)
    start = time.process_time()
    with pytest.raises(PasserelleError) as caught:
        if path.suffix == ".star":
            read_star(path)
        else:
            with open_movie(path) as movie:
                for _ in movie:
                    pass
    assert type(caught.value) is expected, caught.value
    assert caught.value.path == str(path) and file_name in str(caught.value)
    assert time.process_time() - start < 2
