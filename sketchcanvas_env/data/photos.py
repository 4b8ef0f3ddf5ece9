"""Photos as every data set gives them: RGB on white paper, 256 x 256."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SIDE = 256
MAX_SIDE = 2048
"""Largest side of a picture that is decoded."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


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

    Raises:
        ValueError: not a PNG file, a damaged one, or a side over `MAX_SIDE`; nothing is decoded of the last.
    """
    from PIL import Image

    if len(data) < 24 or not data.startswith(_SIGNATURE):
        raise ValueError("not a PNG file")
    _check_size(struct.unpack(">II", data[16:24]))
    try:
        # Decoding alone does not look at the checksums, and checking them uses the object up.
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.verify()
        image = Image.open(io.BytesIO(data), formats=["PNG"])
        _check_size(image.size)  # a second header may say something else
        image.load()
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them stumble over
        raise ValueError(f"a damaged PNG file: {error}") from None
    return image


def _check_size(size: tuple[int, ...]) -> None:
    if max(size) > MAX_SIDE:
        raise ValueError(f"a picture of {size[0]} x {size[1]} pixels; at most {MAX_SIDE} x {MAX_SIDE} are decoded")
