"""Pictures as people have them: of any size, turned, of 16 bits."""

from __future__ import annotations

import io
import re
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from sketchcanvas_env.data.pictures.photos import (
    MAX_COEFFICIENTS,
    MAX_SIDE,
    SIDE,
    on_white,
    padded,
    read_picture,
    read_png,
)


def saved(picture: Image.Image, kind: str, **how: Any) -> bytes:
    body = io.BytesIO()
    picture.save(body, format=kind, **how)
    return body.getvalue()


def grey16(values: np.ndarray, transparent: int | None = None) -> bytes:
    """A grey PNG of 16 bits, written by hand: Pillow says what it reads, not what others wrote."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = values.shape
    rows = b"".join(b"\0" + row.tobytes() for row in values.astype(">u2"))
    extra = b"" if transparent is None else chunk(b"tRNS", struct.pack(">H", transparent))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def scene(width: int, height: int) -> Image.Image:
    """Four colours, one a quarter, so that what is turned, cut or stretched shows."""
    corners = np.array([[[200, 30, 30], [30, 200, 30]], [[30, 30, 200], [220, 220, 30]]], np.uint8)
    return Image.fromarray(corners).resize((width, height), Image.Resampling.NEAREST)


def test_grey_of_16_bits_keeps_its_shades() -> None:
    values = np.repeat(np.linspace(0, 65535, SIDE).astype(np.uint16)[None], SIDE, axis=0)
    assert np.array_equal(on_white(read_picture(grey16(values))), np.repeat((values >> 8)[..., None], 3, axis=2))


def test_the_transparent_grey_of_16_bits_is_paper() -> None:
    values = np.full((SIDE, SIDE), 0x4001, np.uint16)
    values[:99] = 0x4000  # another grey, though its upper bits are the same
    found = on_white(read_picture(grey16(values, transparent=0x4000)))
    assert (found[:99] == 255).all() and (found[99:] == 0x40).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(80, 40), (2200, 1100)])
def test_a_picture_is_turned_as_its_exif_says(kind: str, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x112] = 6  # to be turned clockwise
    turned = read_picture(saved(scene(*size), kind, exif=exif, quality=95))
    assert turned.height == 2 * turned.width
    expected = scene(*turned.size[::-1]).transpose(Image.Transpose.ROTATE_270)
    far = np.abs(np.asarray(turned.convert("RGB"), int) - np.asarray(expected, int))
    assert far.mean() < 5


@pytest.mark.parametrize(
    ("kind", "size", "how"),
    [
        ("JPEG", (4032, 3024), {}),
        ("JPEG", (8064, 6048), {"quality": 30}),
        ("JPEG", (6000, 4000), {"progressive": True}),
        ("JPEG", (4608, 3456), {"progressive": True, "subsampling": 0}),
        ("JPEG", (9000, 700), {}),
        ("JPEG", (1600, 8000), {}),
        ("MPO", (4032, 3024), {"save_all": True, "append_images": [Image.new("RGB", (320, 240))]}),
        ("PNG", (3840, 2160), {}),
        ("PNG", (4608, 3456), {}),
        ("WEBP", (2560, 1600), {}),
    ],
)
def test_a_picture_too_large_for_a_student_is_made_smaller(
    kind: str, size: tuple[int, int], how: dict[str, Any]
) -> None:
    found = read_picture(saved(scene(*size), kind, **how))
    assert 512 <= max(found.size) <= MAX_SIDE
    assert abs(found.width * size[1] / (found.height * size[0]) - 1) < 0.01
    small = on_white(padded(scene(size[0] // 4, size[1] // 4)))
    far = np.abs(on_white(padded(found)).astype(int) - small)
    assert far.mean() < 3


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "L"])
def test_every_kind_of_large_png_shows_fine_lines_as_grey(mode: str) -> None:
    """Black lines on nothing, as thin as its pixels: half black, half paper."""
    lines = np.zeros((1000, 2100), np.uint8)
    lines[:, ::2] = 100
    picture, how = Image.fromarray(lines), {"transparency": 100}
    if mode == "P":
        picture = Image.fromarray(lines, mode="P")
        picture.putpalette([0, 0, 0] * 256)
    if mode == "1":
        picture, how = Image.fromarray(lines > 0), {}
    if mode in ("LA", "RGBA"):
        picture = Image.merge("LA", (Image.new("L", picture.size), Image.fromarray((lines == 0) * np.uint8(255))))
        picture, how = picture.convert(mode), {}
    assert picture.mode == mode
    found = on_white(read_picture(saved(picture, "PNG", **how)))[9:-9, 9:-9]
    assert (np.abs(found.astype(int) - 127) < 20).all()


def test_what_is_small_enough_is_taken_as_it_is() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (9, MAX_SIDE, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(read_png(saved(Image.fromarray(noise), "PNG"))), noise)
    photo = saved(Image.fromarray(noise), "JPEG")
    assert np.array_equal(np.asarray(read_picture(photo)), np.asarray(Image.open(io.BytesIO(photo))))


@pytest.mark.parametrize(
    ("kind", "size", "how", "told"),
    [
        ("JPEG", (9000, 8000), {}, "67,108,864 pixels of a JPEG file"),
        ("PNG", (4608, 3700), {}, "16,777,216 pixels of a PNG file"),
        ("PNG", (70_000, 1), {}, "65,535 a side"),
        ("WEBP", (2200, 2000), {}, "4,194,304 pixels of a WebP file"),
    ],
)
def test_more_pixels_than_are_decoded(kind: str, size: tuple[int, int], how: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=rf"^a picture of {size[0]} x {size[1]} pixels; at most .*{told}"):
        read_picture(saved(Image.new("L", size), kind, **how))


@pytest.mark.parametrize("turned", [1, 6])
@pytest.mark.parametrize("size", [(2500, 1301), (1601, 4099), (3001, 40)])
@pytest.mark.parametrize("mode", ["P", "LA", "RGBA"])
def test_a_large_picture_that_may_be_transparent_is_made_smaller_as_pillow_does(
    mode: str, size: tuple[int, int], turned: int
) -> None:
    """Strip by strip, yet to the same pixels."""
    noise = np.random.default_rng(0).integers(0, 255, (*size[::-1], 4), dtype=np.uint8)
    picture = Image.fromarray(noise).convert(mode)
    exif = Image.Exif()
    exif[0x112] = turned
    expected = picture.convert("RGBA")
    expected.thumbnail((512, 512))
    if turned == 6:
        expected = expected.transpose(Image.Transpose.ROTATE_270)
    found = read_picture(saved(picture, "PNG", exif=exif, compress_level=1))
    assert found.mode == "RGBA" and np.array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", " (it is empty)"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", " (it is HEIC, as phones write it)"),
        (b"\0\0\n\x18ftypavif\0\0\0\0", " (it is AVIF)"),
        (b"<html>", ""),
    ],
)
def test_a_file_that_is_something_else_is_called_so(data: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'neither a PNG nor a JPEG nor a WebP file{told}')}$"):
        read_picture(data)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "AVIF"])
def test_what_pillow_writes_is_called_so(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    with pytest.raises(ValueError, match=f"WebP file [(]it is (a )?{kind}[)]"):
        read_picture(saved(scene(64, 64), kind))


@pytest.mark.parametrize("apart", [False, True])
def test_a_jpeg_of_several_scans_is_limited_by_its_coefficients(apart: bool) -> None:
    """The decoder keeps all of a sequential file, too, whose components come one after the other."""
    size = (6000, 4000)
    data = bytearray(saved(Image.new("RGB", size), "JPEG", progressive=not apart, subsampling=0))
    if apart:
        at = data.index(b"\xff\xda")
        assert data.count(b"\xff\xda") == 1 and data[at + 4] == 3
        data[at + 4] = 1
    reason = rf"6000 x 4000 pixels in a progressive JPEG file, 72,000,000 coefficients; at most {MAX_COEFFICIENTS:,}"
    with pytest.raises(ValueError, match=reason):
        read_picture(bytes(data))
