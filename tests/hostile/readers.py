"""The readers of untrusted files: the errors that each promises, and a good file."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

import students
from agents.algorithms.common.training import Run
from agents.onnx.selector import OnnxCascade, OnnxSelector
from agents.selectors import networks as selectors
from agents.selectors.observation import SeenLook
from agents.store import saved
from sketchcanvas_env.data.formats.unpickle import arrays_of
from sketchcanvas_env.data.pictures.photos import on_white, padded, read_picture, read_png
from sketchcanvas_env.outcomes.looks import LookTable
from sketchcanvas_env.outcomes.prefixes import PrefixTable
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.npz import write_npz
from sketchcanvas_env.storage.table_file import TableError
from sketchcanvas_env.storage.untrusted import read_inside
from sketchcanvas_env.svg.reader import SvgError, read_svg
from students.onnx.runtime import OnnxStudent
from students.search.index import PhotoIndex
from students.search.index import load as load_index
from students.store import checkpoint
from students.store.weights import load_student, save_student
from students.training.pool import renderings
from tests.agents.support import small
from tests.helpers import qmul_arrays, toy_looks, toy_prefixes, toy_sketch, toy_table

LIMIT = 64 << 20
_STAMPS = count(10**18, 10**9)


@dataclass(frozen=True)
class Reader:
    """A reader as the tests see it.

    Attributes:
        suffix: of its files.
        read: takes the path of a file.
        errors: what it may raise for a file that is there.
        good: the bytes of a file that it reads, and of its card where it wants one.
        sealed: the card with the sha256 of other bytes in it, so that the checks behind that one are reached.
        name: of its files, without the suffix.
        card: name of the card, without ".json"; None where the card stands in the safetensors file's metadata.
        beside: what else must lie there, by name.
    """

    suffix: str
    read: Callable[[Path], object]
    errors: type[Exception]
    good: Callable[[], tuple[bytes, bytes | None]]
    sealed: Callable[[dict[str, Any], str], dict[str, Any]] | None = None
    name: str = "hostile"
    card: str | None = "hostile"
    beside: Callable[[], dict[str, bytes]] = dict


def write(reader: Reader, folder: Path, data: bytes | None = None, card: bytes | None = None) -> Path:
    """A file for a reader, with what is given in place of the good content; a JSON card that is given is sealed."""
    good, good_card = reader.good()
    path = folder / f"{reader.name}{reader.suffix}"
    for name, other in reader.beside().items():
        (folder / name).write_bytes(other)
    content = good if data is None else data
    path.write_bytes(content)
    if good_card is not None and reader.card is None:
        path.write_bytes(with_card(content, good_card if card is None else card, sealed=card is None))
    elif good_card is not None:
        text = good_card if card is None else card
        if card is None and reader.sealed is not None:
            text = json.dumps(reader.sealed(json.loads(text), hashlib.sha256(content).hexdigest())).encode()
        (folder / f"{reader.card}.json").write_bytes(text)
    # A reader that remembers a file by its time and size must not take one for another that was made as fast.
    stamp = next(_STAMPS)
    os.utime(path, ns=(stamp, stamp))
    return path


def with_card(data: bytes, card: bytes, sealed: bool) -> bytes:
    """A safetensors file with a card in its metadata, `sealed` with the SHA-256 of the rest; no such file as it is."""
    size = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + size], data[8 + size :]
    try:
        tensors = json.loads(header)
    except (ValueError, RecursionError):
        return data
    if len(header) < size or not isinstance(tensors, dict):
        return data
    if sealed:
        text = json.dumps(tensors, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        digest = hashlib.sha256(len(text).to_bytes(8, "little") + text + body).hexdigest()
        card = json.dumps({**json.loads(card), "sha256": digest}).encode()
    # Inserted as text: a name that stands twice in the header does so still.
    metadata = json.dumps({"sketchcanvas": card.decode(errors="surrogateescape")}).encode()
    rest = header.lstrip()[1:]
    header = b'{"__metadata__":' + metadata + (b"," if tensors else b"") + rest
    return len(header).to_bytes(8, "little") + header + body


def without_card(data: bytes) -> tuple[bytes, bytes]:
    """A safetensors file without its metadata, and the card that stood there."""
    size = int.from_bytes(data[:8], "little")
    tensors = json.loads(data[8 : 8 + size])
    card = tensors.pop("__metadata__")["sketchcanvas"].encode()
    header = json.dumps(tensors, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + size :], card


def svg(body: str, attributes: str = 'viewBox="0 0 100 100"') -> bytes:
    """An SVG around some elements."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" {attributes}>{body}</svg>'.encode()


