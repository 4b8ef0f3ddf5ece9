"""What bounds a selector: the part of the oracle's gap that is chance, and the part that can be predicted.

The oracle picks each sketch's best canvas by its outcome. Two things separate a selector from it.

**Chance.** Every sketch is drawn in several *copies*, moved, scaled and turned a little (`moved`). A difference
between copies is no property of the sketch. A policy that knows the outcomes of the *other* copies of a sketch is the
best that any knowledge of the sketch allows. With few copies the estimate is a little too low; a policy that averages
over all copies, its own included, is a little too high: the truth lies between.

**Prediction.** Regressions predict the accuracy part of the reward of every canvas, fitted on one split and used on
another: from the statistics of the strokes, from the strokes themselves (a convolution), also with the abstraction
level or the student's look at the smallest canvas (its nearest distances; the look is charged). As a control, one
policy knows the outcomes of the other drawings of the same photo. A learning curve shows whether more data would help.

Everything is evaluated by `agents.evaluation.evaluate` on all copies; the bootstrap resamples photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from agents.evaluation import bootstrap
from agents.evaluation.bootstrap import FloatArray
from agents.evaluation.evaluate import Evaluation, evaluate
from agents.store import provenance
from agents.studies.forecast import convolution, explained, ridge
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.features import batch_features
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.network.protocol import Embedder
from students.tables.ranking import euclidean
from students.tables.tabulate import tabulate

SHIFT, SCALE, TURN = 0.015, 0.03, 2.0
"""Largest shift (share of the side), scaling (share) and rotation (degrees) of a copy; drawn uniformly."""

TRADEOFFS = (0.02, 0.1, 0.2, 0.3)
CURVE_TRADEOFF = 0.2
"""Tradeoff of the learning curve's hull gain: the environment's default."""
CURVE_PHOTOS = (50, 100, 200)
CURVE_DRAWS = 5
"""Random draws of photos that each point of the learning curve averages."""

NEAREST = 10
"""Number of nearest distances that a look at the smallest canvas shows."""


@dataclass(frozen=True)
class Spread:
    """Variance of the reward difference between two canvases, over sketches and copies.

    Attributes:
        small: the smaller canvas, pixels.
        large: the next larger one.
        sd: standard deviation of R_acc(large) - R_acc(small).
        photo: share of its variance that is common to the drawings of a photo.
        drawing: share that is common to the copies of a drawing, beyond the photo's.
        luck: the rest, which differs between copies.
    """

    small: int
    large: int
    sd: float
    photo: float
    drawing: float
    luck: float


@dataclass(frozen=True)
class Policy:
    """The result of a policy with one kind of knowledge.

    Attributes:
        knows: what the policy knows.
        explained: share of the variance of the reward differences between neighbouring canvases that its forecast
            explains; None for a policy without a forecast of this copy. Below 0 for a forecast worse than the mean.
        evaluations: by tradeoff.
    """

    knows: str
    explained: float | None
    evaluations: dict[float, Evaluation]


@dataclass(frozen=True)
class CurvePoint:
    """Ridge regression on some of the photos, mean over draws of them; hull gain is a share of queries."""

    knows: str
    photos: int
    explained: float
    hull_gain: float


@dataclass(frozen=True)
class Ceiling:
    """The study; `reliability` is an upper bound on `explained` without embedding the sketch itself."""

    dataset: str
    dataset_hash: str
    student: str
    student_hash: str
    split: str
    learnt_on: str
    canvases: tuple[int, ...]
    sketches: int
    photos: int
    copies: int
    seed: int
    reliability: float
    spreads: tuple[Spread, ...]
    policies: tuple[Policy, ...]
    curve: tuple[CurvePoint, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields and versions as JSON-able values."""
        fields = asdict(self)
        fields["policies"] = [
            {
                "knows": policy.knows,
                "explained": policy.explained,
                "evaluations": {str(dial): e.to_json() for dial, e in policy.evaluations.items()},
            }
            for policy in self.policies
        ]
        return {**fields, "provenance": {"versions": provenance.versions(), "machine": provenance.machine()}}


