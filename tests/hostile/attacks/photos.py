"""PNG and JPEG files, links and pipes that mean harm."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from sketchcanvas_env.data.file_dataset import MAX_PHOTO_BYTES
from sketchcanvas_env.data.pictures.jpeg import MAX_SCANS
from sketchcanvas_env.data.pictures.photos import MAX_COEFFICIENTS, MAX_PIXELS
from tests.hostile.attacks.attack import Attack, Content, files
from tests.hostile.readers import READERS, svg

_DOT = '<circle r="3"/>'


def chunk(name: bytes, content: bytes) -> bytes:
    """A PNG chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(
    size: tuple[int, int], rows: bytes, extra: bytes = b"", colour: int = 0, depth: int = 8, interlace: int = 0
) -> bytes:
    """A PNG file that claims a size, whatever its rows hold; `extra` chunks stand before them."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlace)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


_ROWS = bytes(9 * 8)  # of 8 x 8 grey pixels
_LARGEST = (4096, MAX_PIXELS["PNG"] // 4096)
_TURNED = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)
_INFLATES = zlib.compress(bytes(64 << 20), 9)


def _as(kind: str) -> bytes:
    body = io.BytesIO()
    Image.new("RGB", (8, 8)).save(body, format=kind)
    return body.getvalue()


PNG: dict[str, tuple[Content, str | None]] = {
    "empty": (b"", "not a PNG"),
    "signature alone": (b"\x89PNG\r\n\x1a\n", "not a PNG"),
    "30,000 x 30,000": (lambda: png((30_000, 30_000), bytes(1 << 20)), "30000 x 30000 pixels; at most"),
    "2^31 pixels wide": (lambda: png((2**31 - 1, 1), _ROWS), "2147483647 x 1 pixels; at most"),
    "2^32 pixels wide": (lambda: png((2**32 - 1, 2**32 - 1), _ROWS), "pixels; at most"),
    "no pixels": (lambda: png((0, 8), _ROWS), "damaged PNG"),
    "a bomb in iCCP": (lambda: png((8, 8), _ROWS, chunk(b"iCCP", b"a\0\0" + _INFLATES)), None),
    "a bomb in zTXt": (lambda: png((8, 8), _ROWS, chunk(b"zTXt", b"a\0\0" + _INFLATES)), None),
    "many bombs in zTXt": (
        lambda: png((8, 8), _ROWS, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000), 9)) * 100),
        None,
    ),
    "a bomb in iTXt": (lambda: png((8, 8), _ROWS, chunk(b"iTXt", b"a\0\1\0\0\0" + _INFLATES)), None),
    "a bomb in IDAT": (lambda: png((8, 8), bytes(256 << 20)), None),
    "500,000 empty chunks": (lambda: png((8, 8), _ROWS, chunk(b"tEXt", b"") * 500_000), "chunks"),
    "500,000 pieces of IDAT": (lambda: png((8, 8), b"", chunk(b"IDAT", b"") * 500_000), "chunks"),
    "100,000 frames": (
        lambda: png((8, 8), _ROWS, chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
        None,
    ),
    "a chunk longer than the file": (
        lambda: png((8, 8), _ROWS).replace(b"\0\0\0\0IEND", b"\xff\xff\xff\xffIEND"),
        "damaged PNG",
    ),
    "no header": (lambda: b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", bytes(99)) + bytes(30), "damaged PNG"),
    "two headers": (lambda: png((8, 8), _ROWS)[:33] + png((30_000, 30_000), _ROWS)[8:], "damaged PNG|30000 x 30000"),
    "cut short": (lambda: png((8, 8), _ROWS)[:-20], "damaged PNG"),
    "no rows": (lambda: png((8, 8), b""), "damaged PNG"),
    "a wrong checksum": (lambda: png((8, 8), _ROWS)[:-1] + b"\0", "damaged PNG"),
    "a colour type that is none": (lambda: png((8, 8), _ROWS, colour=7), "damaged PNG"),
    "JPEG": (lambda: _as("JPEG"), "not a PNG"),
    "WebP": (lambda: _as("WEBP"), "not a PNG"),
    "the largest, 16 bits a channel": (
        lambda: png(_LARGEST, bytes(_LARGEST[1] * (1 + 8 * _LARGEST[0])), colour=6, depth=16),
        None,
    ),
    "the largest of 16 bits of grey, one of them transparent": (
        lambda: png(_LARGEST, bytes(_LARGEST[1] * (1 + 2 * _LARGEST[0])), chunk(b"tRNS", bytes(2)), depth=16),
        None,
    ),
    "the largest, one colour transparent, turned, and as long a file as is read": (
        lambda: png(
            _LARGEST,
            bytes(_LARGEST[1] * (1 + 3 * _LARGEST[0])),
            chunk(b"tRNS", bytes(6)) + chunk(b"eXIf", _TURNED) + chunk(b"tEXt", bytes(MAX_PHOTO_BYTES - (1 << 20))),
            colour=2,
        ),
        None,
    ),
    "the largest, interlaced": (
        lambda: png(_LARGEST, bytes(_LARGEST[1] * 8 * _LARGEST[0] + 2 * _LARGEST[1]), colour=6, depth=16, interlace=1),
        None,
    ),
    "the thinnest": (
        lambda: png((65_535, MAX_PIXELS["PNG"] // 65_535), bytes(MAX_PIXELS["PNG"] * 4 + 65_535), colour=6),
        None,
    ),
    "EXIF of 2^32 entries": (
        lambda: png((8, 8), _ROWS, chunk(b"eXIf", b"MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 2**20)),
        None,
    ),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (w) file\n", "not a PNG"),
    "SVG": (svg(_DOT), "not a PNG"),
}


def _jpeg(size: tuple[int, int], mode: str = "RGB", **how: Any) -> bytes:
    body = io.BytesIO()
    Image.new(mode, size).save(body, format="JPEG", **how)
    return body.getvalue()


def _claiming(data: bytes, size: tuple[int, int]) -> bytes:
    """A JPEG file that claims a size, whatever its scans hold."""
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2")) + 5
    return data[:at] + struct.pack(">HH", size[1], size[0]) + data[at + 4 :]


def _of_scans(count: int, size: tuple[int, int] = (4096, MAX_COEFFICIENTS // 3 // 4096)) -> bytes:
    """A progressive JPEG file as long and as large as is read, of `count` scans: its last comes again and again."""
    data = _claiming(_jpeg((64, 64), progressive=True, subsampling=0), size)
    last = data.rindex(b"\xff\xda")
    more = data[last:-2] * (count - data.count(b"\xff\xda"))
    return data[:-2] + more + bytes(MAX_PHOTO_BYTES - len(data) - len(more)) + data[-2:]


def _filled_jpeg(segment: bytes, claims: tuple[int, int] = (8, 8)) -> bytes:
    """A JPEG file as long as is read, full of one segment in front of its picture."""
    data = _claiming(_jpeg((8, 8)), claims)
    return data[:2] + segment * ((MAX_PHOTO_BYTES - len(data)) // len(segment)) + data[2:]


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


def _two_frames() -> bytes:
    data = _jpeg((8, 8))
    at = data.index(b"\xff\xc0")
    return data[:at] + data[at : at + 19] + data[at:]


def _of_coding(marker: int) -> bytes:
    return _jpeg((8, 8)).replace(b"\xff\xc0", bytes([0xFF, marker]), 1)


JPEG: dict[str, tuple[Content, str | None]] = {
    "empty": (b"\xff\xd8", "unreadable JPEG"),
    "65,500 x 65,500": (lambda: _claiming(_jpeg((8, 8)), (65_500, 65_500)), "65500 x 65500 pixels"),
    "the largest in one scan": (lambda: _claiming(_jpeg((8, 8)), (8192, 8192)), None),
    "the longest in one scan": (lambda: _claiming(_jpeg((8, 8)), (65_500, 1_000)), None),
    "the longest of four colours": (lambda: _claiming(_jpeg((8, 8), mode="CMYK"), (500, 65_500)), None),
    "progressive, 8,192 x 8,192": (
        lambda: _claiming(_jpeg((8, 8), progressive=True), (8192, 8192)),
        "8192 x 8192 pixels in a progressive JPEG file, 100,663,296 coefficients; at most 48,234,496",
    ),
    "the largest that is progressive": (lambda: _of_scans(10), None),
    "the longest that is progressive": (lambda: _of_scans(10, (65_500, MAX_COEFFICIENTS // 3 // 65_500)), None),
    "as many scans as are read": (lambda: _of_scans(MAX_SCANS), None),
    "one scan more": (lambda: _of_scans(MAX_SCANS + 1), "more than 50 scans"),
    "100,000 scans": (lambda: _of_scans(100_000), "more than 50 scans"),
    "arithmetic coding": (lambda: _of_coding(0xC9), "its coding .0xC9. is neither"),
    "lossless coding": (lambda: _of_coding(0xC3), "its coding .0xC3. is neither"),
    "two frames": (_two_frames, "2 frames"),
    "no segments": (lambda: b"\xff\xd8" + b"\xff" * MAX_PHOTO_BYTES, "unreadable JPEG"),
    "nothing between its segments": (lambda: b"\xff\xd8\xff" + bytes(MAX_PHOTO_BYTES), "unreadable JPEG"),
    "filling": (lambda: _jpeg((8, 8))[:-2] + b"\xff" * MAX_PHOTO_BYTES, "bytes of filling"),
    "empty comments": (lambda: _filled_jpeg(_segment(0xFE, b"")), "more than 10,000 segments"),
    "many resources of Photoshop": (
        lambda: _filled_jpeg(_segment(0xED, b"Photoshop 3.0\0" + (b"8BIM" + bytes(8)) * 5_000)),
        None,
    ),
    "many EXIF": (lambda: _filled_jpeg(_segment(0xE1, b"Exif\0\0" + _TURNED + bytes(60_000))), None),
    "many tables": (lambda: _filled_jpeg(_segment(0xDB, bytes([0, *[1] * 64]) * 1_000)), "bytes of tables"),
    "EXIF without an end": (
        lambda: _jpeg((8, 8), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03" * 9_000),
        None,
    ),
    "an SVG": (svg(_DOT), "neither a PNG nor a JPEG"),
}


def _link(target: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        outside = folder.parent / "outside.png"
        outside.write_bytes(READERS["png"].good()[0])
        path = folder / "hostile.png"
        path.symlink_to(target.format(outside=outside))
        return path

    return make


def _pipe(folder: Path) -> Path:
    path = folder / "hostile.png"
    os.mkfifo(path)
    return path


ATTACKS: dict[str, Attack] = {
    **files("png", PNG),
    **files("jpeg", JPEG),
    "png: a link out": Attack("png", _link("{outside}"), "a link that leads out of"),
    "png: a relative link out": Attack("png", _link("../outside.png"), "a link that leads out of"),
    "png: a link to itself": Attack("png", _link("hostile.png"), "not a plain file"),
    "png: a link to a device": Attack("png", _link("/dev/zero"), "a link that leads out of"),
    "png: a pipe": Attack("png", _pipe, "not a plain file"),
}
