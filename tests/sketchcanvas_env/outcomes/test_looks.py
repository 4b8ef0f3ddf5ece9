"""The table of looks: its file, its checks, and the features of looks."""

from __future__ import annotations

import doctest
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sketchcanvas_env.outcomes import finding
from sketchcanvas_env.outcomes import looks as looks_module
from sketchcanvas_env.outcomes.finding import available_tables, load_table
from sketchcanvas_env.outcomes.looks import LookTable, look_feature_names, look_features
from sketchcanvas_env.outcomes.reward import fused_distance
from sketchcanvas_env.storage.npz import write_npz
from sketchcanvas_env.storage.table_file import TableError
from tests.helpers import Toy, toy_looks

FIELDS = ("distances", "fused_of", "fused_ranks", "fused_triplet")


def changed(array: np.ndarray, place: Any, value: float) -> np.ndarray:
    """A copy with another value somewhere."""
    copied = array.copy()
    copied[place] = value
    return copied


# ---------------------------------------------------------------- files


def test_it_is_read_as_it_was_written(toy: Toy, tmp_path: Path) -> None:
    looks = toy_looks(toy.table)
    again = LookTable.load(looks.save(tmp_path / "a.looks.npz"))
    assert again.outcomes_hash == toy.table.hash
    assert again.meta == looks.meta
    assert len(again) == len(toy.table)
    for name in FIELDS:
        assert np.array_equal(getattr(again, name), getattr(looks, name))
        assert getattr(again, name).dtype == getattr(looks, name).dtype
        assert not getattr(again, name).flags.writeable
    again.save(tmp_path / "b.looks.npz")
    assert (tmp_path / "a.looks.npz").read_bytes() == (tmp_path / "b.looks.npz").read_bytes()
    assert again.hash == looks.hash != toy_looks(toy.table, seed=1).hash


def test_its_repr_is_one_line(toy: Toy) -> None:
    looks = toy_looks(toy.table)
    assert repr(looks).startswith(
        f"<LookTable beside outcomes {toy.table.hash[:12]}: distances {looks.distances.shape}, "
    )
    assert len(repr(looks).splitlines()) == 1


def test_without_fused_sets(toy: Toy, tmp_path: Path) -> None:
    none: Any = np.zeros((len(toy.table), 0))
    looks = toy_looks(toy.table, fused_of=np.array([]).astype(int), fused_ranks=none.astype(int), fused_triplet=none)
    assert LookTable.load(looks.save(tmp_path / "a.looks.npz")).fused_ranks.shape == (len(toy.table), 0)


def test_a_table_has_its_looks_beside_it(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LookTable.path_beside(tmp_path / "v1.2.npz") == tmp_path / "v1.2.looks.npz"
    with pytest.raises(FileNotFoundError, match=r"nothing\.npz.*tabulate.*--looks"):
        LookTable.load_beside(toy.table, tmp_path / "nothing.npz")
    file = toy.table.save(tmp_path / "toy-made_up.npz")
    monkeypatch.setattr(finding, "TABLES", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"toy-made_up\.looks\.npz"):
        LookTable.load_beside(toy.table)
    toy_looks(toy.table).save(LookTable.path_beside(file))
    assert LookTable.load_beside(toy.table) is LookTable.load_beside(toy.table, LookTable.path_beside(file))
    # Looks are no table: nobody is told of a student "made_up.looks".
    assert available_tables() == {"toy": ["made_up"]}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"distances": np.array([object()])}, None),
        ({"distances": None}, "missing, unknown or repeated member 'distances.npy'"),
        ({"surprise": np.zeros(3)}, "missing, unknown or repeated member 'surprise.npy'"),
        ({"fused_of": np.array([1.5])}, "fused_of: dtype float64"),
        ({"header": np.array("{")}, "not JSON"),
        ({"header": np.array("[1]")}, "format None, this version reads format 1"),
        ({"header": np.array('{"format": 2}')}, "format 2, this version reads format 1"),
        ({"header": np.array('{"format": 1, "outcomes_hash": "a", "meta": []}')}, "the objects meta"),
        ({"header": np.array('{"format": 1, "outcomes_hash": 5, "meta": {}}')}, "outcomes_hash must be a string"),
    ],
)
def test_an_invalid_file_is_refused_by_name(
    toy: Toy, tmp_path: Path, members: dict[str, Any], message: str | None
) -> None:
    looks, path = toy_looks(toy.table), tmp_path / "bad.looks.npz"
    looks.save(path)
    with np.load(path) as good:
        arrays = {**{name: good[name] for name in good.files}, **members}
    if message is None:
        with pytest.raises(ValueError, match="Object arrays cannot be saved"):
            write_npz(path, arrays)
        np.savez(path, **arrays)
        message = "dtype object|allow_pickle"
    else:
        write_npz(path, {name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(TableError, match=rf"bad\.looks\.npz: not a usable table of looks: .*({message})"):
        LookTable.load(path)


def test_a_damaged_file_is_refused_by_name(toy: Toy, tmp_path: Path) -> None:
    path = toy_looks(toy.table).save(tmp_path / "cut.looks.npz")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TableError, match=r"cut\.looks\.npz"):
        LookTable.load(path)


# ---------------------------------------------------------------- checks


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("distances", (3, 1, 2), np.nan, "finite and lie in"),
        ("distances", (3, 1, 4), 2.1, "finite and lie in"),
        ("distances", (3, 1, 0), -0.1, "finite and lie in"),
        ("distances", (3, 1, 3), 0.0, "must not fall"),
        ("fused_of", 0, 4, "sets of two or more"),
        ("fused_of", -1, 16, "sets of two or more"),
        ("fused_of", 0, 5, "rising sets"),
        ("fused_ranks", (0, 0), 0, "not be below 1"),
        ("fused_triplet", (0, 0), -1, "not negative"),
        ("fused_triplet", (0, 0), np.inf, "finite"),
    ],
)
def test_values_out_of_range_are_refused(toy: Toy, name: str, place: Any, value: float, message: str) -> None:
    bad: dict[str, Any] = {name: changed(getattr(toy_looks(toy.table), name), place, value)}
    with pytest.raises(TableError, match=message):
        toy_looks(toy.table, **bad)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distances": np.zeros((93, 4))}, r"distances must have shape \(93, 4, 5\)"),
        ({"distances": np.zeros((93, 4, 6))}, r"distances must have shape"),
        ({"distances": np.zeros((92, 4, 5))}, r"fused_ranks must have shape"),
        ({"fused_ranks": np.ones((93, 3), int)}, r"fused_ranks must have shape"),
        ({"fused_of": np.array([3.0])}, "must be integers"),
        ({"outcomes_hash": ""}, "must be a string, not empty"),
        ({"meta": {"a": object()}}, "JSON-able"),
    ],
)
def test_wrong_shapes_are_refused(toy: Toy, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TableError, match=message):
        toy_looks(toy.table, **changes)