def study(
    student: Embedder,
    dataset: SketchDataset,
    split: str = "val",
    *,
    learn: str = "train",
    canvases: Sequence[int] = (32, 64, 128, 256),
    copies: int = 8,
    seed: int = 0,
    tradeoffs: Sequence[float] = TRADEOFFS,
    resamples: int = bootstrap.RESAMPLES,
    progress: bool = False,
) -> Ceiling:
    """Measure what bounds a selector of a student's canvases.

    Args:
        student: frozen.
        dataset: with both splits.
        split: whose sketches are evaluated; `test` only for final figures.
        learn: the split that forecasts learn from.
        canvases: on offer, pixels, rising.
        copies: of every sketch, at least 2.
        seed: of the copies, the networks and the bootstrap.
        tradeoffs: of the reward, each evaluated separately.
        resamples: of the bootstrap.
        progress: show progress bars on standard error.

    Raises:
        ValueError: fewer than two copies, one split for both, or a split or canvas that does not exist.
    """
    if copies < 2 or split == learn:
        raise ValueError(f"give two copies or more and another split to learn from, got {copies}, {split!r}, {learn!r}")
    judged, seen = (
        _Copies.of(student, copied(dataset, part, copies, seed), canvases, progress) for part in (split, learn)
    )
    table, n = judged.table, len(judged.table) // copies
    truth = judged.truth.reshape(n, copies, -1)
    photos = table.photo_ids[::copies]

    def policy(
        knows: str, forecast: FloatArray, explains: bool = False, thinking: npt.ArrayLike = 0.0, look: float = 0.0
    ) -> Policy:
        """Choose by the forecast of R_acc, (n * copies, K); the look costs nothing where its canvas is chosen."""
        evaluations = {}
        for dial in tradeoffs:
            choice = _choose(table, forecast, dial)
            cost = np.asarray(thinking) + np.where(choice > 0, look, 0.0)
            evaluations[dial] = evaluate(
                table, choice, tradeoff=dial, selector_flops=cost, resamples=resamples, seed=seed
            )
        return Policy(knows, explained(forecast, judged.truth) if explains else None, evaluations)

    policies = [policy("this very raster (oracle)", judged.truth)]
    some = sorted({*(2**i for i in range(10) if 2**i < copies), copies - 1})
    policies += [policy(f"{m} other cop{'y' if m == 1 else 'ies'}", _others(truth, m)) for m in some]
    policies.append(policy("all copies, its own too", np.repeat(truth.mean(axis=1), copies, axis=0)))
    policies.append(
        policy("the photo's other drawings", np.repeat(_siblings(truth.mean(axis=1), photos), copies, axis=0))
    )

    small, k = student.flops(int(canvases[0])), len(canvases)
    curve = []
    for knows, parts, look in (
        ("strokes (ridge)", ("strokes",), 0.0),
        ("strokes and level (ridge)", ("strokes", "level"), 0.0),
        (f"strokes and a look at {canvases[0]} px (ridge)", ("strokes", "look"), small),
    ):
        x, z = seen.features(parts), judged.features(parts)
        forecast = ridge(x, seen.truth, seen.table.photo_ids, z)
        policies.append(policy(knows, forecast, True, 2.0 * x.shape[1] * k, look))
        curve += _curve(knows, x, seen, z, judged, look)
    forecast, thinking = convolution(seen.sketches, seen.truth, seen.table.photo_ids, judged.sketches, seed)
    policies.append(policy("strokes (convolution)", forecast, True, thinking))

    pairs = [components(d, photos) for d in np.moveaxis(np.diff(truth, axis=2), 2, 0)]
    variance = np.array([total for total, _, _ in pairs])
    return Ceiling(
        dataset=dataset.name,
        dataset_hash=dataset.hash,
        student=student.name,
        student_hash=student.weights_hash,
        split=split,
        learnt_on=learn,
        canvases=tuple(int(side) for side in canvases),
        sketches=n,
        photos=len(np.unique(photos)),
        copies=copies,
        seed=seed,
        reliability=float(variance @ [photo + drawing for _, photo, drawing in pairs] / variance.sum()),
        spreads=tuple(
            Spread(int(low), int(high), float(total**0.5), photo, drawing, 1.0 - photo - drawing)
            for low, high, (total, photo, drawing) in zip(canvases[:-1], canvases[1:], pairs, strict=True)
        ),
        policies=tuple(policies),
        curve=tuple(curve),
    )


# ---- copies


def moved(sketch: VectorSketch, rng: np.random.Generator) -> VectorSketch:
    """The drawing, shifted, scaled and rotated by random amounts up to `SHIFT`, `SCALE` and `TURN`."""
    shift, scale = rng.uniform(-SHIFT, SHIFT, 2), 1.0 + rng.uniform(-SCALE, SCALE)
    angle = np.deg2rad(rng.uniform(-TURN, TURN))
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    strokes = [(stroke.astype(np.float64) - 0.5) @ turn + 0.5 + shift for stroke in sketch.strokes]
    return VectorSketch.from_strokes([np.clip(stroke, 0.0, 1.0) for stroke in strokes])


def copied(dataset: SketchDataset, split: str, copies: int, seed: int) -> SketchDataset:
    """A split with every sketch in several moved copies, one after the other; seeded by seed, sketch id and number."""
    rows = dataset.indices(split)
    ids = dataset.sketch_ids[rows].tolist()

    def read(index: int) -> VectorSketch:
        place, number = divmod(index, copies)
        rng = np.random.default_rng([seed, crc32(ids[place].encode()), number])
        return moved(dataset.sketch(int(rows[place])), rng)

    return replace(
        dataset,
        sketch_ids=np.array([f"{name}#{number}" for name in ids for number in range(copies)], dtype=np.str_),
        photo_ids=np.repeat(dataset.photo_ids[rows], copies),
        split=np.repeat(dataset.split[rows], copies),
        level=np.repeat(dataset.level[rows], copies),
        read_sketch=read,
    )


