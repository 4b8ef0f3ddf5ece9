"""What a JPEG file is made of (ITU-T T.81, annex B), read before any decoder sees it.

Decoders go through whatever a file holds: texts, profiles, a film behind the picture, a million empty segments. Some
take minutes for that. Here is found what makes up the picture and what its decoder will have to keep in memory.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

MAX_SEGMENTS = 10_000
"""Most segments that a file may have; large profiles and previews come in some hundreds."""
MAX_SCANS = 50
"""Most scans that a picture may have; each goes over the whole of it. Encoders write ten, or some more."""
MAX_HEADER = 1 << 18
"""Most bytes of tables and of what cameras say (EXIF) in front of a picture: at most 64 KiB each, tables far less; and
of anything else between two segments."""
MAX_FILLING = 1 << 10
"""Most bytes of 0xFF in a row in a scan: what reads a file in pieces goes back over them for each."""

_END, _SCAN, _EXIF = 0xD9, 0xDA, 0xE1
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NEEDED = frozenset((0xC4, 0xDB, 0xDD, 0xE0, 0xEE)) | _FRAMES
"""Tables, frames, and what JFIF and Adobe say about colours."""
_TURN = (b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0")
"""Beginnings of the segments that may say how a picture is turned."""

# Zeros behind 0xFF are stuffed, 0xD0 to 0xD7 stand inside of scans, 0xFF itself fills.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True)
class Jpeg:
    """A JPEG file's picture.

    Attributes:
        data: a file with the picture, how it is turned, and nothing else.
        size: width and height, pixels.
        coefficients: how many a decoder keeps until the last scan is read, two bytes each; 0 for a picture in one scan,
            which is decoded row by row.
    """

    data: bytes
    size: tuple[int, int]
    coefficients: int


def essential(data: bytes) -> Jpeg:
    """What makes up the picture of a JPEG file, the first where there are several; nothing is decoded.

    Raises:
        ValueError: a part is missing or comes twice; more segments, scans or bytes of header than are read; or a coding
            that neither cameras nor browsers use (arithmetic, lossless, hierarchical).
    """
    header, place = _header(data)
    frames = [part for part in header if part[1] in _FRAMES]
    if len(frames) != 1:
        raise ValueError(f"it has {len(frames)} frames in front of its first scan")
    size, components, coefficients = _frame(frames[0])
    if frames[0][1] in _SEQUENTIAL and data[place + 4 : place + 5] == bytes([components]):
        coefficients = 0
    end = _end(data, place)
    if data.find(b"\xff" * (MAX_FILLING + 1), place, end) >= 0:
        raise ValueError(f"more than {MAX_FILLING:,} bytes of filling")
    return Jpeg(b"".join([b"\xff\xd8", *header, memoryview(data)[place:end]]), size, coefficients)


def _header(data: bytes) -> tuple[list[bytes], int]:
    """The segments that are needed in front of the first scan, and where that begins."""
    kept: list[bytes] = []
    turns = list(_TURN)
    place, total = 2, 0
    for _ in range(MAX_SEGMENTS):
        at, marker, place = _segment(data, place, place + MAX_HEADER)
        if place > len(data) or marker == _END:
            raise ValueError("it is cut short")
        if marker == _SCAN:
            return kept, at
        turn = next((turn for turn in turns if marker == _EXIF and data.startswith(turn, at + 4)), None)
        if turn is not None:
            turns.remove(turn)  # further ones would be added up
        if turn is not None or marker in _NEEDED:
            kept.append(data[at:place])
            total += place - at
            if total > MAX_HEADER:
                raise ValueError(f"it has more than {MAX_HEADER:,} bytes of tables in front of its picture")
    raise ValueError(f"it has more than {MAX_SEGMENTS:,} segments")


def _end(data: bytes, place: int) -> int:
    """Where a picture ends whose first scan begins at `place`; where its end is missing, its decoder may say so."""
    scans = 0
    for _ in range(MAX_SEGMENTS):
        at, marker, place = _segment(data, place, len(data))
        if marker == _END:
            return at + 2
        scans += marker == _SCAN
        if scans > MAX_SCANS:
            raise ValueError(f"it has more than {MAX_SCANS} scans")
    raise ValueError(f"it has more than {MAX_SEGMENTS:,} segments")


def _segment(data: bytes, place: int, end: int) -> tuple[int, int, int]:
    """Where the next segment before `end` begins, its marker, and where it ends; the marker of the end if none does."""
    found = _MARKER.search(data, place, end)
    if found is None:
        return len(data), _END, len(data)
    at = found.start()
    return at, data[at + 1], at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))


def _frame(segment: bytes) -> tuple[tuple[int, int], int, int]:
    """Width and height, number of components, and of coefficients."""
    if segment[1] not in (*_SEQUENTIAL, _PROGRESSIVE):
        raise ValueError(f"its coding (0x{segment[1]:X}) is neither baseline nor progressive with Huffman's code")
    try:
        height, width, components = struct.unpack_from(">HHB", segment, 5)
        sampling = [(value >> 4, value & 15) for value in segment[11 : 10 + 3 * components : 3]]
        whole = max(across for across, _ in sampling) * max(down for _, down in sampling)
        coefficients = width * height * sum(across * down for across, down in sampling) // whole
    except (struct.error, ValueError, ZeroDivisionError):
        raise ValueError("its frame is damaged") from None
    return (width, height), components, coefficients
