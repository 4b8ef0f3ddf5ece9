"""A small made-up data set and its outcome table, so that tests need neither the shipped data nor a network.

A `conftest.py` that imports the fixtures `toy` and `toy_files` gives them to the tests beside it.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sketchcanvas_env import data
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes.looks import LookTable
from sketchcanvas_env.outcomes.prefixes import PrefixTable, strokes_drawn
from sketchcanvas_env.outcomes.reward import rank_of_true, triplet_loss
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.sketch import VectorSketch

TOY = "toy"
"""Name under which `toy` registers the data set."""

TOY_CANVASES = (16, 32, 64, 128)
TOY_FLOPS = (1.0e6, 4.0e6, 16.0e6, 64.0e6)
TOY_MILLISECONDS = (5.0, 4.0, 9.0, 20.0)  # measured, so the smallest canvas need not be the quickest
TOY_LATENCY = {"machine": {"cpu": "made up"}}
TOY_PHOTOS = {"student": 6, "train": 12, "val": 7, "test": 12}
TOY_LEVELS = 3


def toy_sketch(row: int) -> VectorSketch:
    """A drawing of one to five wavy strokes that depends on the row alone."""
    rng = np.random.default_rng([row, 7])
    strokes = []
    for _ in range(int(rng.integers(1, 6))):
        n = int(rng.integers(1, 30))
        walk = rng.uniform(0.1, 0.9, 2) + np.cumsum(rng.normal(0, 0.03, (n, 2)), axis=0)
        strokes.append(np.clip(walk, 0.0, 1.0))
    return VectorSketch.from_strokes(strokes)


def toy_photo(photo_id: str) -> np.ndarray:
    """A plain colour that depends on the id, with a white border; (40, 40, 3) uint8."""
    photo = np.full((40, 40, 3), 255, dtype=np.uint8)
    photo[4:-4, 4:-4] = np.frombuffer(hashlib.sha256(photo_id.encode()).digest()[:3], dtype=np.uint8)
    return photo


def toy_dataset(name: str = TOY) -> SketchDataset:
    """`TOY_PHOTOS` photos a split with `TOY_LEVELS` sketches each."""
    photos = {split: [f"{split}-{i}" for i in range(n)] for split, n in TOY_PHOTOS.items()}
    rows = [(photo, split, level) for split, ids in photos.items() for photo in ids for level in range(TOY_LEVELS)]
    # Splits lie mixed, as they do in real data: row numbers of a split are not consecutive.
    order = np.random.default_rng(5).permutation(len(rows))
    rows = [rows[i] for i in order]
    ids = np.array([f"{photo}/{level}" for photo, _, level in rows])
    return SketchDataset(
        name=name,
        hash=hashlib.sha256(("toy data, version 1" + name).encode()).hexdigest(),
        sketch_ids=ids,
        photo_ids=np.array([photo for photo, _, _ in rows]),
        split=np.array([split for _, split, _ in rows]),
        level=np.array([level for _, _, level in rows], dtype=np.int8),
        galleries={split: np.array(names) for split, names in photos.items()},
        licence="none needed",
        read_sketch=toy_sketch,
        read_photo=toy_photo,
    )


def toy_distances(dataset: SketchDataset, seed: int = 0) -> Iterator[tuple[list[str], int, np.ndarray]]:
    """What the made-up student sees: gallery, place of the true photo, distances (K, G); for each row of its table."""
    rng = np.random.default_rng(seed)
    for row in np.flatnonzero(dataset.split != "student"):
        gallery = dataset.gallery(str(dataset.split[row])).tolist()
        true = gallery.index(str(dataset.photo_ids[row]))
        between = []
        for j in range(len(TOY_CANVASES)):
            d = rng.uniform(0.4, 1.6, len(gallery)).astype(np.float32)
            d[true] = max(0.0, d[true] - 0.25 * j - 0.3 * rng.random())
            between.append(d)
        yield gallery, true, np.stack(between)


def toy_table(dataset: SketchDataset | None = None, seed: int = 0, **changes: object) -> OutcomeTable:
    """Outcomes of a made-up student that gets better with the canvas, on `dataset` without its student split.

    Args:
        dataset: `toy_dataset()` if None.
        seed: of the student.
        changes: fields to replace.
    """
    dataset = dataset or toy_dataset()
    kept = np.flatnonzero(dataset.split != "student")
    photos = sorted({photo for split in ("train", "val", "test") for photo in dataset.gallery(split).tolist()})
    shape = (len(kept), len(TOY_CANVASES))
    ranks, distances = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    triplet, top = np.zeros(shape, np.float32), np.full((*shape, 5), -1)
    for i, (gallery, true, between) in enumerate(toy_distances(dataset, seed)):
        for j, d in enumerate(between):
            ranks[i, j] = rank_of_true(d, true)
            distances[i, j] = d[true]
            triplet[i, j] = triplet_loss(d, true)
            nearest = [photos.index(gallery[k]) for k in np.argsort(d, kind="stable")[:5]]
            top[i, j, : len(nearest)] = nearest
    fields: dict[str, object] = {
        "dataset": dataset.name,
        "dataset_hash": dataset.hash,
        "student": "made_up",
        "student_hash": "0" * 64,
        "canvases": np.array(TOY_CANVASES),
        "flops": np.array(TOY_FLOPS),
        "ranks": ranks,
        "distances": distances,
        "triplet": triplet,
        "top": top,
        "photos": np.array(photos),
        "sketch_ids": dataset.sketch_ids[kept],
        "photo_ids": dataset.photo_ids[kept],
        "split": dataset.split[kept],
        "level": dataset.level[kept],
        "gallery_size": {split: len(dataset.gallery(split)) for split in ("train", "val", "test")},
        "meta": {"made_by": "tests", "latency": TOY_LATENCY},
        "milliseconds": np.array(TOY_MILLISECONDS),
    }
    return OutcomeTable(**{**fields, **changes})  # type: ignore[arg-type]


def toy_looks(table: OutcomeTable, dataset: SketchDataset | None = None, seed: int = 0, **changes: object) -> LookTable:
    """What `toy_table` leaves out of the same student's outcomes; all sets of canvases are fused.

    Args:
        table: that table.
        dataset: as there.
        seed: as there.
        changes: fields to replace.
    """
    sets = [each for each in range(1, 1 << len(TOY_CANVASES)) if each.bit_count() > 1]
    distances = np.full((len(table), len(TOY_CANVASES), 5), 2.0)
    shares = [
        [softmax(-(d.astype(np.float64) ** 2) / 0.2) for d in each]
        for *_, each in toy_distances(dataset or toy_dataset(), seed)
    ]
    ranks, triplet = np.zeros((len(table), len(sets)), np.int64), np.zeros((len(table), len(sets)))
    for i, (_, true, between) in enumerate(toy_distances(dataset or toy_dataset(), seed)):
        near = np.sort(between, axis=1)[:, :5]
        distances[i, :, : near.shape[1]] = near
        for column, each in enumerate(sets):
            looks = [d.astype(np.float64) ** 2 for j, d in enumerate(between) if each >> j & 1]
            fused = np.sqrt(sum(looks) / len(looks))
            ranks[i, column], triplet[i, column] = rank_of_true(fused, true), triplet_loss(fused, true)
    fields: dict[str, object] = {
        "outcomes_hash": table.hash,
        "distances": distances,
        "fused_of": np.array(sets),
        "fused_ranks": ranks,
        "fused_triplet": triplet,
        "meta": {"made_by": "tests"},
        "temperatures": np.full(len(TOY_CANVASES), 0.2),
        "confidence": np.array([[p.max() for p in each] for each in shares]),
        "entropy": np.array([[-(p * np.log(p)).sum() / np.log(len(p)) for p in each] for each in shares]),
        "apart": np.random.default_rng(3).uniform(0, 2, distances.shape[:2]),
    }
    if "distances" in changes:  # confidence would be of other distances
        fields.update(dict.fromkeys(LookTable.OPTIONAL))
    return LookTable(**{**fields, **changes})  # type: ignore[arg-type]


def softmax(x: np.ndarray) -> np.ndarray:
    """Shares of exp(x) in their sum."""
    return np.exp(x) / np.exp(x).sum()


def toy_prefixes(table: OutcomeTable, dataset: SketchDataset | None = None, **changes: object) -> PrefixTable:
    """Outcomes while toy drawings appear: of made-up distances, apart from whole drawings, which `table` speaks of.

    Args:
        table: the whole table.
        dataset: what it was made from, `toy_dataset()` if None.
        changes: fields to replace.
    """
    dataset = dataset or toy_dataset()
    rng = np.random.default_rng(17)
    row_of = {name: row for row, name in enumerate(dataset.sketch_ids.tolist())}
    photo_at = {photo: index for index, photo in enumerate(table.photos.tolist())}
    strokes, rows = [], []
    for i, name in enumerate(table.sketch_ids.tolist()):
        strokes.append(dataset.sketch(row_of[name]).n_strokes)
        gallery = dataset.gallery(str(table.split[i])).tolist()
        true = gallery.index(str(table.photo_ids[i]))
        for step in range(len(strokes_drawn(strokes[-1]))):
            d = rng.uniform(0.4, 1.6, (table.n_canvases, len(gallery)))
            d[:, true] = np.maximum(0.0, d[:, true] - 0.1 * step)
            near = np.argsort(d, axis=1, kind="stable")[:, :5]
            top, distances = np.full((table.n_canvases, 5), -1), np.full((table.n_canvases, 5), 2.0)
            top[:, : near.shape[1]] = np.array([photo_at[photo] for photo in gallery])[near]
            distances[:, : near.shape[1]] = np.take_along_axis(d, near, axis=1)
            rows.append((rank_of_true(d, true), triplet_loss(d, true), top, distances))
        rows[-1] = (table.ranks[i], table.triplet[i], table.top[i], rows[-1][3])
    fields: dict[str, object] = {
        "outcomes_hash": table.hash,
        "canvases": table.canvases,
        "strokes": np.array(strokes),
        **{
            name: np.stack(found)
            for name, found in zip(("ranks", "triplet", "top", "distances"), zip(*rows, strict=True), strict=True)
        },
        "meta": {"made_by": "tests"},
    }
    return PrefixTable(**{**fields, **changes})  # type: ignore[arg-type]


def table_of(ranks: object, flops: object = None, **changes: object) -> OutcomeTable:
    """A table with the given ranks, for tests of what is computed from ranks; one photo for each sketch.

    Args:
        ranks: (N, K) ranks from 1 to 1000.
        flops: (K,) costs; 1, 4, 16, ... if None.
        changes: fields to replace.
    """
    ranks = np.asarray(ranks)
    n, k = ranks.shape
    top = np.full((n, k, 5), n)
    for place in range(5):
        top[..., place] = np.where(ranks == place + 1, np.arange(n)[:, None], n)
    fields: dict[str, object] = {
        "dataset": "made_up",
        "dataset_hash": "1" * 64,
        "student": "made_up",
        "student_hash": "2" * 64,
        "canvases": 8 * 2 ** np.arange(k),
        "flops": 4.0 ** np.arange(k) if flops is None else np.asarray(flops),
        "ranks": ranks,
        "distances": np.full((n, k), 0.5, dtype=np.float32),
        "triplet": np.full((n, k), 0.1, dtype=np.float32),
        "top": top,
        "photos": np.array([f"p{i}" for i in range(n + 1)]),
        "sketch_ids": np.array([f"p{i}/0" for i in range(n)]),
        "photo_ids": np.array([f"p{i}" for i in range(n)]),
        "split": np.full(n, "test"),
        "level": np.zeros(n, dtype=np.int8),
        "gallery_size": {"test": 1000},
        "meta": {},
    }
    return OutcomeTable(**{**fields, **changes})  # type: ignore[arg-type]


class Pixels:
    """An embedder that looks at the first point of a sketch and the colour of a photo: nonsense, but exact."""

    name = "pixels"
    weights_hash = "none"
    canvases = (16, 32)

    def flops(self, canvas: int) -> float:
        return 1e9 * canvas

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        return unit(np.stack([np.append(s.strokes[0][0] + canvas / 100, 0.5) for s in sketches]))

    def embed_photos(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        return unit(images[:, 20, 20].astype(np.float32) / 255)


def unit(x: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, float32."""
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class Toy:
    """The toy data set, registered under the name "toy", and its table, as an object and as a file.

    Attributes:
        dataset: the data set.
        table: its outcomes, all splits and canvases.
        kwargs: JSON-able arguments that make an environment of the two.
    """

    dataset: SketchDataset
    table: OutcomeTable
    kwargs: dict[str, object]