@dataclass(frozen=True, eq=False)
class _Copies:
    """Copies of a split's sketches: outcomes, R_acc (rows, K), sketches, and features by name (rows, F)."""

    table: OutcomeTable
    truth: FloatArray
    sketches: list[VectorSketch]
    known: dict[str, FloatArray]

    @classmethod
    def of(cls, student: Embedder, copies: SketchDataset, canvases: Sequence[int], progress: bool) -> _Copies:
        table = tabulate(student, copies, canvases, progress)
        sketches = [copies.sketch(row) for row in range(len(copies))]
        gallery = copies.gallery(str(copies.split[0])).tolist()
        photos = student.embed_photos(np.stack([copies.photo(photo) for photo in gallery]))
        between = np.sort(euclidean(student.embed(sketches, int(canvases[0])), photos), axis=1)
        nearest = between[:, :NEAREST]
        known = {
            "strokes": batch_features(sketches).astype(np.float64),
            "level": np.eye(max(4, int(copies.level.max()) + 1))[copies.level],
            "look": np.column_stack(
                [nearest, nearest[:, 1:] - nearest[:, :1], between.mean(axis=1), between.std(axis=1)]
            ),
        }
        return cls(table, rules.accuracy_reward(table.ranks, table.triplet), sketches, known)

    def features(self, parts: Sequence[str]) -> FloatArray:
        return np.column_stack([self.known[part] for part in parts])


# ---- policies


def _choose(table: OutcomeTable, forecast: FloatArray, tradeoff: float) -> npt.NDArray[np.int64]:
    """The canvas with the highest forecast reward, (rows,); ties go to the cheapest."""
    return np.asarray(rules.reward(forecast, rules.compute_reward(table.flops), tradeoff).argmax(axis=1))


def _others(truth: FloatArray, m: int) -> FloatArray:
    """Mean R_acc of the m copies after each copy, cyclically; (n, J, K) -> (n * J, K)."""
    return np.asarray(
        np.mean([np.roll(truth, -i, axis=1) for i in range(1, m + 1)], axis=0).reshape(-1, truth.shape[2])
    )


def _siblings(means: FloatArray, photos: npt.NDArray[np.str_]) -> FloatArray:
    """Mean R_acc of the photo's other drawings, or of all sketches where there are none, (n, K)."""
    _, group = np.unique(photos, return_inverse=True)
    sums = np.zeros((group.max() + 1, means.shape[1]))
    np.add.at(sums, group, means)
    count = np.bincount(group)[group][:, None]
    return np.asarray(np.where(count > 1, (sums[group] - means) / np.maximum(count - 1, 1), means.mean(axis=0)))


def components(values: FloatArray, photos: npt.NDArray[np.str_]) -> tuple[float, float, float]:
    """The variance, the share common to a photo's drawings, and the further share common to a drawing's copies.

    Intraclass correlations, estimated by the mean product over pairs of copies of a drawing and over pairs of drawings
    of a photo.

    Args:
        values: (n, J), J copies of n drawings.
        photos: (n,).
    """
    centred = values - values.mean()
    n, j = centred.shape
    copies = ((centred.sum(axis=1) ** 2).sum() - (centred**2).sum()) / (n * j * (j - 1))
    means = centred.mean(axis=1)
    _, group, counts = np.unique(photos, return_inverse=True, return_counts=True)
    pairs = int((counts * (counts - 1)).sum())
    drawings = ((np.bincount(group, means) ** 2).sum() - (means**2).sum()) / pairs if pairs else 0.0
    variance = float((centred**2).mean())
    if variance == 0.0:
        return 0.0, 0.0, 0.0
    return variance, float(drawings / variance), float((copies - drawings) / variance)


def _curve(knows: str, x: FloatArray, seen: _Copies, z: FloatArray, judged: _Copies, look: float) -> list[CurvePoint]:
    photos = seen.table.photo_ids
    names = np.unique(photos)
    points = []
    for size in [*(size for size in CURVE_PHOTOS if size < len(names)), len(names)]:
        scores = []
        for draw in range(CURVE_DRAWS if size < len(names) else 1):
            kept = np.isin(photos, np.random.default_rng([draw, 1]).permutation(names)[:size])
            forecast = ridge(x[kept], seen.truth[kept], photos[kept], z)
            choice = _choose(judged.table, forecast, CURVE_TRADEOFF)
            cost = 2.0 * x.shape[1] * judged.table.n_canvases + np.where(choice > 0, look, 0.0)
            gain = evaluate(judged.table, choice, selector_flops=cost, resamples=1).hull_gain
            scores.append((explained(forecast, judged.truth), gain))
        points.append(CurvePoint(knows, size, *np.mean(scores, axis=0).tolist()))
    return points
