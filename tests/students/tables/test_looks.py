"""Looks from embedders: recomputed by brute force, and the shipped ones from the shipped weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import sketchcanvas_env
import students
from sketchcanvas_env import load_table
from sketchcanvas_env.data import load
from sketchcanvas_env.outcomes.looks import LookTable
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.table_file import TableError
from students.tables import blocks
from students.tables import looks as looks_module
from students.tables.looks import add_looks, build_looks, sets_of
from students.tables.tabulate import build_table, tabulate
from tests.helpers import Pixels, softmax, toy_dataset


class Counting(Pixels):
    """Counts the sketches that it embeds, and is interrupted once it has embedded so many batches."""

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.sketches = self.batches = 0

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        if self.batches == self.most:
            raise KeyboardInterrupt
        self.batches += 1
        self.sketches += len(sketches)
        return super().embed(sketches, canvas)


@pytest.mark.parametrize("piece", [1 << 21, 30])
def test_by_brute_force(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(looks_module, "_PIECE", piece)
    monkeypatch.setattr(blocks, "BLOCK", 10)
    dataset, embedder = toy_dataset(), Pixels()
    table = tabulate(embedder, dataset)
    # Rows in another order than the data set's, and splits mixed.
    order = np.random.default_rng(0).permutation(len(table))
    names = ("ranks", "distances", "triplet", "top", "sketch_ids", "photo_ids", "split", "level")
    table = replace(table, **{name: getattr(table, name)[order] for name in names})  # type: ignore[arg-type]
    looks = build_looks(embedder, dataset, table, fused_canvases=embedder.canvases)
    looks.check_against(table)
    assert looks.fused_of.tolist() == [3]
    assert looks.meta["fused_canvases"] == [16, 32]
    for i in range(0, len(table), 5):
        row = dataset.sketch_ids.tolist().index(table.sketch_ids[i])
        gallery = dataset.gallery(str(table.split[i])).tolist()
        true = gallery.index(str(table.photo_ids[i]))
        photos = embedder.embed_photos(np.stack([dataset.photo(photo) for photo in gallery])).astype(float)
        queries = [embedder.embed([dataset.sketch(row)], side)[0].astype(float) for side in embedder.canvases]
        for column, query in enumerate(queries):
            distance = np.linalg.norm(query - photos, axis=1)
            assert looks.distances[i, column].tolist() == pytest.approx(np.sort(distance)[:5].tolist(), abs=1e-5)
            for place, photo in enumerate(table.photos[table.top[i, column]].tolist()):
                there = distance[gallery.index(photo)]
                assert looks.distances[i, column, place] == pytest.approx(there, abs=1e-5)
            assert looks.temperatures is not None
            shares = softmax(-np.square(distance) / looks.temperatures[column])
            assert looks.confidence[i, column] == pytest.approx(shares.max(), abs=1e-4)  # type: ignore[index]
            entropy = -(shares * np.log(shares)).sum() / np.log(len(gallery))
            assert looks.entropy[i, column] == pytest.approx(entropy, abs=1e-4)  # type: ignore[index]
            first, second = (photos[gallery.index(photo)] for photo in table.photos[table.top[i, column, :2]].tolist())
            assert looks.apart[i, column] == pytest.approx(np.linalg.norm(first - second), abs=1e-5)  # type: ignore[index]
        # The mean of two cosines is the cosine with the mean of two queries, but for its length.
        cosine = photos @ np.mean(queries, axis=0)
        assert looks.fused_ranks[i, 0] == sum(cosine >= cosine[true] - 1e-9)
        fused = np.sqrt(2 - 2 * cosine)
        loss = np.maximum(0.0, 0.3 + fused[true] - np.delete(fused, true)).mean()
        assert looks.fused_triplet[i, 0] == pytest.approx(loss, abs=1e-5)


def test_a_gallery_of_three_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.helpers.TOY_PHOTOS", {"student": 2, "train": 3, "val": 7, "test": 3})
    dataset = toy_dataset()
    table = tabulate(Pixels(), dataset)
    looks = build_looks(Pixels(), dataset, table)
    looks.check_against(table)
    few = table.split == "train"
    assert (table.top[few][..., 3:] == -1).all()
    assert (looks.distances[few][..., 3:] == 2.0).all()
    assert (looks.distances[few][..., :3] < 2.0).all()


def test_which_sets_are_fused() -> None:
    assert sets_of([]) == sets_of([4]) == []
    assert sets_of([0, 1, 2]) == [3, 5, 6, 7]
    dataset = toy_dataset()
    one = tabulate(Pixels(), dataset, canvases=(16,))
    # 16 px is none of the environment's own canvases, 32 px is alone: nothing to fuse.
    assert build_looks(Pixels(), dataset, one).fused_ranks.shape == (len(one), 0)
    assert build_looks(Pixels(), dataset, tabulate(Pixels(), dataset)).fused_of.tolist() == []
    with pytest.raises(ValueError, match="no outcomes at canvas 64"):
        build_looks(Pixels(), dataset, one, fused_canvases=(16, 64))


def test_looks_of_another_student_or_of_other_data_are_refused() -> None:
    dataset = toy_dataset()
    table = tabulate(Pixels(), dataset)
    with pytest.raises(ValueError, match="the table is of student 'pixels' with weights"):
        build_looks(Pixels(), dataset, replace(table, student_hash="other"))
    with pytest.raises(TableError, match="another version"):
        build_looks(Pixels(), replace(dataset, hash="e" * 64), table)
    row = int(np.flatnonzero((table.ranks[:, 0] > 5) & (table.ranks[:, 0] < 7))[0])
    ranks = table.ranks.copy()
    ranks[row, 0] = 7
    with pytest.raises(ValueError, match=r"1 of .* ranks are other than in the outcome table.*anew"):
        build_looks(Pixels(), dataset, replace(table, ranks=ranks))


def test_a_build_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 10)
    dataset, path = toy_dataset(), tmp_path / "mine.npz"
    table = build_table(Pixels(), dataset, path)
    with pytest.raises(KeyboardInterrupt):
        add_looks(Counting(most=7), dataset, path)
    assert not LookTable.path_beside(path).exists()
    again = Counting()
    assert add_looks(again, dataset, path) == tmp_path / "mine.looks.npz"
    # Three blocks of ten sketches, at both canvases, were kept.
    assert again.sketches == 2 * (len(table) - 30)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine.looks.npz", "mine.npz"]
    whole = build_looks(Pixels(), dataset, table)
    assert LookTable.load(LookTable.path_beside(path)).hash == whole.hash
    with pytest.raises(FileNotFoundError, match="nothing"):
        add_looks(Pixels(), dataset, tmp_path / "nothing.npz")


def test_a_table_of_ones_own_has_a_cascade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, path = toy_dataset(), tmp_path / "mine.npz"
    build_table(Pixels(), dataset, path)
    add_looks(Pixels(), dataset, path, fused_canvases=(16, 32))
    monkeypatch.setitem(sketchcanvas_env.data.DATASETS, "toy", lambda: dataset)
    env = gym.make("SketchCanvasCascade-v0", dataset="toy", table=str(path), canvases=(16, 32), ranking="fused")
    env.reset(seed=0)
    for action in (1, 0, 2):
        *_, terminated, _, info = env.step(action)
    assert terminated
    assert info["seen"] == 3


def test_the_shipped_looks_follow_from_sketches_and_weights() -> None:
    """A sample of val, embedded anew; another machine's float noise may swap near-equal photos."""
    whole, dataset, student = load_table("emoji"), load("emoji"), students.load("emoji")
    looks = LookTable.load_beside(whole)
    gallery = dataset.gallery("val")
    photos = student.embed_photos(np.stack([dataset.photo(photo) for photo in gallery.tolist()])).astype(float)
    rows = np.flatnonzero(whole.split == "val")[::43]
    where = [dataset.sketch_ids.tolist().index(name) for name in whole.sketch_ids[rows].tolist()]
    sketches = [dataset.sketch(row) for row in where]
    true = np.array([gallery.tolist().index(photo) for photo in whole.photo_ids[rows]])
    between = {}
    for side in (32, 64, 128):
        column = int(whole.columns([side])[0])
        between[side] = np.linalg.norm(student.embed(sketches, side).astype(float)[:, None] - photos[None], axis=2)
        np.testing.assert_allclose(np.sort(between[side])[:, :5], looks.distances[rows, column], atol=2e-3)
    for sides in ((32, 64), (64, 128), (32, 64, 128)):
        [column] = np.flatnonzero(looks.fused_of == sum(1 << int(c) for c in whole.columns(sides)))
        fused = np.sqrt(np.mean([between[side] ** 2 for side in sides], axis=0))
        own = fused[np.arange(len(rows)), true][:, None]
        ranks = (fused <= own).sum(axis=1)
        assert (np.abs(ranks - looks.fused_ranks[rows, column]) <= 1).all()
        assert (ranks == looks.fused_ranks[rows, column]).mean() > 0.9
        losses = (np.maximum(0.0, 0.3 + own - fused).sum(axis=1) - 0.3) / (len(gallery) - 1)
        np.testing.assert_allclose(losses, looks.fused_triplet[rows, column], atol=2e-3)
