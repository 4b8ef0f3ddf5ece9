"""The training pool: the sketches and photos of each identity, their probabilities, and batches of identities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.training.pool.pairs import PoolConfig, batch, make_pairs
from students.training.pool.renderings import Renderings
from tests.helpers import toy_dataset

NONE = np.array([], dtype=np.str_)
LINE = VectorSketch.from_strokes([[(0.2, 0.2), (0.8, 0.2)]])


def identities(dataset: SketchDataset) -> list[str]:
    return sorted(set(dataset.photo_ids[dataset.indices("student")].tolist()))


def with_photos(dataset: SketchDataset) -> Renderings:
    """Two further photos of the first identity, one of an identity outside."""
    photos = np.zeros((3, 20, 20, 3), dtype=np.uint8)
    photos[:, 5:15, 5:15] = np.array([50, 100, 150], dtype=np.uint8)[:, None, None, None]
    first = identities(dataset)[0]
    return Renderings(photos, np.array([first, first, "outside"]), np.array(["outside"]), (LINE,), NONE, ())


def test_every_identity_of_the_student_split_and_no_other() -> None:
    dataset = toy_dataset()
    pairs = make_pairs(dataset, PoolConfig(variants=2), 16, workers=1)
    assert sorted(pairs.names) == identities(dataset)
    assert pairs.own == len(pairs.names)
    assert pairs.photos.shape == (pairs.own, 3, 18, 18)
    for rows, shares in zip(pairs.sketch_rows, pairs.sketch_shares, strict=True):
        assert len(rows) == 1 + 3 * 2
        # every level is drawn equally often, whatever its number of variants
        np.testing.assert_allclose(shares, [0.25] + [0.125] * 6)
    assert np.concatenate(pairs.sketch_rows).tolist() == list(range(len(pairs.sketches)))


def test_levels_that_are_never_drawn_are_not_made() -> None:
    pairs = make_pairs(toy_dataset(), PoolConfig(variants=3, levels=(3.0, 1.0, 0.0, 0.0)), 16, workers=1)
    assert len(pairs.sketch_rows[0]) == 1 + 3
    np.testing.assert_allclose(pairs.sketch_shares[0], [0.75] + [0.25 / 3] * 3)


def test_renderings_add_photos_and_identities() -> None:
    dataset = toy_dataset()
    pairs = make_pairs(dataset, PoolConfig(variants=1, others=0.4), 16, with_photos(dataset), workers=1)
    assert pairs.names[pairs.own :] == ("outside",)
    first = pairs.names.index(identities(dataset)[0])
    np.testing.assert_allclose(pairs.photo_shares[first], [0.6, 0.2, 0.2])
    assert pairs.photo_rows[first].tolist() == [first, pairs.own, pairs.own + 1]
    assert pairs.photo_rows[pairs.own].tolist() == [pairs.own + 2]
    # the rendering whose middle is 150 grey is the outside identity's
    assert int(pairs.photos[pairs.photo_rows[pairs.own][0], 0, 9, 9]) == 150
    others = [i for i in range(pairs.own) if i != first]
    assert all(pairs.photo_shares[i].tolist() == [1.0] for i in others)


def test_icons_are_further_sketches_of_the_data_sets_identities() -> None:
    dataset = toy_dataset()
    first, second = identities(dataset)[:2]
    renderings = replace(with_photos(dataset), icon_names=np.array([second, "unknown"]), icons=(LINE, LINE))
    pairs = make_pairs(dataset, PoolConfig(variants=0), 16, renderings, workers=1)
    counts = {name: len(rows) for name, rows in zip(pairs.names, pairs.sketch_rows, strict=True)}
    assert counts == dict.fromkeys(identities(dataset), 1) | {second: 2, "outside": 1}
    assert counts[first] == 1


def test_edges_are_a_share_of_the_sketches() -> None:
    pytest.importorskip("skimage")
    dataset = toy_dataset()
    renderings = with_photos(dataset)
    plain = make_pairs(dataset, PoolConfig(variants=1), 16, renderings, workers=1)
    pairs = make_pairs(dataset, PoolConfig(variants=1, edges=0.25), 16, renderings, workers=1)
    outside = pairs.own
    added = len(pairs.sketch_rows[outside]) - len(plain.sketch_rows[outside])
    assert added == 4  # the traced square and its three freehand variants
    assert pairs.sketch_shares[outside][-added:].sum() == pytest.approx(0.25)


def test_variants_keep_the_place_of_their_drawing() -> None:
    """Human sketches do not fill the canvas, so their variants must not."""
    small = VectorSketch.from_strokes([[(0.3, 0.4), (0.5, 0.4), (0.5, 0.6), (0.31, 0.6)]])
    dataset = replace(toy_dataset(), read_sketch=lambda row: small)
    pairs = make_pairs(dataset, PoolConfig(variants=4), 16, workers=1)
    boxes = [np.concatenate(sketch.strokes) for sketch in pairs.sketches]
    for box in boxes:
        low, high = box.min(axis=0), box.max(axis=0)
        assert (high - low).max() == pytest.approx(0.2, abs=1e-4)
        np.testing.assert_allclose((low + high) / 2, [0.4, 0.5], atol=1e-4)


def test_pool_does_not_depend_on_the_number_of_workers() -> None:
    one, two = (make_pairs(toy_dataset(), PoolConfig(variants=1), 16, workers=n) for n in (1, 2))
    for a, b in zip(one.sketches, two.sketches, strict=True):
        np.testing.assert_array_equal(np.concatenate(a.strokes), np.concatenate(b.strokes))


def test_batches_are_epochs_of_both_groups() -> None:
    dataset = toy_dataset()
    pairs = make_pairs(dataset, PoolConfig(variants=1), 16, with_photos(dataset), workers=1)
    size = 3
    for step in range(4):
        drawn = batch(pairs, size, 0.34, seed=0, step=step)
        assert len(set(drawn.tolist())) == size
        assert (drawn >= pairs.own).sum() == 1
        assert batch(pairs, size, 0.34, seed=0, step=step).tolist() == drawn.tolist()
    epoch = [batch(pairs, size, 0.0, seed=1, step=step) for step in range(pairs.own // size)]
    assert len(set(np.concatenate(epoch).tolist())) == len(epoch) * size


def test_no_student_split() -> None:
    dataset = toy_dataset()
    empty = replace(dataset, split=np.full(len(dataset), "val"))
    with pytest.raises(ValueError, match="no sketches in the split 'student'"):
        make_pairs(empty, PoolConfig(), 16)
