"""Tables from embedders: ranks recomputed by hand, the shipped table recomputed from the shipped weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

import students
from sketchcanvas_env import load_table
from sketchcanvas_env.data import SPLITS, load
from sketchcanvas_env.outcomes.finding import available_tables
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.network.hog import HogRetriever
from students.store.weights import load_card
from students.tables.tabulate import check_student, scores, tabulate
from tests.helpers import Pixels, toy_dataset, unit


class Collapsed(Pixels):
    """Everything in one point."""

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        return unit(np.ones((len(sketches), 3)))

    def embed_photos(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        return unit(np.ones((len(images), 3)))


def test_by_hand() -> None:
    dataset, embedder = toy_dataset(), Pixels()
    table = tabulate(embedder, dataset)
    assert table.canvases.tolist() == [16, 32]
    assert set(table.split.tolist()) == {"train", "val", "test"}
    for i in range(0, len(table), 7):
        row = dataset.sketch_ids.tolist().index(table.sketch_ids[i])
        gallery = dataset.gallery(str(table.split[i])).tolist()
        photos = embedder.embed_photos(np.stack([dataset.photo(p) for p in gallery])).astype(float)
        for k, side in enumerate((16, 32)):
            query = embedder.embed([dataset.sketch(row)], side)[0].astype(float)
            distance = [float(np.linalg.norm(query - photo)) for photo in photos]
            true = distance[gallery.index(dataset.photo_ids[row])]
            assert table.ranks[i, k] == sum(d <= true + 1e-9 for d in distance)
            assert table.distances[i, k] == pytest.approx(true, abs=1e-5)
            losses = [max(0.0, 0.3 + true - d) for p, d in zip(gallery, distance, strict=True)]
            hinge = (sum(losses) - 0.3) / (len(gallery) - 1)  # without the true photo's own margin
            assert table.triplet[i, k] == pytest.approx(hinge, abs=1e-5)
            assert table.photos[table.top[i, k, 0]] == gallery[int(np.argmin(distance))]


def test_a_collapsed_student_comes_last() -> None:
    table = tabulate(Collapsed(), toy_dataset())
    assert (table.ranks == [[table.gallery_size[s]] for s in table.split.tolist()]).all()


@pytest.mark.parametrize("canvases", [(64,), (32, 16), (), (16, 16)])
def test_canvases_the_student_lacks(canvases: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"some of \[16, 32\]"):
        tabulate(Pixels(), toy_dataset(), canvases)


def test_scores() -> None:
    table = tabulate(Pixels(), toy_dataset())
    part = table.select("val")
    assert scores(table)["val"]["32"]["acc@5"] == pytest.approx(float(np.mean(part.ranks[:, 1] <= 5)))


@pytest.mark.parametrize("canvas", [32, 64, 256])
def test_shipped_table_follows_from_sketches_and_weights(canvas: int) -> None:
    """A sample of the test split, embedded anew; another machine's float noise may swap near-equal photos."""
    table, dataset, student = load_table("emoji").select("test"), load("emoji"), students.load("emoji")
    assert table.student_hash == student.weights_hash
    column = table.columns([canvas])[0]
    gallery = dataset.gallery("test")
    photos = student.embed_photos(np.stack([dataset.photo(photo) for photo in gallery.tolist()]))
    rows = np.arange(5, len(table), 29)
    sketches = [dataset.sketch(int(dataset.indices("test")[row])) for row in rows]
    between = np.linalg.norm(student.embed(sketches, canvas)[:, None].astype(float) - photos[None], axis=2)
    true = between[np.arange(len(rows)), [gallery.tolist().index(p) for p in table.photo_ids[rows]]]
    np.testing.assert_allclose(true, table.distances[rows, column], atol=2e-3)
    ranks = (between <= true[:, None]).sum(axis=1)
    assert (np.abs(ranks - table.ranks[rows, column]) <= 1).all()
    assert (ranks == table.ranks[rows, column]).mean() > 0.9
    assert student.flops(canvas) == table.flops[column]


