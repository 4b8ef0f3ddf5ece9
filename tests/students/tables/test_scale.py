"""Tabulating many sketches: blocks, interruptions, ties in large galleries, and memory that stays bounded."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.data.dataset import MAX_CONDITIONS, NO_CONDITION
from sketchcanvas_env.outcomes.reward import rank_of_true
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage import names, npz
from students.network.embedder import Student
from students.tables import blocks, ranking, tabulate
from students.tables.ranking import euclidean, nearest
from students.tables.tabulate import build_table
from tests.helpers import Pixels, toy_dataset, toy_photo

SMALL = 7


class Counting(Pixels):
    """Counts what it embeds, and is interrupted when asked for more than `most` batches of sketches."""

    def __init__(self, most: int | None = None, weights_hash: str = "a", shift: float = 0.0) -> None:
        self.most = most
        self.weights_hash = weights_hash
        self.shift = shift
        self.sketches = self.photos = 0
        self._batches = 0

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        if self._batches == self.most:
            raise KeyboardInterrupt
        self._batches += 1
        self.sketches += len(sketches)
        turned = super().embed(sketches, canvas) + self.shift * np.array([1, -1, 0])
        return (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)

    def embed_photos(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        self.photos += len(images)
        assert images.flags.writeable, "torch warns of arrays that are not"
        return super().embed_photos(images)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", SMALL)


def read_only(photo_id: str) -> np.ndarray:
    """A photo as the loaders decode it: Pillow's arrays cannot be written to."""
    photo = toy_photo(photo_id)
    photo.flags.writeable = False
    return photo


def rows_and_photos(dataset: SketchDataset) -> tuple[int, int]:
    """Number of sketches and photos that a table speaks of."""
    return int((dataset.split != "student").sum()), sum(len(dataset.gallery(s)) for s in ("train", "val", "test"))


# ---------------------------------------------------------------- blocks and interruptions


