"""The training pool: identities, each with drawings in many variants and one or more photos.

An identity is what a photo shows; its sketches and photos are its pairs. The pool is made before the first step and
depends on names alone, so that all runs and seeds have the same. With `PoolConfig.variants` 0 it holds drawings only,
and freehand variants are drawn during each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sketchcanvas_env.data import RECOGNITION, SketchDataset
from sketchcanvas_env.sketches.freehand import LEVELS, freehand, seed_of
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.training.pool.backgrounds import subjects
from students.training.pool.checks import check_number, check_whole
from students.training.pool.renderings import Renderings
from students.training.pool.variants import PointWeights, draw_variant, place_variant, point_weights, random_strength

_TRACED_PHOTOS = 2
"""Photos of an identity whose edges are traced, at most; each takes 15 ms."""


@dataclass(frozen=True)
class PoolConfig:
    """Settings of the pool: which sketches and photos an identity has, and how often each is drawn."""

    variants: int = 6
    """Freehand variants of each drawing at each level above 0, made in advance; 0: a new one during each step."""
    levels: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """Relative frequency of each abstraction level; level 0 is the drawing itself."""
    edges: float = 0.0
    """Share of traced photo edges among an identity's sketches (`students.training.pool.edges`)."""
    others: float = 0.0
    """Share of other artists' renderings among an identity's photos, where it has some (`renderings`)."""
    doodles: float = 0.0
    """Share of people's doodles among an identity's sketches, where it has some (`doodles`)."""

    def __post_init__(self) -> None:
        """Check all fields; ValueError names the wrong one and what is allowed."""
        check_whole("pool.variants", self.variants, 0, 1000)
        if not isinstance(self.levels, (list, tuple)) or len(self.levels) != len(LEVELS):
            raise ValueError(f"pool.levels must be {len(LEVELS)} numbers, got {self.levels!r}")
        object.__setattr__(self, "levels", tuple(self.levels))
        for number, often in enumerate(self.levels):
            check_number(f"pool.levels[{number}]", often, 0.0, 1e6)
        if not sum(self.levels) > 0.0:
            raise ValueError(f"pool.levels needs a number above 0, got {self.levels!r}")
        for name in ("edges", "others", "doodles"):
            check_number(f"pool.{name}", getattr(self, name), 0.0, 1.0)
        if self.edges + self.doodles > 1.0:
            raise ValueError(f"pool.edges and pool.doodles are shares of one whole, got {self.edges} + {self.doodles}")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Sketches and photos by identity.

    Attributes:
        names: identities; the first `own` are the data set's, the others come from outside.
        own: number of the data set's identities.
        has_doodles: (own,) bool.
        sketches: all sketches of all identities.
        weights: per sketch its point weights, if freehand variants of it are drawn during training; None for a sketch
            used as it is.
        sketch_rows: per identity its rows of `sketches`, (n,) int64.
        sketch_shares: per identity the probability of each of its sketches, (n,) float64, sums to 1.
        photos: (M, 3, S, S) uint8, S = 9/8 of the student's photo side.
        subjects: (M, 1, S, S) uint8, 255 on a photo's subject and 0 on the paper around it.
        photo_rows: per identity its rows of `photos`; the first is the data set's own photo.
        photo_shares: per identity the probability of each of its photos, sums to 1.
    """

    names: tuple[str, ...]
    own: int
    has_doodles: NDArray[np.bool_]
    sketches: tuple[VectorSketch, ...]
    weights: tuple[PointWeights | None, ...]
    sketch_rows: tuple[NDArray[np.int64], ...]
    sketch_shares: tuple[NDArray[np.float64], ...]
    photos: Tensor
    subjects: Tensor
    photo_rows: tuple[NDArray[np.int64], ...]
    photo_shares: tuple[NDArray[np.float64], ...]

    def sketch(self, row: int, levels: Sequence[float], rng: np.random.RandomState) -> VectorSketch:
        """The sketch in a row, or a new freehand variant of it whose strength follows `levels`."""
        weights = self.weights[row]
        if weights is None:
            return self.sketches[row]
        return draw_variant(self.sketches[row], weights, random_strength(levels, rng), rng)


def make_pairs(
    dataset: SketchDataset,
    pool: PoolConfig,
    photo_side: int,
    renderings: Renderings | None = None,
    workers: int = 2,
    doodles: Mapping[str, Sequence[VectorSketch]] | None = None,
) -> Pairs:
    """The sketches and photos of the split `student`, with the additions that `pool` asks for, in memory.

    Args:
        dataset: a data set for retrieval.
        pool: the additions.
        photo_side: the student's, pixels; photos are stored at 9/8 of it, so that crops can move.
        renderings: other artists' photos and sketches, and identities outside the data set.
        workers: processes that draw freehand variants.
        doodles: people's drawings by photo.

    Raises:
        ValueError: as `training_rows`.
    """
    drawings: dict[str, list[tuple[str, VectorSketch]]] = {}
    for row in training_rows(dataset):
        named = (str(dataset.sketch_ids[row]), dataset.sketch(int(row)))
        drawings.setdefault(str(dataset.photo_ids[row]), []).append(named)
    own = len(drawings)
    photo_names = list(drawings)
    if renderings is not None:
        photo_names += renderings.photo_names.tolist()
        for name, sketch in zip(renderings.sketch_names.tolist(), renderings.sketches, strict=True):
            drawings[name] = [(name, sketch)]
        for k, (name, icon) in enumerate(zip(renderings.icon_names.tolist(), renderings.icons, strict=True)):
            if name in drawings:
                drawings[name].append((f"{name}/icon{k}", icon))
    names = tuple(drawings)
    photos_of: dict[str, list[int]] = {name: [] for name in names}
    for index, name in enumerate(photo_names):
        photos_of[name].append(index)
    photo_shares = [_photo_shares(len(photos_of[name]), index < own, pool.others) for index, name in enumerate(names)]

    def image(index: int) -> NDArray[np.uint8]:
        if index < own:
            return dataset.photo(names[index])
        assert renderings is not None
        photo: NDArray[np.uint8] = renderings.photos[index - own]
        return photo

    doodles_of = {name: tuple((doodles or {}).get(name, ())) if pool.doodles else () for name in names[:own]}
    jobs = [
        (
            drawings[name],
            [image(k) for k in photos_of[name][:_TRACED_PHOTOS]] if pool.edges else [],
            doodles_of.get(name, ()),
            pool,
        )
        for name in names
    ]
    with ProcessPoolExecutor(workers) as executor:
        variants = list(executor.map(_variants, jobs, chunksize=16))
    del jobs
    photos = _scaled(image, len(photo_names), round(photo_side * 1.125))
    ends = np.cumsum([len(v) for v in variants])
    return Pairs(
        names=names,
        own=own,
        has_doodles=np.array([bool(doodles_of[name]) for name in names[:own]]),
        sketches=tuple(variant.sketch for v in variants for variant in v),
        weights=tuple(variant.weights for v in variants for variant in v),
        sketch_rows=tuple(np.arange(end - len(v), end) for v, end in zip(variants, ends, strict=True)),
        sketch_shares=tuple(_normalised(variant.share for variant in v) for v in variants),
        photos=photos,
        subjects=subjects(photos),
        photo_rows=tuple(np.array(photos_of[name]) for name in names),
        photo_shares=tuple(photo_shares),
    )


def training_rows(dataset: SketchDataset) -> NDArray[np.int64]:
    """Rows of the sketches to train on, (n,) int64: the original drawings (level 0) of the split `student`.

    Raises:
        ValueError: there are none, or the data set is for recognition and has no photos.
    """
    if dataset.task == RECOGNITION:
        raise ValueError(f"data set {dataset.name!r} has classes and no photos to train on: train for retrieval")
    rows = np.flatnonzero((dataset.split == "student") & (dataset.level == 0))
    if not len(rows):
        raise ValueError(f"data set {dataset.name!r} has no sketches in the split 'student' to train on")
    return rows


def training_photos(dataset: SketchDataset) -> set[str]:
    """Names of the photos that have sketches to train on. Raises ValueError as `training_rows`."""
    return set(dataset.photo_ids[training_rows(dataset)].tolist())


def batch(
    pairs: Pairs, size: int, outside: float, seed: int, step: int, people: float = 0.0, near: Neighbours | None = None
) -> NDArray[np.int64]:
    """Identities of one step, (size,) int64, all different.

    Three groups are used in epochs, each epoch in a new random order without its incomplete last batch: identities
    from outside the data set, the data set's with doodles, and the data set's others.

    Args:
        pairs: the pool.
        size: pairs per step.
        outside: share of the batch from outside the data set, as far as there are such identities.
        seed: the run's.
        step: counted from 0.
        people: share of the data set's part with doodles; 0 makes no difference between identities.
        near: nearest identities of each of the data set's. Its part of the batch then consists of neighbourhoods, and
            `people` is ignored.
    """
    own, foreign = np.arange(pairs.own), np.arange(pairs.own, len(pairs.names))
    from_outside = min(round(size * outside), len(foreign))
    from_own = size - from_outside
    if near is not None:
        parts = [_neighbourhoods(near, from_own, np.random.RandomState([seed, 4, step]))]
    else:
        doodled = own[pairs.has_doodles] if people else own[:0]
        from_doodled = min(round(from_own * people), len(doodled))
        others = own[~pairs.has_doodles] if from_doodled else own
        parts = [
            _epoch_slice(others, from_own - from_doodled, seed, 1, step),
            _epoch_slice(doodled, from_doodled, seed, 5, step),
        ]
    return np.concatenate([*parts, _epoch_slice(foreign, from_outside, seed, 3, step)])


Neighbours = NDArray[np.int64]
"""(n, k): each identity and its k - 1 nearest ones."""


def neighbours(embeddings: NDArray[np.float32], count: int) -> Neighbours:
    """The nearest rows of each row, itself first.

    Args:
        embeddings: (n, D) unit vectors.
        count: neighbours of each row, including itself.

    Returns:
        (n, min(count, n)) int64.
    """
    similar = embeddings @ embeddings.T
    np.fill_diagonal(similar, np.inf)
    return np.argsort(-similar, axis=1, kind="stable")[:, :count]


def _neighbourhoods(near: Neighbours, size: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """`size` different identities: the neighbourhoods of random ones, concatenated."""
    order = rng.permutation(len(near))
    flat = near[order].ravel()
    _, first = np.unique(flat, return_index=True)
    return np.asarray(flat[np.sort(first)[:size]])


def _epoch_slice(rows: NDArray[np.int64], size: int, seed: int, stream: int, step: int) -> NDArray[np.int64]:
    """The `size` rows of a step, from the epoch's random order; `stream` separates the groups' random numbers."""
    if not size:
        return rows[:0]
    epoch, place = divmod(step, max(1, len(rows) // size))
    order = np.random.RandomState([seed, stream, epoch]).permutation(len(rows))
    return rows[order[place * size : (place + 1) * size]]


class _Variant(NamedTuple):
    """A sketch, its unnormalised share among its identity's sketches, and point weights if variants are drawn of it."""

    sketch: VectorSketch
    share: float
    weights: PointWeights | None = None


