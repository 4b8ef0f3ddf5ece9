"""Tables of unfinished drawings from embedders: by hand, resumed, and the shipped one from the shipped weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import students
from sketchcanvas_env import load_dataset, load_table
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes.prefixes import PrefixTable, drawing_steps
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.table_file import TableError
from students.network.protocol import UNSAVED
from students.tables import blocks
from students.tables.prefixes import build_prefixes, main
from students.tables.tabulate import tabulate
from tests.helpers import toy_dataset


class Ends:
    """An embedder that looks at where the drawing ends so far and at the colour of a photo: nonsense, but exact."""

    name = "ends"
    weights_hash = "a" * 64
    canvases = (16, 32, 64)

    def __init__(self) -> None:
        self.embedded = 0

    def flops(self, canvas: int) -> float:
        return float(canvas)

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        self.embedded += len(sketches)
        return _unit(np.stack([[*s.strokes[-1][-1], canvas / 50, s.n_strokes / 3] for s in sketches]))

    def embed_photos(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        colours = images[:, 20, 20].astype(np.float32) / 255
        return _unit(np.column_stack([colours, colours[:, :1] * colours[:, 1:2]]))


def _unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def dataset() -> SketchDataset:
    """Drawings of up to ten strokes, and galleries of which one has fewer than five photos."""
    short = toy_dataset()
    longer = replace(short, read_sketch=lambda row: VectorSketch(short.sketch(row).strokes * 2), hash="b" * 64)
    kept = ~np.isin(longer.photo_ids, [f"val-{i}" for i in range(3, 7)])
    rows = np.flatnonzero(kept)
    return replace(
        longer,
        sketch_ids=longer.sketch_ids[kept],
        photo_ids=longer.photo_ids[kept],
        split=longer.split[kept],
        level=longer.level[kept],
        galleries={**longer.galleries, "val": longer.galleries["val"][:3]},
        read_sketch=lambda row: longer.sketch(int(rows[row])),
    )


def equal(one: PrefixTable, other: PrefixTable) -> bool:
    names = ("canvases", "strokes", "ranks", "triplet", "top", "distances")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def test_by_hand(dataset: SketchDataset) -> None:
    embedder = Ends()
    table = tabulate(embedder, dataset)
    made = build_prefixes(embedder, dataset, table, canvases=(16, 64))
    made.check_against(table)
    assert made.canvases.tolist() == [16, 64]
    assert (made.strokes > 8).any()
    for i in range(0, len(table), 3):
        row = dataset.sketch_ids.tolist().index(table.sketch_ids[i])
        gallery = dataset.gallery(str(table.split[i])).tolist()
        photos = embedder.embed_photos(np.stack([dataset.photo(p) for p in gallery])).astype(float)
        drawings = drawing_steps(dataset.sketch(row))
        assert (made.strokes[i], made.steps[i]) == (drawings[-1].n_strokes, len(drawings))
        for step, drawing in enumerate(drawings):
            at = made.first[i] + step
            for k, side in enumerate((16, 64)):
                query = embedder.embed([drawing], side)[0].astype(float)
                distance = np.array([np.linalg.norm(query - photo) for photo in photos])
                true = distance[gallery.index(dataset.photo_ids[row])]
                assert made.ranks[at, k] == (distance <= true + 1e-9).sum()
                hinge = (np.maximum(0.0, 0.3 + true - distance).sum() - 0.3) / (len(gallery) - 1)
                assert made.triplet[at, k] == pytest.approx(hinge, abs=1e-5)
                near = np.sort(distance)[:5]
                assert made.distances[at, k, : len(near)].tolist() == pytest.approx(near.tolist(), abs=1e-5)
                assert made.distances[at, k, len(near) :].tolist() == [2.0] * (5 - len(near))
                named = [distance[gallery.index(table.photos[photo])] for photo in made.top[at, k, : len(near)]]
                assert named == pytest.approx(near.tolist(), abs=1e-5)
                assert (made.top[at, k, len(near) :] == -1).all()


def test_a_build_goes_on_where_it_was_killed(
    dataset: SketchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 20)
    table = tabulate(Ends(), dataset)
    whole = Ends()
    made = build_prefixes(whole, dataset, table, (16, 32))

    class Killed(Ends):
        def embed(self, *args: Any, **kwargs: Any) -> np.ndarray:
            if self.embedded > 200:
                raise KeyboardInterrupt
            return super().embed(*args, **kwargs)

    first = Killed()
    with pytest.raises(KeyboardInterrupt):
        build_prefixes(first, dataset, table, (16, 32), folder=tmp_path)
    again = Ends()
    assert equal(build_prefixes(again, dataset, table, (16, 32), folder=tmp_path), made)
    assert 0 < again.embedded < whole.embedded - 150
    # Another question finds none of these blocks.
    other = Ends()
    build_prefixes(other, dataset, table, (16, 64), folder=tmp_path)
    assert other.embedded == whole.embedded


def test_blocks_leave_no_mark(dataset: SketchDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tabulate(Ends(), dataset)
    made = build_prefixes(Ends(), dataset, table, (16, 32))
    monkeypatch.setattr(blocks, "BLOCK", 7)
    assert equal(build_prefixes(Ends(), dataset, table, (16, 32)), made)


def test_rows_of_a_table_may_lie_in_any_order(dataset: SketchDataset) -> None:
    table = tabulate(Ends(), dataset)
    order = np.random.default_rng(0).permutation(len(table))
    names = ("ranks", "distances", "triplet", "top", "sketch_ids", "photo_ids", "split", "level")
    mixed = replace(table, **{name: getattr(table, name)[order] for name in names})
    made, other = (build_prefixes(Ends(), dataset, each, (16, 32)) for each in (table, mixed))
    assert (other.strokes == made.strokes[order]).all()
    for i, row in enumerate(order.tolist()):
        mine = slice(made.first[row], made.first[row] + made.steps[row])
        theirs = slice(other.first[i], other.first[i] + other.steps[i])
        assert (made.ranks[mine] == other.ranks[theirs]).all()
        assert (made.distances[mine] == other.distances[theirs]).all()


def test_what_does_not_belong_together_is_refused(dataset: SketchDataset, tmp_path: Path) -> None:
    embedder = Ends()
    table = tabulate(embedder, dataset)
    with pytest.raises(ValueError, match="not of 'ends' with weights aaaaaaaaaaaa"):
        build_prefixes(embedder, dataset, replace(table, student_hash="c" * 64))
    with pytest.raises(TableError, match="another version of data set"):
        build_prefixes(embedder, replace(dataset, hash="d" * 64), table)
    with pytest.raises(ValueError, match="no outcomes at canvas 48"):
        build_prefixes(embedder, dataset, table, canvases=(16, 48))
    with pytest.raises(ValueError, match="build the table anew"):
        build_prefixes(embedder, dataset, replace(table, triplet=table.triplet + 0.01), canvases=(16,))
    embedder.weights_hash = UNSAVED
    with pytest.raises(ValueError, match="never saved"):
        build_prefixes(embedder, dataset, replace(table, student_hash=UNSAVED), (16,), folder=tmp_path)


def test_the_command_writes_beside_the_table(
    dataset: SketchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tabulate(Ends(), dataset)
    path = table.save(tmp_path / "mine.npz")
    monkeypatch.setattr(students, "load", lambda name: Ends())
    monkeypatch.setattr("sketchcanvas_env.load_dataset", lambda name, root=None: dataset)
    main("ends", path)
    assert "mine.prefixes.npz: 81 sketches" in capsys.readouterr().out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine.npz", "mine.prefixes.npz"]
    found = PrefixTable.load_beside(table, tmp_path / "mine.prefixes.npz")
    # Of the default canvases those that the table has.
    assert equal(found, build_prefixes(Ends(), dataset, table, (32, 64)))


def test_the_shipped_prefixes_follow_from_sketches_and_weights() -> None:
    """A sample of the val split, embedded anew: how near the photos are that are said to be nearest."""
    table, dataset, student = load_table("emoji"), load_dataset("emoji"), students.load("emoji")
    shipped = PrefixTable.load_beside(table)
    row_of = {name: row for row, name in enumerate(dataset.sketch_ids.tolist())}
    drawings, at = [], []
    for i in np.flatnonzero(table.split == "val")[3::250].tolist():
        steps = drawing_steps(dataset.sketch(row_of[str(table.sketch_ids[i])]))
        drawings += steps
        at += range(int(shipped.first[i]), int(shipped.first[i]) + len(steps))
    assert len(drawings) > 8
    top = shipped.top[at, 1:3]
    named, which = np.unique(top, return_inverse=True)
    photos = student.embed_photos(np.stack([dataset.photo(str(table.photos[photo])) for photo in named]))
    near = photos.astype(float)[which.reshape(top.shape)]
    for place, side in enumerate((64, 128)):
        found = np.linalg.norm(student.embed(drawings, side)[:, None].astype(float) - near[:, place], axis=2)
        np.testing.assert_allclose(found, shipped.distances[at, 1 + place], atol=2e-3)
