"""Archives of arrays (outcome tables, looks and prefixes) that mean harm."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from students.training.pool import renderings
from tests.hostile.attacks.attack import Attack, Content, files
from tests.hostile.attacks.pickles import OBJECT
from tests.hostile.readers import READERS


def npy(shape: str, dtype: str, body: bytes = b"") -> bytes:
    """An .npy file with a header of our own."""
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def npz(
    changes: dict[str, bytes | None],
    extra: dict[str, bytes] | None = None,
    method: int = zipfile.ZIP_DEFLATED,
    reader: str = "table",
) -> bytes:
    """The good archive of a reader with members replaced (None: left out) or added."""
    body = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(READERS[reader].good()[0])) as old,
        zipfile.ZipFile(body, "w", method, compresslevel=9 if method == zipfile.ZIP_DEFLATED else None) as new,
    ):
        for name in old.namelist():
            content = changes.get(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
        for name, content in (extra or {}).items():
            new.writestr(name, content)
    return body.getvalue()


def _header(reader: str, **changes: Any) -> bytes:
    with zipfile.ZipFile(io.BytesIO(READERS[reader].good()[0])) as archive:
        stored = json.loads(str(np.load(io.BytesIO(archive.read("header.npy")))))
    return header_npy(json.dumps({**stored, **changes}))


def header_npy(text: str) -> bytes:
    """The member `header.npy` of an archive."""
    return npy("()", f"'<U{len(text)}'", text.encode("utf-32-le"))


def _many_members() -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for i in range(20_000):
            archive.writestr(f"{i}", b"")
    return body.getvalue()


def _lying_sizes(reader: str, member: str, claimed: int) -> bytes:
    """A member whose directory entry claims another size than it unpacks to."""
    data = bytearray(npz({member: bytes(4 << 20)}, reader=reader))
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(member.encode()))
    data[at + 24 : at + 28] = struct.pack("<I", claimed)
    return bytes(data)


def _encrypted(reader: str) -> bytes:
    data = bytearray(npz({}, reader=reader))
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


def _overlapping(reader: str) -> bytes:
    """Two entries of the directory that share one place in the file."""
    data = bytearray(npz({}, reader=reader))
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    return bytes(data)


def _archive(reader: str, ranks: str, text: str) -> dict[str, tuple[Content, str]]:
    """What harms any reader of archives.

    Args:
        reader: key of `READERS`.
        ranks: name of a member that holds (n, k) int32.
        text: name of one that holds strings.
    """

    def with_ranks(shape: str, dtype: str = "'<i4'", body: bytes = b"") -> bytes:
        return npz({ranks: npy(shape, dtype, body)}, reader=reader)

    def with_text(shape: str, dtype: str, body: bytes = b"") -> bytes:
        return npz({text: npy(shape, dtype, body)}, reader=reader)

    def with_header(member: bytes) -> bytes:
        return npz({"header.npy": member}, reader=reader)

    return {
        "empty": (b"", "not a usable"),
        "no zip": (b"PK" + bytes(100), "not a usable"),
        "objects": (lambda: with_ranks("(1, 1)", "'|O'", OBJECT), "dtype object"),
        "objects in a record": (
            lambda: with_ranks("(1,)", "[('a', '|O')]", OBJECT),
            f"{ranks.removesuffix('.npy')}: dtype",
        ),
        "a pickle": (lambda: npz({ranks: OBJECT}, reader=reader), "magic"),
        "a header that calls": (lambda: with_ranks("__import__('os').system('id')"), "malformed node"),
        "a header of shapes": (lambda: with_ranks("(" * 2_000 + ")" * 2_000), "not a usable"),
        "a header that is huge": (lambda: with_ranks("(" + "1," * 30_000 + ")"), "not a usable"),
        "a shape of terabytes": (lambda: with_ranks(f"({2**40}, 4)"), "byte"),
        "a shape beyond 64 bits": (lambda: with_ranks(f"({2**80}, {2**80})"), "bytes follow"),
        "a negative shape": (lambda: with_ranks("(-1, -4)", body=bytes(16)), "not a usable"),
        "a wide string": (lambda: with_text("(1,)", f"'<U{2**40}'"), "not a usable"),
        "a string of no width": (lambda: with_text(f"({2**60},)", "'<U0'"), "bytes follow"),
        "letters that are none": (lambda: with_text("(1,)", "'<U1'", b"\xff" * 4), "not a usable"),
        "times": (lambda: with_ranks("(1, 1)", "'<M8[s]'", bytes(8)), "dtype datetime64"),
        "a zip bomb": (lambda: with_ranks(f"({16 << 20}, 4)", body=bytes(256 << 20)), "unpacks to"),
        "a zip bomb of strings": (lambda: with_text(f"({50 << 20},)", "'<U1'", bytes(200 << 20)), "unpacks"),
        "a bomb that hides its size": (lambda: _lying_sizes(reader, ranks, 1_000), "not a usable"),
        "a size of 4 GB": (lambda: _lying_sizes(reader, ranks, 0xFFFFFFFE), "unpacks to"),
        "20,000 members": (_many_members, "more members than"),
        "a name that slips out": (lambda: npz({}, {"../../evil.npy": b"x"}, reader=reader), "'../../evil.npy'"),
        "an absolute name": (lambda: npz({}, {"/etc/cron.d/evil.npy": b"x"}, reader=reader), "'/etc/cron.d/evil.npy'"),
        "a long name": (lambda: npz({}, {"a" * 60_000: b"x"}, reader=reader), "missing, unknown or repeated"),
        "LZMA": (lambda: npz({}, method=zipfile.ZIP_LZMA, reader=reader), "compressed in a way"),
        "bzip2": (lambda: npz({}, method=zipfile.ZIP_BZIP2, reader=reader), "compressed in a way"),
        "encrypted": (lambda: _encrypted(reader), "not a usable"),
        "members that overlap": (lambda: _overlapping(reader), "not a usable"),
        "a deep header": (lambda: with_header(header_npy('{"a":' * 50_000)), "not a usable"),
        "a header of digits": (lambda: with_header(header_npy("9" * 100_000)), "not a usable"),
        "a deep meta": (lambda: with_header(header_npy("[" * 50_000 + "]" * 50_000)), "not a usable"),
        "another format": (lambda: with_header(_header(reader, format=10**400)), "not a usable"),
    }


TABLE: dict[str, tuple[Content, str]] = {
    **_archive("table", "ranks.npy", "photos.npy"),
    "NaN": (
        lambda: npz({"flops.npy": npy("(4,)", "'<f8'", struct.pack("<4d", 1, 2, 3, float("nan")))}),
        "flops must be finite",
    ),
    "NaN in meta": (
        lambda: npz({"header.npy": _header("table", meta={"a": float("nan"), "latency": {"machine": "m"}})}),
        "JSON-able",
    ),
    "a gallery of text": (lambda: npz({"header.npy": _header("table", gallery_size={"train": "9"})}), "gallery_size"),
    "a gallery of 10^400": (
        lambda: npz({"header.npy": _header("table", gallery_size=dict.fromkeys(("train", "val", "test"), 10**400))}),
        "not a usable",
    ),
    "a margin of 10^400": (
        lambda: npz({"header.npy": _header("table", meta={"triplet_margin": 10**400})}),
        "not a usable|margin",
    ),
}


def _arrays(reader: str, **changes: Any) -> Callable[[], bytes]:
    """A good archive with some of its arrays replaced, by functions of what they were."""

    def make() -> bytes:
        with np.load(io.BytesIO(READERS[reader].good()[0])) as old:
            made = {f"{name}.npy": _npy_of(change(old[name])) for name, change in changes.items()}
        return npz(made, reader=reader)

    return make


def _npy_of(array: Any) -> bytes:
    body = io.BytesIO()
    np.lib.format.write_array(body, np.asarray(array))
    return body.getvalue()


def _set(place: tuple[int, ...], value: Any, dtype: str | None = None) -> Callable[[Any], Any]:
    """An array with another number in one place, and of another type where one is named."""

    def change(array: Any) -> Any:
        array = array.astype(dtype or array.dtype)
        array[place] = value
        return array

    return change


def _shaped(*shape: int) -> Callable[[Any], Any]:
    """Zeros of another shape and the same type."""
    return lambda array: np.zeros(shape, array.dtype)


def _beside(reader: str) -> dict[str, tuple[Content, str | None]]:
    """What harms the reader of looks and that of prefixes."""

    def with_header(**changes: Any) -> Callable[[], bytes]:
        return lambda: npz({"header.npy": _header(reader, **changes)}, reader=reader)

    return {
        "NaN among distances": (_arrays(reader, distances=_set((0, 0, 0), np.nan)), "distances must be finite"),
        "infinite distances": (_arrays(reader, distances=_set((0, 0, 4), np.inf)), "distances must be finite"),
        "distances of 1e308": (_arrays(reader, distances=_set((0, 0, 4), 1e308, "f8")), "distances must be finite"),
        "falling distances": (_arrays(reader, distances=_set((0, 0, 4), 0.0)), "distances must not fall"),
        "complex distances": (_arrays(reader, distances=lambda a: a.astype("c8")), "distances: dtype complex64"),
        "no hash": (with_header(outcomes_hash=None), "outcomes_hash must be"),
        "a hash of a list": (with_header(outcomes_hash=["a"]), "outcomes_hash must be"),
        "another table's hash": (with_header(outcomes_hash="b" * 64), "another outcome table"),
        "a terminal's commands for a hash": (with_header(outcomes_hash="\x1b]0;evil\x07"), "outcomes_hash must be"),
        "a megabyte of hash": (with_header(outcomes_hash="a" * 1_000_000), "another outcome table"),
        "a field too many": (with_header(evil=1), "nothing else"),
        "meta of a list": (with_header(meta=[1]), "objects meta"),
        "NaN in meta": (with_header(meta={"a": float("nan")}), "JSON"),
    }


LOOKS: dict[str, tuple[Content, str | None]] = {
    **_archive("looks", "fused_ranks.npy", "header.npy"),
    **_beside("looks"),
    "no canvas": (_arrays("looks", distances=lambda a: a[:, :0]), "no sketch or no canvas"),
    "no sketch": (
        _arrays("looks", distances=_shaped(0, 4, 5), fused_ranks=_shaped(0, 11), fused_triplet=_shaped(0, 11)),
        "no sketch or no canvas",
    ),
    "a number for distances": (_arrays("looks", distances=_shaped()), "distances must have shape"),
    "distances of 30 axes": (_arrays("looks", distances=_shaped(*[1] * 30)), "distances must have shape"),
    "a canvas too many": (_arrays("looks", distances=lambda a: a[:, [0, 1, 2, 3, 3]]), "shape of the table's top"),
    "a hundred thousand canvases": (
        _arrays("looks", distances=_shaped(1, 100_000, 5), fused_ranks=_shaped(1, 11), fused_triplet=_shaped(1, 11)),
        "fused_ranks must not be below 1",
    ),
    "a million sets": (
        lambda: _many_sets(1_000_000),
        "fused_of must hold",
    ),
    "a set of canvases that are none": (_arrays("looks", fused_of=_set((10,), 2**62 + 1)), "fused_of must hold"),
    "a set below zero": (_arrays("looks", fused_of=_set((0,), -5)), "fused_of must hold"),
    "a set of one": (_arrays("looks", fused_of=_set((0,), 2)), "fused_of must hold"),
    "a set twice": (_arrays("looks", fused_of=lambda a: a[[0, 0, *range(2, 11)]]), "fused_of must hold"),
    "rank zero": (_arrays("looks", fused_ranks=_set((0, 0), 0)), "fused_ranks must not be below"),
    "rank 2^40": (_arrays("looks", fused_ranks=_set((0, 0), 2**40, "i8")), "does not fit int32"),
    "a rank behind the gallery": (_arrays("looks", fused_ranks=_set((0, 0), 10**6)), "size of the split's gallery"),
    "ranks of truth": (_arrays("looks", fused_ranks=lambda a: a > 0), "fused_ranks: dtype bool"),
    "a triplet loss of infinity": (_arrays("looks", fused_triplet=_set((0, 0), np.inf)), "fused_triplet must be"),
    "a triplet loss of 1e30": (_arrays("looks", fused_triplet=_set((0, 0), 1e30)), "fused_triplet must not be above"),
}

PREFIXES: dict[str, tuple[Content, str | None]] = {
    **_archive("prefixes", "ranks.npy", "header.npy"),
    **_beside("prefixes"),
    "no sketch": (_arrays("prefixes", strokes=_shaped(0)), "strokes must be"),
    "strokes in a table": (_arrays("prefixes", strokes=lambda a: a[:, None]), "strokes must have shape"),
    "no strokes": (_arrays("prefixes", strokes=_set((0,), 0)), "strokes must be"),
    "strokes below zero": (_arrays("prefixes", strokes=_set((0,), -(2**31))), "strokes must be"),
    "2^62 strokes": (_arrays("prefixes", strokes=_set((0,), 2**62, "i8")), "does not fit int32"),
    "four million sketches": (
        _arrays("prefixes", strokes=lambda a: np.ones(4_000_000, a.dtype)),
        "must have shape",
    ),
    "a stroke too many": (_arrays("prefixes", strokes=lambda a: a + np.eye(1, len(a), dtype=a.dtype)[0]), "shape"),
    "no canvas": (
        _arrays(
            "prefixes",
            canvases=lambda a: a[:0],
            **dict.fromkeys(("ranks", "triplet", "top", "distances"), lambda a: a[:, :0]),
        ),
        "canvases is empty",
    ),
    "canvases that fall": (_arrays("prefixes", canvases=lambda a: a[::-1]), "rise"),
    "a canvas of zero": (_arrays("prefixes", canvases=_set((0,), 0)), "above zero"),
    "a canvas that the table lacks": (_arrays("prefixes", canvases=_set((3,), 2**62)), str(2**62)),
    "a canvas of 2^63": (_arrays("prefixes", canvases=_set((3,), 2**63, "u8")), "canvases: dtype uint64"),
    "canvases of fractions": (_arrays("prefixes", canvases=lambda a: a + 0.5), "canvases: dtype float64"),
    "fifty thousand canvases": (
        _arrays(
            "prefixes",
            canvases=_shaped(50_000),
            strokes=lambda a: a[:1] * 0 + 1,
            ranks=_shaped(1, 50_000),
            triplet=_shaped(1, 50_000),
            top=_shaped(1, 50_000, 5),
            distances=_shaped(1, 50_000, 5),
        ),
        "rise",
    ),
    "a number for ranks": (_arrays("prefixes", ranks=_shaped()), "ranks must have shape"),
    "rank zero": (_arrays("prefixes", ranks=_set((0, 0), 0)), "ranks must not be below"),
    "a rank behind the gallery": (_arrays("prefixes", ranks=_set((0, 0), 2**31 - 1)), "ranks"),
    "a photo that there is not": (_arrays("prefixes", top=_set((0, 0, 0), 2**31 - 1)), "top"),
    "a photo before the first": (_arrays("prefixes", top=_set((0, 0, 0), -(2**31))), "distances must be 2"),
    "a triplet loss of NaN": (_arrays("prefixes", triplet=_set((0, 0), np.nan)), "triplet must be finite"),
    "a triplet loss of 1e30": (_arrays("prefixes", triplet=_set((0, 0), 1e30)), "triplet"),
}


def _many_sets(count: int) -> bytes:
    """Looks that fuse many sets of 62 canvases; the last of them is none."""
    sets = np.arange(count, dtype=np.int64) * 4 + 3
    sets[-1] = 2**62
    changes = {
        "distances": np.zeros((1, 62, 5), np.float32),
        "fused_of": sets,
        "fused_ranks": np.ones((1, count), np.int32),
        "fused_triplet": np.zeros((1, count), np.float32),
    }
    return npz({f"{name}.npy": _npy_of(array) for name, array in changes.items()}, reader="looks")


SIDE = renderings.SIDE

RENDERINGS: dict[str, tuple[Content, str | None]] = {
    **{
        name: (content, reason.replace("not a usable", "holds no renderings"))
        for name, (content, reason) in _archive("renderings", "ends.npy", "photo_names.npy").items()
        if "header" not in name and name not in ("a deep meta", "another format")
    },
    "a bomb of pixels": (
        lambda: npz({"photos.npy": npy(f"({841 << 20},)", "'|u1'", bytes(841 << 20))}, reader="renderings"),
        "unpacks to",
    ),
    "pictures without names": (_arrays("renderings", photos=_shaped(250, SIDE, SIDE, 3)), "for each photo's name"),
    "pictures of another size": (_arrays("renderings", photos=_shaped(2, 4096, 4096, 1)), "unpacks to|144 x 144"),
    "drawings without names": (_arrays("renderings", ends=lambda a: np.arange(3_000_000)), "for each sketch's"),
    "three million drawings": (
        _arrays("renderings", ends=lambda a: np.arange(3_000_000), sketch_names=_shaped(2_999_999)),
        "3,000,000 drawings; at most 20,000",
    ),
    "three million rows": (
        _arrays("renderings", stroke5=_shaped(3_000_000, 5)),
        "3,000,000 rows of drawings|unpacks to",
    ),
    "ends that fall": (_arrays("renderings", ends=lambda a: a[::-1]), "ends must rise"),
    "an end of 2^62": (_arrays("renderings", ends=_set((1,), 2**62)), "ends must rise"),
    "NaN in a drawing": (_arrays("renderings", stroke5=_set((0, 0), np.nan)), "finite|NaN"),
}

ATTACKS: dict[str, Attack] = {
    **files("table", TABLE),
    **files("looks", LOOKS),
    **files("prefixes", PREFIXES),
    **files("renderings", RENDERINGS),
}