def _svg() -> tuple[bytes, None]:
    return svg(
        '<title>t</title><g fill="none" stroke="black" transform="translate(3,4) rotate(20 1 2)">'
        '<path d="M10 50 A 40 40 0 0 1 90 50 c 1 2 3 4 5 6 s 1 1 2 2 q 1 2 3 4 t 5 6 h 3 v 4 z"/>'
        '<polyline points="1,2 3,4 5 6"/><rect x="3" y="4" width="30" height="20" rx="3"/></g>'
        '<circle cx="50" cy="50" r="30" style="fill:none;stroke:#000"/>'
    ), None


def _pickle() -> tuple[bytes, None]:
    return pickle.dumps(qmul_arrays(train=2, test=1, sketches=1), protocol=3), None


def _png() -> tuple[bytes, None]:
    body = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24, 4), dtype=np.uint8)).save(body, format="PNG")
    return body.getvalue(), None


def _jpeg() -> tuple[bytes, None]:
    body = io.BytesIO()
    turned = Image.Exif()
    turned[0x112] = 6
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8)).save(
        body, format="JPEG", exif=turned
    )
    return body.getvalue(), None


@lru_cache
def _table() -> tuple[bytes, None]:
    with TemporaryDirectory() as folder:
        return _toy().save(Path(folder) / "t.npz").read_bytes(), None


@lru_cache
def _toy() -> OutcomeTable:
    return toy_table()


@lru_cache
def _looks() -> tuple[bytes, None]:
    with TemporaryDirectory() as folder:
        looks = replace(toy_looks(_toy()), temperatures=None, confidence=None, entropy=None, apart=None)
        return looks.save(Path(folder) / "t.npz").read_bytes(), None


@lru_cache
def _prefixes() -> tuple[bytes, None]:
    with TemporaryDirectory() as folder:
        return toy_prefixes(_toy()).save(Path(folder) / "t.npz").read_bytes(), None


@lru_cache
def _renderings() -> tuple[bytes, None]:
    arrays = {
        "photos": np.zeros((2, renderings.SIDE, renderings.SIDE, 3), np.uint8),
        "photo_names": np.array(["a", "b"]),
        "sketch_names": np.array(["c"]),
        "icon_names": np.array(["a"]),
        "stroke5": np.array([[0.1, 0.1, 1, 0, 0], [0.2, 0.3, 0, 1, 0]] * 2, np.float32),
        "ends": np.array([2, 4]),
    }
    with TemporaryDirectory() as folder:
        write_npz(Path(folder) / "r.npz", arrays)
        return (Path(folder) / "r.npz").read_bytes(), None


def _read_looks(path: Path) -> object:
    return LookTable.load_beside(_toy(), path)


def _read_prefixes(path: Path) -> object:
    return PrefixTable.load_beside(_toy(), path)


@lru_cache
def _student() -> tuple[bytes, bytes]:
    heads = [{"stride": 32, "grid": 1, "dim": 4, "share": 1.0}]
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        path = save_student(
            students.create("mobilenet_v3_small", canvases=(32,), photo_side=32, heads=heads),
            Path(folder) / "s.safetensors",
            {},
        )
        return without_card(path.read_bytes())


@lru_cache
def _selector() -> tuple[bytes, bytes]:
    from agents.evaluation.setting import EnvConfig

    config = small("reinforce", EnvConfig(canvases=(16, 32, 64, 128), max_points=40))
    from sketchcanvas_env.sketches.features import FEATURE_NAMES

    torch.manual_seed(0)
    network = selectors.create("stats", 4, len(FEATURE_NAMES), 8)
    run = Run(config, network, config.total_steps, 1.0)
    with TemporaryDirectory() as folder:
        path = saved.save(Path(folder) / "s", run, toy_table())
        return without_card(path.read_bytes())


def _cascade() -> saved.SavedCascade:
    """One that looks several times; with as many actions as the good student's embeddings have dimensions."""
    from agents.evaluation.setting import CascadeConfig
    from sketchcanvas_env.sketches.features import FEATURE_NAMES

    torch.manual_seed(0)
    network = selectors.create("looks", 4, len(FEATURE_NAMES), 8, masked=True).eval()
    env = dataclasses.asdict(CascadeConfig(canvases=(16, 32, 64), max_points=40))
    card = {"sha256": "a" * 64, "algorithm": "by hand", "trained_on": {}, "config": {"env": env}}
    return saved.SavedCascade(network, (16, 32, 64), 40, card, (1.0, 3.0, 12.0))


