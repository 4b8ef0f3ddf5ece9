"""Photos as every data set gives them: RGB on white paper, 256 x 256."""

from __future__ import annotations

import io
import re
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data.pictures.jpeg import essential

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SIDE = 256
MAX_SIDE = 2048
"""Largest side of a picture that is taken as it is, pixels; a larger one is made smaller as it is read."""
_ENOUGH = 2 * SIDE
"""Pixels that are kept of a larger one's sides, at least of the longer."""

MAX_PIXELS = {"WebP": 1 << 22, "PNG": 1 << 24, "JPEG": 1 << 26}
"""Most pixels of a picture that is decoded. Decoders take some 25 bytes for each of WebP and 4 of PNG, and of a JPEG in
one scan libjpeg decodes a part of the size only: with these limits, and the file, less than 150 MB."""
MAX_COEFFICIENTS = 46 << 20
"""Most coefficients of a JPEG picture in several scans, all of which are kept, two bytes each. There is one for each
pixel and colour; half as many in all where colours are stored at half the width and height (4:2:0)."""

_MAX_LENGTH = 65_535
"""Largest side of a picture that is decoded, as of a JPEG file."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"}
_OTHERS = (
    (rb"\Z", "it is empty"),
    (rb"(?s:....)ftyp(avif|avis)", "it is AVIF"),
    (rb"(?s:....)ftyp(heic|heix|hevc|mif1|msf1)", "it is HEIC, as phones write it"),
    (rb"GIF8", "it is a GIF"),
    (rb"II\*\0|MM\0\*", "it is a TIFF"),
)
"""How other kinds of files begin that people take for a photo, and what they are told."""
_MAX_CHUNKS = 10_000
"""Most chunks that a PNG file may have; encoders write a picture's 8 MB in a thousand or less."""
_STRIP = 1 << 18
"""Pixels that are made smaller at a time."""


def on_white(image: Picture) -> NDArray[np.uint8]:
    """A picture laid on white paper, (256, 256, 3) uint8.

    Another size is resampled (bicubic, antialiased) and stretched where it is not square.
    """
    rgb = _without_alpha(image)
    return np.asarray(rgb if rgb.size == (SIDE, SIDE) else rgb.resize((SIDE, SIDE)))


def read_png(data: bytes) -> Picture:
    """A PNG file's picture, every checksum compared; otherwise as `read_picture`.

    What does not make up the picture (texts, colour profiles, further frames) is left out unread: it may inflate to
    anything.

    Raises:
        ValueError: not a PNG file, a damaged one, or more than `MAX_PIXELS`; nothing is decoded of the last.
    """
    if len(data) < 24 or not data.startswith(_SIGNATURE):
        raise ValueError("not a PNG file")
    _check_size(struct.unpack(">II", data[16:24]), "PNG")
    try:
        essential = _essential(data)
    except ValueError as error:
        raise ValueError(f"a damaged PNG file: {error}") from None
    return _decoded(essential, "PNG")


def read_picture(data: bytes) -> Picture:
    """The picture of a PNG, JPEG or WebP file, told by its content, decoded and turned as its EXIF says.

    Channels have 8 bits: of 16, the upper ones stay. A picture with a side over `MAX_SIDE` is made smaller: of the
    longer one 512 pixels are left, twice what students see, or up to 2,048 where libjpeg makes it smaller.

    Raises:
        ValueError: another kind of file, a damaged one, or more than `MAX_PIXELS` or `MAX_COEFFICIENTS`; nothing
            is decoded of the last.
    """
    if data.startswith(_SIGNATURE):
        return read_png(data)
    if data.startswith(b"\xff\xd8"):
        return _read_jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        _check_size(_webp_size(data), "WebP")  # Pillow's decoder makes room for the picture as soon as it is opened
        return _decoded(data, "WebP")
    known = next((name for start, name in _OTHERS if re.match(start, data)), "")
    raise ValueError(f"neither a PNG nor a JPEG nor a WebP file{known and f' ({known})'}")


def _read_jpeg(data: bytes) -> Picture:
    try:
        jpeg = essential(data)
    except ValueError as error:
        raise ValueError(f"an unreadable JPEG file: {error}") from None
    _check_size(jpeg.size, "JPEG")
    if jpeg.coefficients > MAX_COEFFICIENTS:
        raise ValueError(
            f"a picture of {jpeg.size[0]} x {jpeg.size[1]} pixels in a progressive JPEG file, {jpeg.coefficients:,} "
            f"coefficients; at most {MAX_COEFFICIENTS:,} are decoded, {MAX_PIXELS['JPEG']:,} pixels of a baseline file"
        )
    return _decoded(jpeg.data, "JPEG")