@pytest.fixture(scope="session")
def toy_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[SketchDataset, OutcomeTable, Path]:
    """The toy data set, its table, and the table's file, with looks and prefixes beside it."""
    dataset = toy_dataset()
    table = toy_table(dataset)
    path = table.save(tmp_path_factory.mktemp("toy") / "toy.npz")
    toy_looks(table, dataset).save(LookTable.path_beside(path))
    toy_prefixes(table, dataset).save(PrefixTable.path_beside(path))
    return dataset, table, path


@pytest.fixture
def toy(toy_files: tuple[SketchDataset, OutcomeTable, Path], monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The toy data set under its name for the time of a test; see `Toy`."""
    dataset, table, path = toy_files
    monkeypatch.setitem(data.DATASETS, TOY, lambda: dataset)
    return Toy(dataset, table, {"dataset": TOY, "table": str(path), "canvases": TOY_CANVASES, "max_points": 40})


def chairv2_folder() -> Path | None:
    """QMUL's ChairV2 if this machine has it: $SKETCHCANVAS_CHAIRV2, or `../shared/data/ChairV2` beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "data" / "ChairV2"
    folder = Path(os.environ.get("SKETCHCANVAS_CHAIRV2", beside))
    return folder if (folder / "ChairV2_Coordinate").is_file() else None


def qmul_arrays(train: int = 10, test: int = 4, sketches: int = 2) -> dict[str, np.ndarray]:
    """Made-up content of a `ChairV2_Coordinate`: photos `c0_v1`, `c1_v1`, ..., the first of them in the train part."""
    arrays = {}
    for photo in range(train + test):
        rng = np.random.default_rng([photo, 11])
        for k in range(1, sketches + 1):
            n = int(rng.integers(4, 30))
            last = (rng.random(n) < 0.2).astype(np.float64)
            last[-1] = 1.0
            part = "train" if photo < train else "test"
            arrays[f"/{part}/c{photo}_v1_{k}"] = np.column_stack([rng.uniform(33.0, 223.0, (n, 2)), last])
    return arrays


def write_qmul(
    folder: Path, arrays: dict[str, np.ndarray], release: str = "ChairV2", photo_folder: str = "photo"
) -> Path:
    """A data set in QMUL's published layout: the pickle, and a photo of 256 x 256 for every one that its keys name."""
    from PIL import Image

    (folder / photo_folder).mkdir(parents=True, exist_ok=True)
    (folder / f"{release}_Coordinate").write_bytes(pickle.dumps(arrays, protocol=3))
    for photo in {key.split("/")[2].rpartition("_")[0] for key in arrays}:
        picture = Image.fromarray(toy_photo(photo)).resize((256, 256), Image.Resampling.NEAREST)
        picture.save(folder / photo_folder / f"{photo}.png")
    return folder
