"""Quick, Draw!: raw and simplified ndjson, sketch-rnn's .npz without executing it, bad lines and files."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from sketchcanvas_env.data import SPLITS, SketchDataset, SkippedDataWarning, load
from sketchcanvas_env.data.formats import quickdraw
from sketchcanvas_env.data.formats.quickdraw import MAX_LINE_BYTES
from sketchcanvas_env.data.formats.unpickle import arrays_of, drawings_of
from students.network.hog import HogRetriever
from students.tables.tabulate import tabulate

STROKES = [[[0, 100, 200], [0, 0, 50]], [[50], [100]]]


def line(key: int, word: str = "cat", drawing: object = STROKES, raw: bool = False, **more: object) -> str:
    if raw and drawing is STROKES:
        drawing = [[x, y, list(range(len(x)))] for x, y in STROKES]
    entry = {"word": word, "countrycode": "DE", "timestamp": "2017-03-01 20:41:36.70725 UTC", "recognized": True}
    return json.dumps({**entry, "key_id": str(key), "drawing": drawing, **more})


def write(folder: Path, drawings: int = 200) -> Path:
    """Simplified drawings of cats and raw ones of yoga."""
    folder.mkdir(exist_ok=True)
    (folder / "cat.ndjson").write_text("\n".join(line(key) for key in range(drawings)) + "\n")
    (folder / "full_raw_yoga.ndjson").write_text("\n".join(line(key, "yoga", raw=True) for key in range(drawings)))
    return folder


def offsets(rng: np.random.Generator) -> np.ndarray:
    n = int(rng.integers(3, 12))
    rows = np.column_stack([rng.integers(-20, 20, (n, 2)), rng.random(n) < 0.3]).astype(np.int16)
    rows[:2, :2] = [[0, 0], [30, 10]]
    rows[-1, 2] = 1
    return rows


def objects(drawings: list[Any]) -> np.ndarray:
    array = np.empty(len(drawings), dtype=object)
    array[:] = drawings
    return array


class Python2(pickle._Pickler):  # type: ignore[name-defined,misc]
    """Writes texts and bytes as Python 2's `str` was written: what the published .npz files are made of."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_str(self, value: str | bytes) -> None:
        raw = value if isinstance(value, bytes) else value.encode()
        self.write(b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_str


def pickled(value: object, protocol: int = 3) -> bytes:
    if protocol != 2:
        return pickle.dumps(value, protocol=protocol)
    stream = io.BytesIO()
    Python2(stream, protocol=2).dump(value)
    return stream.getvalue().replace(b"numpy._core.", b"numpy.core.")


def npy(value: np.ndarray, data: bytes | None = None, protocol: int = 3) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(value))
    return stream.getvalue() + (pickled(value, protocol) if data is None else data)


