"""Fuzzing the readers: any outcome but a value or the promised error is a find.

`python -m tests.hostile.fuzz --minutes 5` draws mutated files for that long and writes what it finds into `corpus/`, as
READER-HASH, beside some attacks that were put there by hand. The tests read every file there, and draw a few more.
"""

from __future__ import annotations

import argparse
import io
import json
import struct
import time
import warnings
import zipfile
import zlib
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.hostile.attacks.archives import npz
from tests.hostile.readers import EXPORTS, READERS, write

CORPUS = Path(__file__).parent / "corpus"
SLOW = 2.0
"""Seconds of the processor that no small file may take."""

TOKENS: dict[str, list[bytes]] = {
    "svg": b'<g> </g> <svg> " &a; <!DOCTYPE 1e308 -1e6 nan scale(1e6) % a1,1,0,0,1,1,1 z M <use/> <a:b/> \0 \xff\xfe '
    b"<![CDATA[ <? xmlns:a='b' rx='-1' transform=' viewBox='0,0,0,0' skewX(90) 1e-320".split(b" "),
    "pickle": b"( ) } ] . \x85 \x86 \x87 R b s u h\0 q\0 cos\nsystem\n \x8e\xff\xff\xff\xff\xff\xff\xff\xff \x93 "
    b"\x94 K\0 N I1\n S'a'\n t 0 2".split(b" "),
    "jpeg": b"\xff\xc0 \xff\xc2 \xff\xc4 \xff\xd9 \xff\xda \xff\xdb \xff\xe1 \xff\xff Exif\0\0 MM\0* \0\x11".split(
        b" "
    ),
    "png": b"IDAT IEND IHDR PLTE tRNS eXIf \0\0\0\0 \xff\xff\xff\xff \x7f\xff\xff\xff \0\0\x08\0".split(b" "),
    "archive": b"\0\0\0\0 \xff\xff\xff\xff '|O' '<U0' (-1,) True NaN { [ \" PK\x01\x02".split(b" "),
    "onnx": b"\x0a \x12 \x1a \x22 \x3a\xff\xff\xff\xff\x07 \xff\xff\xff\xff\xff\xff\xff\xff\xff\x01 If Gather Evil "
    b"Loop location offset length -1 9223372036854775807 student.bin README.md ai.onnx.ml \x08\x01 \x10\x07".split(
        b" "
    ),
    "tensors": b'F64 BF16 F8_E4M3 BOOL C64 [0, [] { } " , -1 1e9 18446744073709551615'.split(b" "),
}
"""Pieces that mean something in each format."""

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 0, 2**63, float("nan"), float("inf"), "", "\0", "gru", "stats", [], {}, [[]], [{}]])
    | st.floats()
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=6,
)


def mutated(data: bytes, tokens: list[bytes]) -> st.SearchStrategy[bytes]:
    """`data` with one to eight edits: bytes set, pieces deleted, doubled or moved, tokens put in."""
    place = st.integers(0, max(1, len(data)))
    edit = st.one_of(
        st.tuples(st.just("set"), place, st.binary(min_size=1, max_size=4)),
        st.tuples(st.just("put"), place, st.sampled_from(tokens)),
        st.tuples(st.just("cut"), place, st.integers(1, 64)),
        st.tuples(st.just("end"), place, st.just(0)),
        st.tuples(st.just("double"), place, st.integers(1, 64)),
    )
    return st.lists(edit, min_size=1, max_size=8).map(lambda edits: _edited(data, edits))


def _edited(data: bytes, edits: list[tuple[str, int, Any]]) -> bytes:
    for kind, at, value in edits:
        if kind == "set":
            data = data[:at] + value + data[at + len(value) :]
        elif kind == "put":
            data = data[:at] + value + data[at:]
        elif kind == "cut":
            data = data[:at] + data[at + value :]
        elif kind == "double":
            data = data[:at] + data[at : at + value] * 2 + data[at + value :]
        elif kind == "end":
            data = data[:at]
    return data


