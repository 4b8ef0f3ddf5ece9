"""Photos as every data set gives them: RGB on white paper, 256 x 256."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SIDE = 256
MAX_SIDE = 2048
"""Largest side of a picture that is decoded."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_MAX_CHUNKS = 10_000
"""Most chunks that a PNG file may have; encoders write a picture's 8 MB in a thousand or less."""


def on_white(image: Picture) -> NDArray[np.uint8]:
    """A picture laid on white paper, (256, 256, 3) uint8.

    Another size is resampled (bicubic, antialiased) and stretched where it is not square.
    """
    from PIL import Image

    rgba = image.convert("RGBA")
    page = Image.new("RGBA", rgba.size, "white")
    page.alpha_composite(rgba)
    rgb = page.convert("RGB")
    return np.asarray(rgb if rgb.size == (SIDE, SIDE) else rgb.resize((SIDE, SIDE)))


def read_png(data: bytes) -> Picture:
    """A PNG file's picture, decoded, every checksum compared.

    What does not make up the picture (texts, colour profiles, further frames) is left out unread: it may inflate to
    anything.

    Raises:
        ValueError: not a PNG file, a damaged one, or a side over `MAX_SIDE`; nothing is decoded of the last.
    """
    from PIL import Image

    if len(data) < 24 or not data.startswith(_SIGNATURE):
        raise ValueError("not a PNG file")
    _check_size(struct.unpack(">II", data[16:24]))
    try:
        image = Image.open(io.BytesIO(_essential(data)), formats=["PNG"])
        _check_size(image.size)  # a second header may say something else
        image.load()
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them stumble over
        raise ValueError(f"a damaged PNG file: {error}") from None
    return image


def read_picture(data: bytes) -> Picture:
    """The picture of a PNG, JPEG or WebP file, told by its content, decoded and turned as its EXIF says.

    Raises:
        ValueError: another kind of file, a damaged one, or a side over `MAX_SIDE`; nothing is decoded of the last.
    """
    import warnings

    from PIL import Image, ImageOps

    if data.startswith(_SIGNATURE):
        return read_png(data)
    if data.startswith(b"\xff\xd8"):
        kind = "JPEG"
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "WebP"
        _check_size(_webp_size(data))  # Pillow's decoder makes room for the picture as soon as it is opened
    else:
        raise ValueError("neither a PNG nor a JPEG nor a WebP file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image: Picture = Image.open(io.BytesIO(data), formats=[kind.upper()])
    except Exception as error:  # as in `read_png`
        raise ValueError(f"a damaged {kind} file: {error}") from None
    _check_size(image.size)
    try:
        image.load()
        return ImageOps.exif_transpose(image)
    except Exception as error:
        raise ValueError(f"a damaged {kind} file: {error}") from None


def padded(image: Picture) -> Picture:
    """The picture in the middle of a white square: nothing is stretched when `on_white` resizes it."""
    from PIL import Image

    rgba = image.convert("RGBA")
    side = max(rgba.size)
    page = Image.new("RGBA", (side, side), "white")
    page.alpha_composite(rgba, ((side - rgba.width) // 2, (side - rgba.height) // 2))
    return page


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height that a WebP file's first chunk claims (RFC 9649, sections 2.5 to 2.7)."""
    kind, body = data[12:16], data[20:30]
    if len(body) == 10 and kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if len(body) == 10 and kind == b"VP8 ":
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    if len(body) >= 5 and kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise ValueError("a damaged WebP file: it does not say how large it is")


def _essential(data: bytes) -> bytes:
    """A PNG file of just the chunks that make up the picture, all checksums compared; ValueError for a damaged one."""
    kept, place = [_SIGNATURE], len(_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        length = int.from_bytes(data[place : place + 4], "big")
        end = place + 12 + length
        if end > len(data):
            raise ValueError("it is cut short")
        name = data[place + 4 : place + 8]
        if zlib.crc32(data[place + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise ValueError(f"a wrong checksum in {name!r}")
        if name in _CHUNKS:
            kept.append(data[place:end])
        if name == b"IEND":
            return b"".join(kept)
        place = end
    raise ValueError(f"it has more than {_MAX_CHUNKS:,} chunks")


def _check_size(size: tuple[int, ...]) -> None:
    if max(size) > MAX_SIDE:
        raise ValueError(f"a picture of {size[0]} x {size[1]} pixels; at most {MAX_SIDE} x {MAX_SIDE} are decoded")