def test_card_says_what_the_table_says() -> None:
    card = load_card(students.WEIGHTS_FOLDER / "emoji-mobilenet_v2.safetensors")
    measured = scores(load_table("emoji"))["val"]
    assert set(card["measured"]["val"]) == set(measured)
    for canvas, share in card["measured"]["val"].items():
        assert measured[canvas]["acc@1"] == pytest.approx(share, abs=0.003)


def test_a_table_of_other_weights_is_refused() -> None:
    check_student(load_table("emoji"))
    check_student(load_table("emoji", "hog"))
    with pytest.raises(ValueError, match="made with other weights of 'mobilenet_v2'"):
        check_student(replace(load_table("emoji"), student_hash="0" * 64))


def test_student_beats_the_dumb_baseline() -> None:
    """HOG on edges learns nothing: a network that does not beat it clearly is not worth its FLOPs."""
    assert "hog" in available_tables()["emoji"]
    student, hog = load_table("emoji").select("test"), load_table("emoji", "hog").select("test")
    gain = student.acc() - hog.acc()
    assert (gain[student.canvases >= 64] > 0.10).all(), gain
    assert (gain > 0).all(), gain


def test_shipped_hog_table_follows_from_the_sketches() -> None:
    dataset, hog = load("emoji"), HogRetriever()
    table = load_table("emoji", "hog").select("test")
    gallery = dataset.gallery("test")
    photos = hog.embed_photos(np.stack([dataset.photo(photo) for photo in gallery.tolist()[:60]]))
    rows = np.flatnonzero(np.isin(table.photo_ids, gallery[:60]))[::16]
    sketches = [dataset.sketch(int(dataset.indices("test")[row])) for row in rows]
    between = np.linalg.norm(hog.embed(sketches, 64)[:, None].astype(float) - photos[None], axis=2)
    true = between[np.arange(len(rows)), [gallery.tolist().index(p) for p in table.photo_ids[rows]]]
    np.testing.assert_allclose(true, table.distances[rows, table.columns([64])[0]], atol=2e-3)


def test_shipped_table_of_the_known_gallery_follows_from_its_drawings() -> None:
    dataset, student, table = load("emoji_known"), students.load("emoji"), load_table("emoji_known")
    check_student(table)
    assert table.sketch_ids.tolist() == dataset.sketch_ids.tolist()
    some = dataset.gallery("test")[:6].tolist()
    photos = student.embed_photos(np.stack([dataset.photo(photo) for photo in some]))
    rows = [
        int(np.flatnonzero((dataset.split == split) & (dataset.photo_ids == photo))[0])
        for split in ("train", "val", "test")
        for photo in some
    ]
    drawn = student.embed([dataset.sketch(row) for row in rows], 64).astype(float)
    true = np.linalg.norm(drawn - np.tile(photos, (3, 1)), axis=1)
    np.testing.assert_allclose(true, table.distances[rows, table.columns([64])[0]], atol=2e-3)


def test_splits_without_sketches_are_left_out() -> None:
    """ChairV2 as published has no `train`, and its test part is not always there."""
    whole = toy_dataset()
    keep = np.isin(whole.split, ["student", "val"])
    rows = np.flatnonzero(keep)
    dataset = replace(
        whole,
        sketch_ids=whole.sketch_ids[keep],
        photo_ids=whole.photo_ids[keep],
        split=whole.split[keep],
        level=whole.level[keep],
        galleries={split: whole.gallery(split) if split == "val" else np.array([], dtype=str) for split in SPLITS},
        read_sketch=lambda row: whole.read_sketch(int(rows[row])),
    )
    table = tabulate(Pixels(), dataset)
    assert table.splits == ("val",)
    np.testing.assert_array_equal(table.ranks, tabulate(Pixels(), whole).select("val").ranks)
    with pytest.raises(ValueError, match="nothing to tabulate"):
        tabulate(Pixels(), replace(dataset, split=np.full(len(dataset), "student")))