def test_looks_of_another_table_are_refused(toy: Toy) -> None:
    looks = toy_looks(toy.table)
    looks.check_against(toy.table)
    with pytest.raises(TableError, match="made for another outcome table"):
        looks.check_against(replace(toy.table, meta={**toy.table.meta, "made_by": "somebody else"}))
    with pytest.raises(TableError, match="made for another outcome table"):
        looks.check_against(toy.table.select("train"))


def test_looks_that_contradict_their_table_are_refused(toy: Toy) -> None:
    table, good = toy.table, toy_looks(toy.table)
    row = int(np.flatnonzero(table.split == "val")[0])
    seen = np.flatnonzero(table.ranks[:, 3] == 1)[0]
    off = changed(good.distances, (seen, 3, 0), good.distances[seen, 3, 0] / 2)
    with pytest.raises(TableError, match="distance of a true photo"):
        toy_looks(table, distances=off).check_against(table)
    with pytest.raises(TableError, match="size of the split's gallery"):
        toy_looks(table, fused_ranks=changed(good.fused_ranks, (row, 2), 8)).check_against(table)
    with pytest.raises(TableError, match=r"not be above 2\.3"):
        toy_looks(table, fused_triplet=changed(good.fused_triplet, (row, 2), 2.4)).check_against(table)
    fewer: dict[str, Any] = {
        name: getattr(good, name)[..., :4] for name in ("fused_of", "fused_ranks", "fused_triplet")
    }
    with pytest.raises(TableError, match="shape of the table's top"):
        toy_looks(table, distances=good.distances[:, :3], **fewer).check_against(table)


# ---------------------------------------------------------------- fusing


def test_fusing_averages_cosines() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3 + 7, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    looks, photos = vectors[:3], vectors[3:]
    distances = np.linalg.norm(looks[:, None] - photos[None], axis=2)
    fused = fused_distance(distances)
    assert np.allclose(fused, np.sqrt(2 - 2 * (looks @ photos.T).mean(axis=0)), atol=1e-12)
    assert np.array_equal(fused, fused_distance(distances[[0, 1, 2]]))
    assert np.allclose(fused_distance(distances[:1]), distances[0], atol=1e-15)
    # The nearest by one look need not be the nearest by both.
    assert fused_distance([[0.1, 0.5], [1.5, 0.6]]).argmin() == 1


# ---------------------------------------------------------------- what is shown

TOP = np.array([[[3, 5, 1, 7, 2], [3, 1, 9, 8, 6], [4, 3, 5, 1, 7]]])
DISTANCES = np.array([[[0.5, 0.7, 0.8, 1.0, 1.1], [0.25, 0.375, 0.4, 0.5, 0.6], [0.3, 0.3, 0.4, 0.4, 0.5]]])
COSTS = np.array([1.0, 4.0, 15.0])