def _decoded(data: bytes, kind: str) -> Picture:
    """What `read_picture` promises; `kind` is a key of `MAX_PIXELS`."""
    import warnings

    from PIL import Image, ImageOps

    # All in one function: a picture that is held by a caller while its copy is made would count twice.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image: Picture = Image.open(io.BytesIO(data), formats=[kind.upper()])
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them stumble over
        raise ValueError(f"a damaged {kind} file: {error}") from None
    _check_size(image.size, kind)  # a second header may say something else
    try:
        if kind == "JPEG" and max(image.size) > MAX_SIDE:
            image.draft("RGB", _drafted(image.size))
        image.load()
        if max(image.size) > MAX_SIDE:
            if image.mode in ("L", "RGB", "CMYK") and "transparency" not in image.info:
                image.thumbnail((_ENOUGH, _ENOUGH))
            else:
                image = _smaller(image)
        elif image.mode.startswith("I"):
            image = _eight_bits(image)
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:
        raise ValueError(f"a damaged {kind} file: {error}") from None
    return image


def _drafted(size: tuple[int, int]) -> tuple[int, int]:
    """Sides that libjpeg keeps at least of a large picture; of a long one only the longer, or it would decode all."""
    if size[0] * size[1] <= MAX_SIDE**2 or max(size) <= 4 * min(size):
        return _ENOUGH, _ENOUGH
    return (_ENOUGH, 1) if size[0] > size[1] else (1, _ENOUGH)


def _smaller(image: Picture) -> Picture:
    """What `thumbnail` makes of a picture as RGBA, a strip at a time: a copy of the whole would take as much again."""
    from PIL import Image

    width, height = image.size
    small = [max(1, round(side * _ENOUGH / max(image.size))) for side in image.size]
    across, down = (max(1, old // (2 * new)) for old, new in zip(image.size, small, strict=True))
    rows = down * max(1, _STRIP // (width * down))
    reduced = Image.new("RGBa", (-(-width // across), -(-height // down)))
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(height, top + rows)))
        if strip.mode.startswith("I"):
            strip = _eight_bits(strip)
        reduced.paste(strip.convert("RGBA").convert("RGBa").reduce((across, down)), (0, top // down))
    smaller = reduced.resize((small[0], small[1]), box=(0, 0, width / across, height / down)).convert("RGBA")
    smaller.info = _opaque_info(image)
    return smaller


def _eight_bits(image: Picture) -> Picture:
    """A grey picture of 16 bits by the upper eight of them, its transparent value seen to.

    Pillow cuts these off at 255 where others lose their lower bits.
    """
    from PIL import Image

    values = np.asarray(image)
    upper = np.empty(values.shape, np.uint8)
    np.right_shift(values, 8, out=upper, casting="unsafe")  # without a copy between
    grey = Image.fromarray(upper)
    if "transparency" in image.info:
        grey.putalpha(Image.fromarray((values != image.info["transparency"]) * np.uint8(255)))
    grey.info = _opaque_info(image)
    return grey


def _opaque_info(image: Picture) -> dict[Any, Any]:
    """What a picture says of itself, how it is turned say, but for its transparent value."""
    return {key: value for key, value in image.info.items() if key != "transparency"}


def padded(image: Picture) -> Picture:
    """The picture in the middle of a white square: nothing is stretched when `on_white` resizes it."""
    from PIL import Image

    rgb, side = _without_alpha(image), max(image.size)
    if rgb.size == (side, side):
        return rgb
    page = Image.new("RGB", (side, side), "white")
    page.paste(rgb, ((side - rgb.width) // 2, (side - rgb.height) // 2))
    return page


def _without_alpha(image: Picture) -> Picture:
    """A picture laid on white paper of its size."""
    from PIL import Image

    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    page = Image.new("RGBA", rgba.size, "white")
    page.alpha_composite(rgba)
    return page.convert("RGB")


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
    kept: list[bytes | memoryview] = [_SIGNATURE]
    place, view = len(_SIGNATURE), memoryview(data)  # slices of the bytes would be copies
    for _ in range(_MAX_CHUNKS):
        length = int.from_bytes(data[place : place + 4], "big")
        end = place + 12 + length
        if end > len(data):
            raise ValueError("it is cut short")
        name = data[place + 4 : place + 8]
        if zlib.crc32(view[place + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise ValueError(f"a wrong checksum in {name!r}")
        if name in _CHUNKS:
            kept.append(view[place:end])
        if name == b"IEND":
            return b"".join(kept)
        place = end
    raise ValueError(f"it has more than {_MAX_CHUNKS:,} chunks")


def _check_size(size: tuple[int, ...], kind: str) -> None:
    if max(size) > _MAX_LENGTH or size[0] * size[1] > MAX_PIXELS[kind]:
        raise ValueError(
            f"a picture of {size[0]} x {size[1]} pixels; at most {MAX_PIXELS[kind]:,} pixels of a {kind} file are "
            f"decoded, {_MAX_LENGTH:,} a side"
        )