def write_npz(path: Path, parts: dict[str, bytes]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, content in parts.items():
            archive.writestr(f"{part}.npy", content)
    return path.parent


def parts(sizes: tuple[int, int, int] = (10, 3, 4), protocol: int = 3) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    names = zip(("train", "valid", "test"), sizes, strict=True)
    return {part: npy(objects([offsets(rng) for _ in range(n)]), protocol=protocol) for part, n in names}


def counts(dataset: SketchDataset) -> dict[str, int]:
    return {split: len(dataset.indices(split)) for split in SPLITS}


# ---------------------------------------------------------------------------------------------------------- ndjson


def test_raw_and_simplified_lines(tmp_path: Path) -> None:
    dataset = load("quickdraw", write(tmp_path), strict=True)
    assert (dataset.name, len(dataset), dataset.skipped) == ("quickdraw", 400, ())
    assert set(dataset.photo_ids.tolist()) == {"cat", "yoga"}
    assert all(dataset.gallery(split).tolist() == ["cat", "yoga"] for split in SPLITS)
    assert len(set(dataset.sketch_ids.tolist())) == 400 and dataset.sketch_ids[0] == "cat/0"
    for row in (0, 199, 200, 399):
        curve, dot = dataset.sketch(row).strokes
        np.testing.assert_allclose(curve, [[0.08, 0.29], [0.5, 0.29], [0.92, 0.5]], atol=1e-6)
        np.testing.assert_allclose(dot, [[0.29, 0.71]], atol=1e-6)
    assert "Attribution 4.0" in dataset.licence and "Neural Representation" in dataset.citation


def test_a_drawing_keeps_its_split(tmp_path: Path) -> None:
    whole = load("quickdraw", write(tmp_path / "a", 1000))
    shares = {split: number / len(whole) for split, number in counts(whole).items()}
    assert shares == pytest.approx({"student": 0.5, "train": 0.2, "val": 0.1, "test": 0.2}, abs=0.04)
    part = load("quickdraw", write(tmp_path / "b", 300))
    splits = dict(zip(whole.sketch_ids.tolist(), whole.split.tolist(), strict=True))
    assert all(splits[name] == split for name, split in zip(part.sketch_ids.tolist(), part.split.tolist(), strict=True))
    assert part.hash != whole.hash


def test_there_are_no_photos(tmp_path: Path) -> None:
    dataset = load("quickdraw", write(tmp_path, 20))
    with pytest.raises(ValueError, match="quickdraw has no photos, only categories"):
        dataset.photo("cat")
    with pytest.raises(ValueError, match="quickdraw has no photos, only categories"):
        tabulate(HogRetriever(), dataset, (32,))


BAD_LINES = {
    "no JSON": ("{", "not JSON"),
    "a list": ("[]", "not an object with key_id, word and drawing"),
    "no word": (json.dumps({"key_id": "1", "drawing": STROKES}), "not an object with key_id"),
    "no strokes": (line(999, drawing=[]), "empty: it has no strokes"),
    "no points": (line(999, drawing=[[[], []]]), "stroke 0 needs shape"),
    "x without y": (line(999, drawing=[[[1, 2]]]), "a stroke is not"),
    "more x than y": (line(999, drawing=[[[1, 2], [3]]]), "different lengths"),
    "numbers for lists": (line(999, drawing=[[1, 2]]), "needs shape"),
    "texts": (line(999, drawing=[[["1"], ["2"]]]), "something else than numbers"),
    "NaN": (line(999, drawing=[[[float("nan")], [1]]]), "NaN is no number"),
    "infinity": (line(999).replace("100", "1e999"), "not finite"),
    "deep": ("[" * 50_000, "nested too deep"),
    "no text for an id": (line(999, key_id=5), "is no name"),
    "a path for a word": (line(999, word="../cat"), "is no name"),
    "a long word": (line(999, word="c" * 101), "is no name"),
    "an id again": (line(3), "key_id 3 occurs twice"),
    "not UTF-8": (b"\xff{}", "not a text in UTF-8"),
    "too long": ("[" + "1," * MAX_LINE_BYTES + "1]", "longer than 1,048,576 bytes"),
    "too many points": (line(999, drawing=[[[1] * 50_001, [2] * 50_001]]), "at most 5000 strokes"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_bad_line_is_named_and_left_out(tmp_path: Path, case: str) -> None:
    bad, reason = BAD_LINES[case]
    text = [line(key).encode() for key in range(6)]
    text.insert(4, bad if isinstance(bad, bytes) else bad.encode())
    (tmp_path / "cat.ndjson").write_bytes(b"\n".join(text) + b"\n\n")
    with pytest.warns(SkippedDataWarning, match=rf"6 drawings .*cat\.ndjson, line 5: .*{reason}") as warned:
        dataset = load("quickdraw", tmp_path)
    assert warned[0].filename == __file__
    assert dataset.sketch_ids.tolist() == [f"cat/{key}" for key in range(6)]
    assert dataset.sketch(5).n_points == 4  # the lines after it are found again
    with pytest.raises(ValueError, match=r"cat\.ndjson, line 5"):
        load("quickdraw", tmp_path, strict=True)


def test_a_loaded_data_set_stays_what_it_was(tmp_path: Path) -> None:
    path = write(tmp_path, 5) / "cat.ndjson"
    dataset = load("quickdraw", tmp_path)
    before = dataset.sketch(0).strokes[0].tolist()
    path.write_text(path.read_text().replace("100", "101", 1))
    again = load("quickdraw", tmp_path)
    assert again.hash != dataset.hash
    assert again.sketch(0).strokes[0].tolist() != before == dataset.sketch(0).strokes[0].tolist()
    path.unlink()
    assert dataset.sketch(4).n_points == 4


def test_files_that_change_while_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, parsed = write(tmp_path, 5) / "cat.ndjson", quickdraw._parsed

    def slow(text: bytes) -> Any:
        os.utime(path, ns=(1, 1))
        return parsed(text)

    monkeypatch.setenv("SKETCHCANVAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(quickdraw, "_parsed", slow)
    with pytest.raises(ValueError, match="its files changed while they were read"):
        load("quickdraw", tmp_path)
    assert not list((tmp_path / "cache").iterdir())


def test_folders_that_are_not_the_data_set(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name it as quickdraw:DIR"):
        load("quickdraw")
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="holds nothing of Quick, Draw!"):
            load("quickdraw", folder)
    (tmp_path / "empty.ndjson").write_text("\n")
    with pytest.raises(ValueError, match=r"empty\.ndjson: holds no drawing"):
        load("quickdraw", tmp_path)
    write(tmp_path, 3)
    (tmp_path / "cat_simplified.ndjson").write_text(line(77))
    with pytest.raises(ValueError, match=r"cat_simplified\.ndjson: cat\.ndjson has drawings of 'cat' as well"):
        load("quickdraw", tmp_path)
    (tmp_path / "cat_simplified.ndjson").unlink()
    os.truncate(tmp_path / "cat.ndjson", 2**31)
    with pytest.raises(ValueError, match=r"cat\.ndjson: 2,147,483,648 bytes; at most"):
        load("quickdraw", tmp_path)
    (tmp_path / "cat.ndjson").unlink()
    (tmp_path / "cat.ndjson").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"cat\.ndjson: a link that leads out of"):
        load("quickdraw", tmp_path)


# ------------------------------------------------------------------------------------------------------ sketch-rnn


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_npz_as_python_2_and_3_write_it(tmp_path: Path, protocol: int) -> None:
    folder = write_npz(tmp_path / "q" / "cat.full.npz", parts(protocol=protocol))
    dataset = load("quickdraw", folder, strict=True)
    assert counts(dataset) == {"student": 5, "train": 5, "val": 3, "test": 4}
    assert dataset.sketch_ids[0] == "cat/train-0" and set(dataset.photo_ids.tolist()) == {"cat"}
    rng = np.random.default_rng(0)
    for row in range(17):
        rows = offsets(rng)
        absolute = np.cumsum(rows[:, :2], axis=0)
        strokes = dataset.sketch(row).strokes
        assert [len(stroke) for stroke in strokes] == np.diff(np.flatnonzero([1, *rows[:, 2]])).tolist()
        scale = 0.84 / np.ptp(absolute, axis=0).max()
        np.testing.assert_allclose(
            np.diff(np.concatenate(strokes), axis=0), scale * np.diff(absolute, axis=0), atol=1e-6
        )


def test_numpy_itself_writes_such_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drawings = {part: objects([offsets(rng) for _ in range(3)]) for part in ("train", "valid", "test")}
    np.savez_compressed(tmp_path / "cat.npz", **drawings)  # type: ignore[arg-type]
    assert len(load("quickdraw", tmp_path, strict=True)) == 9
    many = objects([offsets(rng) for _ in range(2500)])  # lists are written in batches of a thousand
    for protocol in (2, 3, 4):
        assert all(map(np.array_equal, drawings_of(pickled(many, protocol)), many))


def test_a_bad_drawing_of_an_npz_is_named_and_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    bad = [np.zeros((0, 3), np.int16), np.ones((4, 2), np.int16), np.full((4, 3), 2, np.int16)]
    broken = {**parts(), "test": npy(objects([offsets(rng), *bad]))}
    folder = write_npz(tmp_path / "q" / "cat.npz", broken)
    with pytest.warns(SkippedDataWarning, match=r"14 drawings"):
        dataset = load("quickdraw", folder)
    assert [name for name, _ in dataset.skipped] == [f"cat.npz, test, drawing {n}" for n in (1, 2, 3)]
    for (_, told), reason in zip(dataset.skipped, ("no points", r"shape \(4, 2\)", "a pen state"), strict=True):
        assert re.search(reason, told)


class Call:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.how = (function, arguments)

    def __reduce__(self) -> Any:
        return self.how


def _hostile(marker: Path) -> dict[str, tuple[bytes, str]]:
    good = offsets(np.random.default_rng(0))
    code = f"open({str(marker)!r}, 'w').close()"
    lying = pickled(objects([good]))
    flood = b"\x80\x03" + b"]" * 5_000_000 + b"."
    nested = objects([good])
    return {
        "os.system": (pickled(objects([Call(os.system, f"touch {marker}")])), r"global (posix|nt)\.system"),
        "exec": (pickled(objects([good, Call(exec, code)])), r"global builtins\.exec"),
        "exec in Python 2": (pickled(objects([good, Call(exec, code)]), 2), r"global __builtin__\.exec|builtins\.exec"),
        "exec alone": (pickled(Call(exec, code)), r"global builtins\.exec"),
        "objects in it": (pickled(objects([good, None])), "item 1 is NoneType, not an array"),
        "arrays of arrays in it": (pickled(objects([nested, good])), "item 0 is Array, not an array"),
        "floats": (pickled(objects([good.astype(np.float64)])), "type 'f8'; only i2, O8 are read"),
        "numbers alone": (pickled(good), "holds no array of arrays"),
        "a list": (pickled([good]), "holds no array of arrays"),
        "a dictionary": (pickled({"a": good}), "holds .*not a float array|no array of arrays"),
        "another length": (lying.replace(b"K\x01K\x01\x85", b"K\x01K\x07\x85", 1), "a list of 1 that is not"),
        "cut short": (lying[:-20], "."),
        "empty": (b"", "exhausted|."),
        "texts": (b"\x80\x03" + b"X\0\0\0\0" * 2_000_000 + b".", "more opcodes"),
        "lists": (flood, "more opcodes than so many arrays need"),
        "marks": (b"\x80\x03" + b"(" * 5_000_000 + b".", "more opcodes"),
        "appends to nothing": (b"\x80\x03)Na.", "damaged pickle"),
        "appends to an empty stack": (b"\x80\x03Na.", "damaged pickle"),
        "gigabytes": (b"\x80\x03T" + struct.pack("<i", 2**30) + b"x.", "expected 1073741824 bytes"),
        "half a character": (b"\x80\x03X\x01\x00\x00\x00\xff.", "UTF-8"),
        "a type of no letters": (b"\x80\x02cnumpy\ndtype\nU\x02\xff\xffK\x00K\x01\x87R.", "type"),
    }


HOSTILE = list(_hostile(Path("marker")))


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_npz_is_refused_quickly_and_runs_nothing(tmp_path: Path, case: str) -> None:
    marker = tmp_path / "executed"
    data, reason = _hostile(marker)[case]
    content = {**parts(), "valid": npy(objects([1]), data)}
    folder = write_npz(tmp_path / "q" / "cat.npz", content)
    start = time.process_time()
    with pytest.raises(ValueError, match=rf"cat\.npz: valid: .*({reason})"):
        load("quickdraw", folder)
    assert time.process_time() - start < 2.0
    assert not marker.exists()


def test_lists_have_no_place_in_a_dictionary_of_arrays() -> None:
    """What Quick, Draw! needs is not let into the files of others."""
    with pytest.raises(ValueError, match="EMPTY_LIST has no place"):
        arrays_of(pickled({"a": []}))
    with pytest.raises(ValueError, match="type 'i2'"):
        arrays_of(pickled({"a": np.zeros((1, 3), np.int16)}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content.pop("valid"), "lacks one of the arrays"),
        (lambda content: content.update(valid=b"x"), "valid: not a .npy file"),
        (lambda content: content.update(valid=npy(np.zeros((3, 3)))), "valid: holds float64, not arrays"),
        (lambda content: content.update(valid=npy(objects([]), b"") + bytes(2**25)), "unpacks to more than 100 times"),
        (lambda content: content.update({f"{n:0100}": b"" for n in range(700)}), "more members than are read here"),
    ],
)
def test_npz_files_of_another_kind(tmp_path: Path, change: Callable[[dict[str, bytes]], object], reason: str) -> None:
    content = parts()
    change(content)
    folder = write_npz(tmp_path / "q" / "cat.npz", content)
    with pytest.raises(ValueError, match=rf"cat\.npz: .*{reason}"):
        load("quickdraw", folder)


def test_an_array_too_large_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = parts()
    folder = write_npz(tmp_path / "q" / "cat.npz", content)
    assert len(load("quickdraw", folder)) == 17
    monkeypatch.setattr(quickdraw, "MAX_MEMBER_BYTES", len(content["train"]) - 1)
    monkeypatch.setenv("SKETCHCANVAS_CACHE", str(tmp_path / "nothing parsed yet"))
    with pytest.raises(ValueError, match=rf"cat\.npz: train\.npy: unpacks to {len(content['train']):,} bytes"):
        load("quickdraw", folder)


def test_a_member_that_is_compressed_in_another_way(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cat.npz", "w", zipfile.ZIP_LZMA) as archive:
        for part, content in parts().items():
            archive.writestr(f"{part}.npy", content)
    with pytest.raises(ValueError, match=r"cat\.npz: a member is compressed in a way that is not read here"):
        load("quickdraw", tmp_path)


def test_a_file_that_is_no_zip(tmp_path: Path) -> None:
    (tmp_path / "cat.npz").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(ValueError, match=r"cat\.npz: not a zip file"):
        load("quickdraw", tmp_path)
    path = write_npz(tmp_path / "q" / "cat.npz", parts()) / "cat.npz"
    data = bytearray(path.read_bytes())
    data[100] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"cat\.npz: "):
        load("quickdraw", tmp_path / "q")


def test_damaged_pickles_end_in_an_error_or_in_plain_arrays() -> None:
    rng = np.random.default_rng(0)
    drawings = objects([offsets(rng) for _ in range(4)])
    for protocol in (2, 3, 4):
        original = np.frombuffer(pickled(drawings, protocol), np.uint8)
        for round_ in range(1000):
            data = original.copy()
            places = rng.integers(0, 250 if round_ % 2 else len(data), rng.integers(1, 4))
            data[places] = rng.integers(0, 256, len(places))
            try:
                read = drawings_of(data.tobytes())
            except ValueError:
                continue
            assert all(array.dtype.kind == "i" and array.dtype.itemsize == 2 for array in read)