def _resealed_png(data: bytes) -> bytes:
    """All checksums put right, so that the decoder sees what was changed."""
    out, place = data[:8], 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        body = data[place + 4 : place + 8 + length]
        out += data[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + length
    return out


def _members(reader: str) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(READERS[reader].good()[0])) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _archives(reader: str) -> st.SearchStrategy[bytes]:
    """An archive with one member changed, its checksum right, or the file itself changed."""
    whole = mutated(READERS[reader].good()[0], TOKENS["archive"])
    members = [
        mutated(body, TOKENS["archive"]).map(lambda changed, name=name: npz({name: changed}, reader=reader))
        for name, body in _members(reader).items()
    ]
    return st.one_of(whole, *members)


def _tensors(reader: str) -> st.SearchStrategy[bytes]:
    """Weights with their header changed and its length right, or anything changed."""
    good = READERS[reader].good()[0]
    (length,) = struct.unpack("<Q", good[:8])
    header = mutated(good[8 : 8 + length], TOKENS["tensors"])
    return mutated(good, TOKENS["tensors"]) | header.map(
        lambda text: struct.pack("<Q", len(text)) + text + good[8 + length :]
    )


def cards(reader: str) -> st.SearchStrategy[bytes]:
    """A card with one value, at any depth, replaced by any other."""
    text = READERS[reader].good()[1]
    assert text is not None
    card = json.loads(text)
    return st.tuples(st.sampled_from(_paths(card)), JSON).map(lambda change: _replaced(text, *change))


def _paths(value: Any) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((key, *rest) for key, inner in items for rest in _paths(inner))]


def _replaced(text: bytes, path: tuple[Any, ...], value: Any) -> bytes:
    card = json.loads(text)
    if not path:
        return json.dumps(value).encode()
    target = card
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return json.dumps(card).encode()


def strategies() -> dict[str, st.SearchStrategy[bytes]]:
    """Hostile content by reader; "NAME card" changes the card and leaves the weights."""
    found = {
        name: mutated(READERS[name].good()[0], TOKENS[name]) | st.binary(max_size=300)
        for name in ("svg", "pickle", "jpeg")
    }
    png = mutated(READERS["png"].good()[0], TOKENS["png"])
    found |= {"png": png | png.map(_resealed_png)}
    found |= {name: _archives(name) for name in ("table", "looks", "prefixes")}
    found |= {name: _tensors(name) for name in ("selector", "index", "checkpoint")}
    found |= {name: mutated(READERS[name].good()[0], TOKENS["onnx"]) for name in EXPORTS}
    with_cards = ("selector", "student", "index", *EXPORTS)
    found |= {f"{name} card": cards(name) for name in with_cards}
    return found


def check(target: str, data: bytes, folder: Path) -> None:
    """Read content that `strategies` drew; any other outcome than a value or the promised error raises."""
    name, _, card = target.partition(" ")
    reader = READERS[name]
    path = write(reader, folder, card=data) if card else write(reader, folder, data)
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "invalid escape sequence", DeprecationWarning)  # see `watch.py`
            warnings.filterwarnings("ignore", ".*<image> left out", UserWarning)
            reader.read(path)
    except reader.errors:
        pass
    seconds = time.process_time() - start
    assert seconds < SLOW, f"took {seconds:.1f} s"


def _keep(target: str, data: bytes, error: BaseException) -> None:
    CORPUS.mkdir(exist_ok=True)
    name = f"{target.replace(' ', '_')}-{sha256(data).hexdigest()[:12]}"
    (CORPUS / name).write_bytes(data)
    print(f"{name}: {type(error).__name__}: {str(error)[:300]}", flush=True)


def run(minutes: float, number: int) -> None:
    """Fuzz all readers by turns."""
    until, rounds, tried = time.monotonic() + 60 * minutes, 0, 0
    with TemporaryDirectory() as place:
        folder = Path(place)
        while time.monotonic() < until:
            for target, strategy in strategies().items():
                rounds += 1
                left = until - time.monotonic()
                if left < 0:
                    break
                tried += _round(target, strategy, folder, number + rounds)
    print(f"{tried:,} files read in {minutes:g} minutes")


def _round(target: str, strategy: st.SearchStrategy[bytes], folder: Path, number: int) -> int:
    tried = 0

    @seed(number)
    @settings(
        max_examples=300,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def attempt(data: bytes) -> None:
        nonlocal tried, last
        tried += 1
        try:
            check(target, data, folder)
        except Exception:
            last = data
            raise

    last = b""
    try:
        attempt()
    except Exception as error:
        _keep(target, last, error)
    return tried


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    run(asked.minutes, asked.seed)


if __name__ == "__main__":
    main()