_Job = tuple[Sequence[tuple[str, VectorSketch]], Sequence[NDArray[np.uint8]], Sequence[VectorSketch], PoolConfig]


def _variants(job: _Job) -> list[_Variant]:
    """All sketches of one identity with their shares."""
    drawings, images, doodles, pool = job
    found: list[_Variant] = []
    doodle_share = pool.doodles if doodles else 0.0
    for name, drawing in drawings:
        found += _freehand(name, drawing, pool, 1.0 - pool.edges - doodle_share)
    if pool.edges:
        from students.training.pool.edges import edge_sketch

        traced = [(k, edge_sketch(image)) for k, image in enumerate(images)]
        for k, sketch in traced:
            if sketch is not None:
                share = pool.edges * len(drawings) / len(images)
                found += _freehand(f"{drawings[0][0]}/edges{k}", sketch, pool, share, variants=1)
    # A doodle is rough already, so no variants are drawn of it. A drawing's variants have shares that sum to those of
    # the levels; `whole` brings doodles to the same scale.
    whole = sum(pool.levels) * len(drawings)
    found += [_Variant(doodle, doodle_share * whole / len(doodles)) for doodle in doodles]
    return found


def _freehand(
    name: str, drawing: VectorSketch, pool: PoolConfig, share: float, variants: int | None = None
) -> list[_Variant]:
    """A drawing and its freehand variants; their seeds differ from those of the data set's own variants."""
    if not pool.variants:
        return [_Variant(drawing, share * sum(pool.levels), point_weights(drawing))]
    count = pool.variants if variants is None else variants
    found = []
    for level, (rough, often) in enumerate(zip(LEVELS, pool.levels, strict=True)):
        if not often:
            continue
        if level == 0:
            found.append(_Variant(drawing, share * often))
            continue
        for k in range(count):
            rng = np.random.RandomState(seed_of(f"{name}/{level}/fresh{k}"))
            variant = place_variant(freehand(drawing, rough, rng).strokes, drawing)
            found.append(_Variant(variant, share * often / count))
    return found


def _photo_shares(count: int, has_own: bool, others: float) -> NDArray[np.float64]:
    """Probabilities of an identity's photos: `others` is that of all but the first, where that is the data set's."""
    if count == 1 or not has_own:
        return np.full(count, 1.0 / count)
    return np.array([1.0 - others] + [others / (count - 1)] * (count - 1))


def _normalised(shares: Iterable[float]) -> NDArray[np.float64]:
    values = np.array(list(shares))
    return np.asarray(values / values.sum())


def _scaled(image: Callable[[int], NDArray[np.uint8]], count: int, side: int) -> Tensor:
    """The images 0 to `count` - 1, each (H, W, 3) uint8, resized to (count, 3, side, side) uint8 one by one."""
    scaled = torch.empty(count, 3, side, side, dtype=torch.uint8)
    for k in range(count):
        pixels = torch.from_numpy(image(k).astype(np.float32)).permute(2, 0, 1)[None]
        if pixels.shape[2:] != (side, side):
            pixels = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        scaled[k] = pixels[0].round().clamp(0, 255).to(torch.uint8)
    return scaled
