"""What makes up the picture of a JPEG file, and what does not."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sketchcanvas_env.data.pictures.jpeg import MAX_SEGMENTS, essential
from sketchcanvas_env.data.pictures.photos import read_picture


def saved(picture: Image.Image, **how: Any) -> bytes:
    body = io.BytesIO()
    picture.save(body, format="JPEG", **how)
    return body.getvalue()


def noise(width: int = 60, height: int = 40, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}], ids=str)
def test_the_picture_stays_as_it_is(mode: str, how: dict[str, Any]) -> None:
    data = saved(noise(mode=mode), icc_profile=bytes(100_000), comment=b"x" * 999, **how)
    found = essential(data)
    assert found.size == (60, 40) and len(found.data) < len(data) - 100_000
    assert np.array_equal(pixels(found.data), pixels(data))
    assert essential(found.data) == found


def test_a_film_behind_the_picture_is_left_out() -> None:
    """Phones append seconds of film, which may hold any bytes, and large previews."""
    data = saved(noise(), progressive=True)
    film = b"\xff\xda\xff\xc0\xff\xd8\0" * 1_000 + b"\xff" * 9_000
    assert essential(data + film).data == essential(data).data
    preview = data[:2] + segment(0xE5, data * 9) + data[2:]
    assert essential(preview).data == essential(data).data


def test_bytes_between_segments_are_passed_over() -> None:
    data = saved(noise())
    assert essential(data[:2] + bytes(99) + b"\xff" * 9 + data[2:]).data == essential(data).data


@pytest.mark.parametrize(
    ("how", "coefficients"),
    [
        ({}, 0),
        ({"progressive": True, "subsampling": "4:4:4"}, 60 * 40 * 3),
        ({"progressive": True, "subsampling": "4:2:2"}, 60 * 40 * 2),
        ({"progressive": True, "subsampling": "4:2:0"}, 60 * 40 * 3 // 2),
    ],
)
def test_a_decoder_keeps_the_coefficients_of_a_picture_in_several_scans(how: dict[str, Any], coefficients: int) -> None:
    assert essential(saved(noise(), **how)).coefficients == coefficients


def test_how_a_picture_is_turned_is_kept() -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    assert read_picture(saved(noise(), exif=exif)).size == (40, 60)
    xmp = segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>')
    data = saved(noise())
    assert read_picture(data[:2] + xmp + data[2:]).size == (40, 60)


def test_of_several_exif_the_first_counts() -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    data = saved(noise(), exif=exif)
    more = segment(0xE1, b"Exif\0\0" + bytes(60_000)) * 100
    at = data.index(b"\xff\xdb")
    assert essential(data[:at] + more + data[at:]).data == essential(data).data


@pytest.mark.parametrize("cut", range(2, 700, 13))
def test_a_file_cut_short_is_refused(cut: int) -> None:
    data = saved(noise())
    assert len(data) > 1_500
    with pytest.raises(ValueError, match=r"^an unreadable JPEG file: it is cut short$|^a damaged JPEG file"):
        read_picture(data[:cut])


@pytest.mark.parametrize(
    ("marker", "told"), [(0xC9, "its coding"), (0xC3, "its coding"), (0xCC, "0 frames"), (0xFE, "0 frames")]
)
def test_codings_that_nobody_uses_are_refused(marker: int, told: str) -> None:
    data = saved(noise()).replace(b"\xff\xc0", bytes([0xFF, marker]), 1)
    with pytest.raises(ValueError, match=told):
        essential(data)


@pytest.mark.parametrize("damage", [b"\0", b"\x33\0\0\0\0\0\0"])
def test_a_damaged_frame_is_refused(damage: bytes) -> None:
    data = bytearray(saved(noise(mode="L")))
    at = data.index(b"\xff\xc0")
    data[at + 11 : at + 12] = damage[:1]
    data[at + 9] = 1 if damage == b"\0" else 0
    with pytest.raises(ValueError, match="its frame is damaged"):
        essential(bytes(data))


def test_segments_are_counted_in_front_of_the_picture_and_in_it() -> None:
    data = saved(noise())
    empty = segment(0xFE, b"") * MAX_SEGMENTS
    for full in (data[:2] + empty + data[2:], data[:-2] + empty + data[-2:]):
        with pytest.raises(ValueError, match=f"more than {MAX_SEGMENTS:,} segments"):
            essential(full)