@lru_cache
def _index() -> tuple[bytes, bytes]:
    embeddings = np.eye(3, 4, dtype=np.float32)
    index = PhotoIndex(
        ("a.png", "b.png", "c/d.png"), embeddings, "emoji", "a" * 64, "folder", "pictures", (("e", "bad"),)
    )
    with TemporaryDirectory() as folder:
        path = index.save(Path(folder) / "i")
        return without_card(path.read_bytes())


@lru_cache
def _exports() -> dict[str, bytes]:
    """Files of an exported student and of an exported selector, by name."""
    from agents.onnx import export as of_selectors
    from students.onnx import export as onnx_export

    with TemporaryDirectory() as place:
        folder = Path(place)
        student = load_student(write(READERS["student"], folder))
        selector = saved.load(write(READERS["selector"], folder))
        onnx_export.export(student, folder / "export", [toy_sketch(0)])
        of_selectors.export(selector, folder / "export", [toy_sketch(0)])
        return {path.name: path.read_bytes() for path in (folder / "export").iterdir()}


@lru_cache
def _exported_cascade() -> tuple[bytes, bytes]:
    from agents.onnx.export import export

    with TemporaryDirectory() as folder:
        export(_cascade(), folder, [toy_sketch(0)])
        return (Path(folder) / "selector.onnx").read_bytes(), (Path(folder) / "selector.json").read_bytes()


def _exported_student() -> tuple[bytes, bytes]:
    return _exports()["student-32.onnx"], _exports()["student.json"]


def _beside_student() -> dict[str, bytes]:
    return {name: _exports()[name] for name in ("student-photo.onnx", "student.bin")}


def _exported_selector() -> tuple[bytes, bytes]:
    return _exports()["selector.onnx"], _exports()["selector.json"]


def _use_student(path: Path) -> object:
    return OnnxStudent.load(path.parent, threads=1).embed([toy_sketch(0)], 32)


def _use_selector(path: Path) -> object:
    return OnnxSelector.load(path.parent)(toy_sketch(0))


def _use_cascade(path: Path) -> object:
    found = OnnxSelector.load(path.parent)
    assert isinstance(found, OnnxCascade)
    first = found(toy_sketch(0))
    return found.next(toy_sketch(0), [SeenLook(first, ["a", "b"], [0.5, 0.6])])


def _field(name: str) -> Callable[[dict[str, Any], str], dict[str, Any]]:
    return lambda card, sha256: {**card, name: sha256}


def _file(name: str) -> Callable[[dict[str, Any], str], dict[str, Any]]:
    return lambda card, sha256: {**card, "files": {**card["files"], name: sha256}}


def _checkpoint() -> tuple[bytes, None]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "c.safetensors"
        checkpoint.save(path, {"weights.w": torch.ones(3, 2)}, {"config": {"seed": 1}, "steps": 3})
        return path.read_bytes(), None


def _photo(path: Path) -> object:
    return on_white(read_png(read_inside(path.parent, path, LIMIT)))


def _picture(path: Path) -> object:
    return on_white(padded(read_picture(read_inside(path.parent, path, LIMIT))))


READERS = {
    "svg": Reader(".svg", read_svg, SvgError, _svg),
    "pickle": Reader("_Coordinate", lambda path: arrays_of(path.read_bytes()), ValueError, _pickle),
    "png": Reader(".png", _photo, ValueError, _png),
    "jpeg": Reader(".jpg", _picture, ValueError, _jpeg),
    "table": Reader(".npz", OutcomeTable.load, TableError, _table),
    "looks": Reader(".npz", _read_looks, TableError, _looks),
    "prefixes": Reader(".npz", _read_prefixes, TableError, _prefixes),
    "renderings": Reader(".npz", renderings.read, ValueError, _renderings),
    "student": Reader(".safetensors", load_student, ValueError, _student, card=None),
    "selector": Reader(".safetensors", saved.load, ValueError, _selector, card=None),
    "index": Reader(".safetensors", load_index, ValueError, _index, card=None),
    "checkpoint": Reader(".safetensors", lambda path: checkpoint.load(path, {"seed": 1}), ValueError, _checkpoint),
    "onnxstudent": Reader(
        ".onnx",
        _use_student,
        ValueError,
        _exported_student,
        _file("student-32.onnx"),
        "student-32",
        "student",
        _beside_student,
    ),
    "onnxselector": Reader(
        ".onnx", _use_selector, ValueError, _exported_selector, _file("selector.onnx"), "selector", "selector"
    ),
    "onnxcascade": Reader(
        ".onnx", _use_cascade, ValueError, _exported_cascade, _file("selector.onnx"), "selector", "selector"
    ),
}

EXPORTS = tuple(name for name in READERS if name.startswith("onnx"))