@pytest.mark.parametrize(("block", "piece", "chunk"), [(1, 1, 1), (5, 30, 4), (1000, 1 << 22, 256)])
def test_a_table_does_not_depend_on_how_the_work_is_cut(
    monkeypatch: pytest.MonkeyPatch, block: int, piece: int, chunk: int
) -> None:
    whole = tabulate.tabulate(Pixels(), toy_dataset())
    monkeypatch.setattr(blocks, "BLOCK", block)
    monkeypatch.setattr(ranking, "_PIECE", piece)
    monkeypatch.setattr(ranking, "_CHUNK", chunk)
    assert tabulate.tabulate(Pixels(), toy_dataset()).hash == whole.hash


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("most", [0, 1, 2, 9])
def test_an_interrupted_build_goes_on_at_the_last_finished_block(tmp_path: Path, most: int) -> None:
    dataset, path = replace(toy_dataset(), read_photo=read_only), tmp_path / "table.npz"
    with pytest.raises(KeyboardInterrupt):
        build_table(Counting(most), dataset, path)
    assert [each.name for each in tmp_path.iterdir()] == ["table.npz.unfinished"]
    again = Counting()
    table = build_table(again, dataset, path)
    rows, _ = rows_and_photos(dataset)
    assert again.sketches == 2 * (rows - SMALL * (most // 2)), "a block is two batches, one for each canvas"
    assert again.photos == 1, "one photo tells the length of an embedding; the others are stored"
    assert [each.name for each in tmp_path.iterdir()] == ["table.npz"]
    assert table.hash == tabulate.tabulate(Counting(), dataset).hash
    uninterrupted = build_table(Counting(), dataset, tmp_path / "other.npz")
    assert path.read_bytes() == (tmp_path / "other.npz").read_bytes()
    assert OutcomeTable.load(path).hash == uninterrupted.hash


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("change", ["weights", "canvases", "data"])
def test_leftovers_of_another_build_are_not_used(tmp_path: Path, change: str) -> None:
    dataset, path = toy_dataset(), tmp_path / "table.npz"
    with pytest.raises(KeyboardInterrupt):
        build_table(Counting(7, shift=0.5), dataset, path)
    kept = sorted((tmp_path / "table.npz.unfinished").iterdir())
    student = Counting(weights_hash="b" if change == "weights" else "a")
    canvases = (16,) if change == "canvases" else None
    if change == "data":
        dataset = replace(dataset, hash="0" * 64)
    table = build_table(student, dataset, path, canvases)
    rows, photos = rows_and_photos(dataset)
    assert student.sketches == rows * len(table.canvases)
    assert student.photos == photos + 1
    assert table.hash == tabulate.tabulate(student, dataset, canvases).hash
    # They are not removed either: their own build may be running.
    assert sorted((tmp_path / "table.npz.unfinished").iterdir()) == kept


KILLED = """
import os, signal, sys
from students.tables import blocks
from students.tables.tabulate import build_table
from tests.helpers import Pixels, toy_dataset
from tests.students.tables.test_scale import Counting

class Killed(Counting):
    def embed(self, *args, **kwargs):
        if self._batches == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().embed(*args, **kwargs)

blocks.BLOCK = 7
build_table(Killed(), toy_dataset(), sys.argv[1])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.usefixtures("small_blocks")
def test_a_killed_process_leaves_blocks_and_no_table(tmp_path: Path) -> None:
    path = tmp_path / "table.npz"
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment, cwd=root, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not path.exists()
    dataset, again = toy_dataset(), Counting()
    table = build_table(again, dataset, path)
    assert again.sketches == 2 * (rows_and_photos(dataset)[0] - 4 * SMALL)
    assert table.hash == tabulate.tabulate(Counting(), dataset).hash


def test_a_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    student = Counting()
    with pytest.raises(IsADirectoryError):
        build_table(student, toy_dataset(), tmp_path)
    assert student.sketches == 0


def test_a_student_that_was_never_saved_keeps_no_blocks(tmp_path: Path) -> None:
    """Two of them have one hash."""
    unsaved = Student().weights_hash
    tabulate.tabulate(Counting(weights_hash=unsaved), toy_dataset())
    with pytest.raises(ValueError, match="never saved"):
        tabulate.tabulate(Counting(weights_hash=unsaved), toy_dataset(), folder=tmp_path)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- large tables


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("interrupted", [False, True])
def test_a_large_table_goes_from_blocks_to_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    dataset, path = toy_dataset(), tmp_path / "table.npz"
    small = build_table(Counting(), dataset, tmp_path / "small.npz")
    monkeypatch.setattr(npz, "MAPPED_FROM", 0)
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            build_table(Counting(5), dataset, path)
    table = build_table(Counting(), dataset, path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["small.npz", "table.npz"]
    for large in (table, OutcomeTable.load(path), tabulate.tabulate(Counting(), dataset)):
        assert large.hash == small.hash
        assert not large.ranks.flags.writeable and large.ranks.base is not None, "mapped"
    assert path.stat().st_size > (tmp_path / "small.npz").stat().st_size


# ---------------------------------------------------------------- ranking


def units(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    vectors = rng.normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("dim", [5, 576, 2304])
def test_distances_are_those_of_exact_arithmetic(dim: int) -> None:
    """Then no processor, library or order of summation can change them."""
    rng = np.random.default_rng(dim)
    photos, queries = units(rng, 4, dim), units(rng, 3, dim)
    photos[3] = queries[2]
    for query, row in zip(queries, euclidean(queries, photos), strict=True):
        for photo, distance in zip(photos, row.tolist(), strict=True):
            steps = [[round(float(x) / ranking.STEP) for x in vector] for vector in (query, photo)]
            cosine = float(Fraction(ranking.STEP) ** 2 * sum(a * b for a, b in zip(*steps, strict=True)))
            assert distance == math.sqrt(min(max(2.0 - 2.0 * cosine, 0.0), 4.0))


@pytest.mark.processors
@pytest.mark.parametrize("dim", [5, 576, 2304])
def test_equal_photos_are_at_equal_distances_wherever_they_stand(dim: int) -> None:
    """BLAS rounds what is left over beside its tiles otherwise; a tie must not be lost to that."""
    rng = np.random.default_rng(dim)
    photos, queries = units(rng, 37, dim), units(rng, 65, dim)
    alone = euclidean(queries[-1:], photos[-1:])[0, 0]
    assert alone == pytest.approx(np.linalg.norm(queries[-1].astype(float) - photos[-1].astype(float)), abs=1e-6)
    for size in (351, 512 + 39, 4097):
        which = np.arange(size) % 37
        for n in (1, 3, 63, 65):
            between = euclidean(queries[-n:], photos[which])
            assert (between == between[:, which]).all()
            assert between[-1, 36] == alone
            # Every copy of the true photo but itself is another photo at the same distance.
            true = np.full(n, size - 1)
            copies = int((which == which[-1]).sum())
            nearer = (between < between[:, [-1]]).sum(axis=1)
            assert (rank_of_true(between, true) == nearer + copies).all()


@pytest.mark.parametrize("size", [1, 4, 5, 6, 3000])
@pytest.mark.parametrize("levels", [1, 3, 10**6])
def test_nearest_is_a_stable_sort(size: int, levels: int) -> None:
    distances = np.random.default_rng(size).integers(0, levels, (20, size)) / levels
    np.testing.assert_array_equal(nearest(distances, 5), np.argsort(distances, axis=1, kind="stable")[:, :5])


# ---------------------------------------------------------------- memory


class Weighed(Pixels):
    """Notes the most memory that was in use until it was last asked, in bytes."""

    peak = 0

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        self.peak = tracemalloc.get_traced_memory()[1]
        return super().embed(sketches, canvas)


def repeated(dataset: SketchDataset, times: int) -> SketchDataset:
    """The data set with every sketch of `train` so many times."""
    rows = np.tile(dataset.indices("train"), times)
    drawings = [dataset.sketch(int(row)) for row in dataset.indices("train")]
    return replace(
        dataset,
        sketch_ids=np.arange(len(rows)).astype(str),
        photo_ids=dataset.photo_ids[rows],
        split=dataset.split[rows],
        level=dataset.level[rows],
        read_sketch=lambda row: VectorSketch(drawings[row % len(drawings)].strokes),
    )


def test_memory_does_not_grow_with_the_number_of_sketches(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 bytes a sketch are row numbers, and 64 bits of its id are sorted when the table is put together and checked.

    Without mapping it would be over 200 bytes: two canvases and the names of a sketch, and copies of them.
    """
    monkeypatch.setattr(npz, "MAPPED_FROM", 0)
    monkeypatch.setattr(names, "BLOCK", 512)
    streaming, whole, lengths = [], [], []
    for times in (40, 400):
        dataset, student = repeated(toy_dataset(), times), Weighed()
        tracemalloc.start()
        try:
            table = tabulate.tabulate(student, dataset)
            table.select("train")
            assert table.hash
            whole.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        streaming.append(student.peak)
        lengths.append(len(dataset))
    assert lengths == [1440, 14400]
    assert (streaming[1] - streaming[0]) / (lengths[1] - lengths[0]) < 30, streaming
    assert (whole[1] - whole[0]) / (lengths[1] - lengths[0]) < 60, whole


def test_a_table_knows_the_conditions_of_its_sketches() -> None:
    """A known condition, none, and more of them than reports are split by."""
    plain = toy_dataset()
    hasty = np.arange(len(plain)) % 2 == 0
    dataset = replace(plain, conditions=np.where(hasty, "hasty", ""))
    table = tabulate.tabulate(Counting(), dataset)
    rows = np.concatenate([dataset.indices(split) for split in ("train", "val", "test")])
    assert [table.group_names[number] for number in table.level.tolist()] == [
        "hasty" if hasty[row] else NO_CONDITION for row in rows.tolist()
    ]
    many = replace(plain, conditions=np.array([f"person {row}" for row in range(len(plain))]))
    assert len(many) > MAX_CONDITIONS
    np.testing.assert_array_equal(many.groups()[0], plain.level)
    assert "conditions" not in tabulate.tabulate(Counting(), plain).meta
