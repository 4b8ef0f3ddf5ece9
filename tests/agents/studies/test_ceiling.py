"""The study of what bounds a selector, on students whose bound is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.evaluation.evaluate import Evaluation
from agents.reports import saving
from agents.studies import ceiling, forecast
from agents.studies.ceiling import Ceiling, study
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.sketches.sketch import VectorSketch

PHOTOS = {"train": 60, "val": 40, "test": 3}
DRAWINGS = 2
CANVASES = (16, 32)

Right = Callable[[VectorSketch, int], bool]


def drawing(row: int) -> VectorSketch:
    """One to four strokes; the number of points of the first stroke encodes the photo, from 2."""
    rng = np.random.default_rng([row, 3])
    place = row // DRAWINGS
    for count in PHOTOS.values():
        if place < count:
            break
        place -= count
    strokes = [rng.uniform(0.2, 0.8, (place + 2, 2))]
    strokes += [rng.uniform(0.2, 0.8, (2, 2)) for _ in range(int(rng.integers(0, 4)))]
    return VectorSketch.from_strokes(strokes)


def colour(photo: str) -> np.ndarray:
    return np.full((4, 4, 3), int(photo.split("-")[1]), dtype=np.uint8)


def dataset() -> SketchDataset:
    ids = [f"{split}-{i}" for split, n in PHOTOS.items() for i in range(n)]
    photos = np.repeat(np.array(ids), DRAWINGS)
    return SketchDataset(
        name="coded",
        hash="4" * 64,
        sketch_ids=np.array([f"{photo}/{i}" for i, photo in enumerate(photos.tolist())]),
        photo_ids=photos,
        split=np.array([photo.split("-")[0] for photo in photos.tolist()]),
        level=np.zeros(len(photos), dtype=np.int8),
        galleries={split: np.array([i for i in ids if i.startswith(split)]) for split in PHOTOS},
        licence="none needed",
        read_sketch=drawing,
        read_photo=colour,
    )


class CodedStudent:
    """Finds the photo from its code in the first stroke where `right` allows it, else fails."""

    name = "coded"
    weights_hash = "5" * 64
    canvases = CANVASES

    def __init__(self, right: Right) -> None:
        self.right = right

    def flops(self, canvas: int) -> float:
        return float(canvas) ** 2 * 1e4

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        code = [len(sketch.strokes[0]) - 2 if self.right(sketch, canvas) else 60 for sketch in sketches]
        return np.eye(61, dtype=np.float32)[code]

    def embed_photos(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        return np.eye(61, dtype=np.float32)[images[:, 0, 0, 0]]


def by_luck(sketch: VectorSketch, canvas: int) -> bool:
    """Right for half of the rasters, by a hash of the strokes: copies have nothing in common."""
    return hashlib.sha256(b"".join([stroke.tobytes() for stroke in sketch.strokes]) + bytes([canvas])).digest()[0] < 128


def by_strokes(sketch: VectorSketch, canvas: int) -> bool:
    """Right at 16 px for one or two strokes, at 32 px for more."""
    return (sketch.n_strokes <= 2) == (canvas == 16)


def run(right: Right, **changes: object) -> Ceiling:
    settings = {"canvases": CANVASES, "copies": 4, "tradeoffs": (0.02, 0.2), "resamples": 200, **changes}
    return study(CodedStudent(right), dataset(), **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def luck() -> Ceiling:
    return run(by_luck)


@pytest.fixture(scope="module")
def readable() -> Ceiling:
    return run(by_strokes)


def gained(result: Ceiling, knows: str, tradeoff: float = 0.2) -> Evaluation:
    return next(policy for policy in result.policies if policy.knows == knows).evaluations[tradeoff]


def test_where_the_raster_decides_nothing_but_the_raster_itself_helps(luck: Ceiling) -> None:
    assert gained(luck, "this very raster (oracle)").hull_gain > 0.15
    assert abs(luck.reliability) < 0.1
    assert luck.spreads[0].luck > 0.9
    for policy in luck.policies[1:]:
        if policy.knows != "all copies, its own too" and "look" not in policy.knows:
            assert policy.evaluations[0.2].hull_gain < 0.06, policy.knows
            assert policy.evaluations[0.2].gap_closed < 0.15, policy.knows
            assert policy.explained is None or policy.explained < 0.05, policy.knows
    # The distances of this student show when it is wrong, so a look at the raster itself predicts the outcome.
    assert gained(luck, "strokes and a look at 16 px (ridge)").hull_gain > 0.15


def test_where_the_stroke_count_decides_all_of_the_gap_can_be_closed(readable: Ceiling) -> None:
    for knows in ("1 other copy", "2 other copies", "3 other copies", "all copies, its own too"):
        assert gained(readable, knows).gap_closed == pytest.approx(1.0), knows
    assert readable.reliability == pytest.approx(1.0)
    assert readable.spreads[0].luck == pytest.approx(0.0, abs=1e-12)
    for policy in readable.policies:
        if policy.knows.startswith("strokes") and "convolution" not in policy.knows:
            assert policy.explained is not None and policy.explained > 0.5, policy.knows
            assert policy.evaluations[0.2].gap_closed > 0.7, policy.knows


def test_drawings_of_one_photo_tell_of_each_other_only_where_the_photo_decides() -> None:
    def by_photo(sketch: VectorSketch, canvas: int) -> bool:
        return (len(sketch.strokes[0]) % 2 == 0) == (canvas == 16)

    result = run(by_photo)
    assert gained(result, "the photo's other drawings").gap_closed == pytest.approx(1.0)
    assert result.spreads[0].photo == pytest.approx(1.0)


def test_a_photo_decides_nothing_where_the_stroke_count_does(readable: Ceiling) -> None:
    assert gained(readable, "the photo's other drawings").gap_closed < 0.3
    assert abs(readable.spreads[0].photo) < 0.3


def test_a_look_is_charged_unless_the_policy_stops_at_it(readable: Ceiling) -> None:
    e = gained(readable, "strokes and a look at 16 px (ridge)")
    statistics_only = 2.0 * (16 + 2 * ceiling.NEAREST + 1) * 2 / 1e9
    assert e.share["32"] > 0.1
    assert e.selector_gflops == pytest.approx(e.share["32"] * 16**2 * 1e4 / 1e9 + statistics_only)


def test_the_curve_ends_at_all_photos(readable: Ceiling) -> None:
    points = [p for p in readable.curve if p.knows == "strokes (ridge)"]
    assert [p.photos for p in points] == [50, 60]
    whole = next(p for p in readable.policies if p.knows == "strokes (ridge)")
    assert points[-1].explained == pytest.approx(whole.explained)
    assert points[-1].hull_gain == pytest.approx(whole.evaluations[0.2].hull_gain)


def test_two_studies_are_equal_and_the_test_split_is_left_alone(luck: Ceiling) -> None:
    def no_test(row: int) -> VectorSketch:
        assert row < DRAWINGS * (PHOTOS["train"] + PHOTOS["val"])
        return drawing(row)

    again = study(
        CodedStudent(by_luck),
        replace(dataset(), read_sketch=no_test),
        canvases=CANVASES,
        copies=4,
        tradeoffs=(0.02, 0.2),
        resamples=200,
    )
    assert again.to_json() == luck.to_json()
    assert run(by_luck, seed=1).to_json()["policies"] != luck.to_json()["policies"]


def test_it_is_written_as_text_and_picture(luck: Ceiling, tmp_path: Path) -> None:
    saving.save(luck, tmp_path)
    stored = json.loads((tmp_path / "ceiling.json").read_text())
    assert stored == json.loads(json.dumps(luck.to_json()))
    assert set(stored["policies"][0]["evaluations"]) == {"0.02", "0.2"}
    text = (tmp_path / "ceiling.md").read_text()
    assert all(policy.knows in text for policy in luck.policies)
    assert (tmp_path / "ceiling.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("changes", [{"copies": 1}, {"split": "train"}, {"canvases": (16, 64)}])
def test_what_cannot_be_studied_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"two copies|canvases must be"):
        run(by_luck, **changes)


def test_copies_are_moved_a_little_and_always_the_same_way() -> None:
    copies = ceiling.copied(dataset(), "val", 3, seed=0)
    rows = dataset().indices("val")
    assert copies.photo_ids.tolist() == np.repeat(dataset().photo_ids[rows], 3).tolist()
    first, second = copies.sketch(3), copies.sketch(4)
    for copy in (first, second):
        for own, original in zip(copy.strokes, drawing(int(rows[1])).strokes, strict=True):
            # The corner of a canvas with its usual margin is moved the farthest.
            assert 0 < np.abs(own - original).max() < 0.05
    assert not np.array_equal(first.strokes[0], second.strokes[0])
    assert np.array_equal(first.strokes[0], ceiling.copied(dataset(), "val", 5, seed=0).sketch(5).strokes[0])
    assert not np.array_equal(first.strokes[0], ceiling.copied(dataset(), "val", 3, seed=1).sketch(3).strokes[0])


def test_components_of_a_made_up_variance() -> None:
    rng = np.random.default_rng(0)
    photo, own, raster = rng.normal(0, 1, 1500), rng.normal(0, 2, (1500, 3)), rng.normal(0, 3, (1500, 3, 4))
    values = (photo[:, None, None] + own[..., None] + raster).reshape(-1, 4)
    variance, of_photo, of_drawing = ceiling.components(values, np.repeat(np.arange(1500).astype(str), 3))
    assert variance == pytest.approx(14, rel=0.05)
    assert (of_photo, of_drawing) == pytest.approx((1 / 14, 4 / 14), abs=0.03)
    assert ceiling.components(np.ones((3, 2)), np.array(["a", "b", "c"])) == (0.0, 0.0, 0.0)


def test_ridge_finds_a_line_and_shrinks_noise() -> None:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(300, 5)), rng.normal(size=(200, 5))
    photos = np.repeat(np.arange(100).astype(str), 3)
    weights = rng.normal(size=(5, 3))
    assert forecast.explained(forecast.ridge(x, x @ weights, photos, z), z @ weights) > 0.999
    noise = rng.normal(size=(300, 3))
    assert np.ptp(forecast.ridge(x, noise, photos, z), axis=0).max() < 0.3
    with pytest.raises(ValueError, match="at least 5"):
        forecast.ridge(x, noise, np.full(300, "one"), z)


def test_explained_is_zero_for_the_means_and_one_for_the_truth() -> None:
    truth = np.random.default_rng(0).normal(size=(50, 3))
    assert forecast.explained(truth, truth) == 1.0
    assert forecast.explained(np.tile(truth.mean(axis=0), (50, 1)), truth) == pytest.approx(0.0)
    assert forecast.explained(truth + np.arange(50)[:, None], truth) == pytest.approx(1.0), "only differences count"
    assert forecast.explained(-truth, truth) < 0
    assert forecast.explained(truth, np.ones((50, 3))) == 0.0


def test_the_convolution_learns_from_the_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "EPOCHS", 60)
    monkeypatch.setattr(forecast, "BATCH", 32)

    def sketch(seed: int) -> VectorSketch:
        rng = np.random.default_rng([seed, 9])
        return VectorSketch.from_strokes([rng.uniform(0.1, 0.9, (3, 2)) for _ in range(int(rng.integers(1, 6)))])

    sketches = [sketch(i) for i in range(400)]
    truth = np.array([[1.0, 0.0] if s.n_strokes <= 2 else [0.0, 1.0] for s in sketches])
    before = torch.get_rng_state()
    guess, flops = forecast.convolution(sketches[:300], truth[:300], np.arange(300).astype(str), sketches[300:])
    assert torch.equal(before, torch.get_rng_state())
    assert forecast.explained(guess, truth[300:]) > 0.6
    assert flops.shape == (100,) and (flops > 0).all()
