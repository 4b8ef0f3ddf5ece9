"""Files of arrays: reading, mapping, and detection of damage."""

from __future__ import annotations

import mmap
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sketchcanvas_env.storage import npz
from sketchcanvas_env.storage.npz import Rows, read_npz, write_mapped, write_npz

ARRAYS: dict[str, np.ndarray] = {
    "header": np.array("{}"),
    "numbers": np.arange(300_000, dtype=np.int32).reshape(-1, 3),
    "names": np.array(["a", "zwölf", ""]),
    "nothing": np.zeros((0, 3)),
    "part": np.arange(40.0).reshape(4, 10)[:, ::3],
    "bits": np.array([True, False, True]),
}
KINDS = {name: array.dtype.kind for name, array in ARRAYS.items()}


def is_mapped(array: np.ndarray) -> bool:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)


@pytest.mark.parametrize("write", [write_npz, write_mapped])
def test_arrays_are_read_as_they_were_written(tmp_path: Path, write: Callable[..., None]) -> None:
    write(tmp_path / "new" / "a.npz", ARRAYS)
    found = read_npz(tmp_path / "new" / "a.npz", KINDS)
    with np.load(tmp_path / "new" / "a.npz", allow_pickle=False) as plain:
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array)
            np.testing.assert_array_equal(plain[name], array)
            assert found[name].dtype == array.dtype and not found[name].flags.writeable
    assert {is_mapped(array) for array in found.values()} == {write is write_mapped}
    assert write is write_npz or all(array.ctypes.data % 64 == 0 for array in found.values())
    first = (tmp_path / "new" / "a.npz").read_bytes()
    write(tmp_path / "b.npz", ARRAYS)
    assert (tmp_path / "b.npz").read_bytes() == first


def test_blocks_are_written_as_one_array(tmp_path: Path) -> None:
    numbers = ARRAYS["numbers"]

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(numbers), 777):
            yield numbers[start : start + 777].astype(np.int64)  # put right on the way

    write_mapped(tmp_path / "a.npz", {"numbers": Rows(numbers.dtype, numbers.shape, blocks())})
    write_mapped(tmp_path / "b.npz", {"numbers": numbers})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with pytest.raises(ValueError, match=r"numbers: blocks of .* bytes for an array of"):
        write_mapped(tmp_path / "c.npz", {"numbers": Rows(numbers.dtype, (5, 3), blocks())})
    with pytest.raises(ValueError, match="objects"):
        write_mapped(tmp_path / "c.npz", {"numbers": np.array([{}])})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_files_over_four_gigabytes_have_the_same_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests the 64-bit records of large files on small ones."""
    monkeypatch.setattr(npz, "_ZIP64_BYTES", npz._BLOCK_BYTES)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    write_mapped(tmp_path / "a.npz", ARRAYS)
    body = (tmp_path / "a.npz").read_bytes()
    assert b"PK\x06\x06" in body[-200:]
    found = read_npz(tmp_path / "a.npz", KINDS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert is_mapped(found[name]) and found[name].ctypes.data % 64 == 0
    record = body.rindex(b"PK\x06\x06")
    for at, change in ((40, b"\xff\xff\xff\x7f"), (0, b"PK\x06\x05"), (56 + 8, b"\x01")):
        place = record + at
        (tmp_path / "a.npz").write_bytes(body[:place] + change + body[place + len(change) :])
        with pytest.raises(ValueError, match=r"more members|damaged zip"):
            read_npz(tmp_path / "a.npz", KINDS)


def test_arrays_that_cannot_be_mapped_are_read_within_a_limit(tmp_path: Path) -> None:
    """`numpy.savez` does not align arrays."""
    path = tmp_path / "a.npz"
    write_npz(path, {"n": np.arange(100.0)})
    with pytest.raises(ValueError, match="unpacks to more than"):
        read_npz(path, {"n": "f"}, most=800)
    assert not is_mapped(read_npz(path, {"n": "f"}, most=928)["n"])
    write_mapped(path, {"n": np.arange(100.0)})
    assert is_mapped(read_npz(path, {"n": "f"}, most=0)["n"])
    with pytest.raises(ValueError, match="larger than 100 bytes"):
        read_npz(path, {"n": "f"}, most_mapped=100)
    with zipfile.ZipFile(path) as archive:
        content = archive.read("n.npy")
    places = set()
    for name in ("n" * length for length in range(1, 9)):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{name}.npy", content)
        found = read_npz(path, {name: "f"})[name]
        places.add(is_mapped(found))
        assert found.flags.aligned
        np.testing.assert_array_equal(found, np.arange(100.0))
    assert places == {False, True}


def test_a_mapped_file_may_be_replaced_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_mapped(path, {"n": np.arange(1e6)})
    found = read_npz(path, {"n": "f"})["n"]
    write_mapped(path, {"n": np.zeros(7)})
    assert len(read_npz(path, {"n": "f"})["n"]) == 7
    path.unlink()
    np.testing.assert_array_equal(found, np.arange(1e6))


def test_every_damaged_byte_is_detected_or_harmless(tmp_path: Path) -> None:
    path, small = tmp_path / "a.npz", {"n": np.arange(20), "t": np.array(["one", "two"])}
    write_mapped(path, small)
    body = path.read_bytes()
    unnoticed = 0
    for at in range(len(body)):
        path.write_bytes(body[:at] + bytes([body[at] ^ 0x55]) + body[at + 1 :])
        try:
            found = read_npz(path, {"n": "i", "t": "U"})
        except Exception:
            continue
        unnoticed += 1
        assert all((found[name] == small[name]).all() for name in small)
    assert 0 < unnoticed < len(body) / 2
    for end in range(0, len(body), 7):
        path.write_bytes(body[:end])
        with pytest.raises(ValueError, match=r"cut short|damaged"):
            read_npz(path, {"n": "i", "t": "U"})


@pytest.mark.parametrize("write", [write_npz, write_mapped])
@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"n": "i", "more": "f"}, "'more.npy'"),
        ({}, "'n.npy'"),
        ({"n": "f"}, "n: dtype int64 where one of kind 'f'"),
    ],
)
def test_unexpected_or_missing_arrays_are_refused(
    tmp_path: Path, write: Callable[..., None], kinds: dict[str, str], message: str
) -> None:
    write(tmp_path / "a.npz", {"n": np.arange(3)})
    with pytest.raises(ValueError, match=message):
        read_npz(tmp_path / "a.npz", kinds)
    assert list(read_npz(tmp_path / "a.npz", {"n": "i", "more": "f"}, optional=["more"])) == ["n"]


def test_invalid_code_points_are_refused(tmp_path: Path) -> None:
    for at in (0, 99_999):
        codes = np.full(100_000, 65, np.uint32)
        codes[at] = 0x110000
        write_mapped(tmp_path / "a.npz", {"t": codes.view("U1")})
        with pytest.raises(ValueError, match="t: holds something else than characters"):
            read_npz(tmp_path / "a.npz", {"t": "U"})


def test_a_huge_sparse_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_mapped(path, {"n": np.arange(3)})
    tail = path.read_bytes()
    os.truncate(path, 2**40)
    with open(path, "ab") as file:
        file.write(tail)
    with pytest.raises(ValueError, match="larger than"):
        read_npz(path, {"n": "i"})