def shown(seen: list[bool]) -> dict[str, float]:
    features = look_features(TOP, DISTANCES, np.array([seen]), COSTS)
    names = look_feature_names((16, 32, 64))
    assert features.shape == (1, len(names)) == (1, 3 * 7 + 3 * 2 + 1)
    assert features.dtype == np.float32
    assert len(set(names)) == len(names)
    return dict(zip(names, features[0].tolist(), strict=True))


def test_features_after_looks_at_all_canvases() -> None:
    seen = shown([True, True, True])
    assert [seen[f"seen_{side}"] for side in (16, 32, 64)] == [1, 1, 1]
    assert [seen[f"distance_16_{i}"] for i in range(1, 6)] == pytest.approx(DISTANCES[0, 0].tolist())
    assert [seen[f"margin_{side}"] for side in (16, 32, 64)] == pytest.approx([0.2, 0.125, 0.0])
    assert [seen["common_16_32"], seen["common_16_64"], seen["common_32_64"]] == pytest.approx([0.4, 0.8, 0.4])
    assert [seen["same_first_16_32"], seen["same_first_16_64"], seen["same_first_32_64"]] == [1, 0, 0]
    assert seen["cost"] == 1.0


def test_features_of_other_canvases_are_zero() -> None:
    seen, everything = shown([True, False, True]), shown([True, True, True])
    for name, value in seen.items():
        if "32" in name:
            assert value == 0.0
        elif name != "cost":
            assert value == everything[name]
    assert seen["cost"] == pytest.approx(16 / 20)
    assert set(shown([False, False, False]).values()) == {0.0}


def test_features_do_not_depend_on_canvases_without_a_look() -> None:
    seen, rng = np.array([[True, False, False]]), np.random.default_rng(0)
    first = look_features(TOP, DISTANCES, seen, COSTS)
    others = changed(DISTANCES, (0, slice(1, 3)), rng.uniform(0, 2, (2, 5)))  # type: ignore[arg-type]
    tops = changed(TOP, (0, slice(1, 3)), rng.integers(-1, 9, (2, 5)))  # type: ignore[arg-type]
    assert np.array_equal(first, look_features(tops, others, seen, COSTS))


def test_features_do_not_depend_on_the_numbering_of_photos() -> None:
    renamed = np.random.default_rng(0).permutation(10)[TOP]
    seen = np.ones((1, 3), dtype=bool)
    assert np.array_equal(look_features(TOP, DISTANCES, seen, COSTS), look_features(renamed, DISTANCES, seen, COSTS))


def test_a_gallery_of_three_photos() -> None:
    top, distances = np.array([[2, 0, 1, -1, -1], [2, 1, 0, -1, -1]]), np.array([[0.1, 0.2, 0.3, 2, 2]] * 2)
    features = dict(
        zip(
            look_feature_names((16, 32)),
            look_features(top, distances, np.array([True, True]), [1.0, 2.0]),
            strict=True,
        )
    )
    # All the photos that there are, are common to both; places that no photo has are not.
    assert features["common_16_32"] == 1.0
    assert features["distance_16_5"] == 2.0


def test_a_batch_equals_single_sketches() -> None:
    rng = np.random.default_rng(0)
    top, distances = rng.integers(0, 9, (2, 6, 3, 5)), np.sort(rng.uniform(0, 2, (2, 6, 3, 5)))
    seen = rng.random((2, 6, 3)) < 0.5
    batch = look_features(top, distances, seen, COSTS)
    for i in np.ndindex(2, 6):
        assert np.array_equal(batch[i], look_features(top[i], distances[i], seen[i], COSTS))


# ---------------------------------------------------------------- shipped


def test_the_shipped_looks_belong_to_the_shipped_table(tmp_path: Path) -> None:
    table = load_table("emoji")
    looks = LookTable.load_beside(table)
    assert looks.distances.shape == (len(table), 8, 5)
    assert looks.meta["fused_canvases"] == [32, 64, 128, 256]
    assert len(looks.fused_of) == 11
    path = LookTable.path_beside(finding.TABLES / "emoji-mobilenet_v2.npz")
    assert path.stat().st_size < 1_200_000
    assert "mobilenet_v2.looks" not in available_tables()["emoji"]
    # Another student's table does not take them.
    shutil.copy(path, tmp_path / "hog.looks.npz")
    with pytest.raises(TableError, match="made for another outcome table"):
        LookTable.load_beside(load_table("emoji", "hog"), tmp_path / "hog.looks.npz")


def test_examples_in_the_docstrings() -> None:
    result = doctest.testmod(looks_module)
    assert result.failed == 0
    assert result.attempted > 0
