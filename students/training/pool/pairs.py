"""What students learn from: identities, each with drawings in many variants and one or more photos.

Everything here is made before the first step, from names alone, so that every run and every seed has the same pool.
With `PoolConfig.variants` 0 the pool holds drawings only, and freehand variants are drawn at every step.
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
from students.training.checks import check_number, check_whole
from students.training.pool.backgrounds import subjects
from students.training.pool.fresh import Weights, fresh, placed, strength, weights_of
from students.training.pool.renderings import Renderings

_TRACED = 2
"""Photos of an identity whose edges are traced, which takes 15 ms each."""


@dataclass(frozen=True)
class PoolConfig:
    """Which sketches and photos an identity has."""

    variants: int = 6
    """Freehand variants of each drawing at each level above 0, made beforehand; 0: one drawn at every step instead."""
    levels: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """How often each abstraction level is drawn; level 0 is the drawing itself."""
    edges: float = 0.0
    """Share of the traced edges of photos among the sketches of their identity (`pool.edges`)."""
    others: float = 0.0
    """Share of other artists' renderings among the photos of an identity that has them (`pool.renderings`)."""
    doodles: float = 0.0
    """Share of people's doodles among the sketches of an identity that has them (`pool.doodles`)."""

    def __post_init__(self) -> None:
        """Check every field; ValueError says which is wrong and what is allowed."""
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
        names: identities; the first `own` are the data set's, the rest come from outside.
        own: number of the data set's identities.
        drawn_by_people: (own,) bool, identities that have doodles.
        sketches: every sketch of every identity.
        weights: of the points of each sketch that freehand variants are drawn of at every step; None for one that is
            taken as it is.
        sketch_rows: per identity the rows of `sketches`, (n,) int64 each.
        sketch_shares: per identity how often each of its sketches is drawn, (n,) float64, sums to 1.
        photos: (M, 3, S, S) uint8, S a little over the photo side.
        subjects: (M, 1, S, S) uint8, 255 where a photo shows its subject and 0 on the paper around it.
        photo_rows: per identity the rows of `photos`; the first is the data set's own.
        photo_shares: per identity how often each of its photos is drawn, sums to 1.
    """

    names: tuple[str, ...]
    own: int
    drawn_by_people: NDArray[np.bool_]
    sketches: tuple[VectorSketch, ...]
    weights: tuple[Weights | None, ...]
    sketch_rows: tuple[NDArray[np.int64], ...]
    sketch_shares: tuple[NDArray[np.float64], ...]
    photos: Tensor
    subjects: Tensor
    photo_rows: tuple[NDArray[np.int64], ...]
    photo_shares: tuple[NDArray[np.float64], ...]

    def sketch(self, row: int, levels: Sequence[float], rng: np.random.RandomState) -> VectorSketch:
        """The sketch in a row, or a freehand variant of it drawn now, its strength by `levels`."""
        weights = self.weights[row]
        if weights is None:
            return self.sketches[row]
        return fresh(self.sketches[row], weights, strength(levels, rng), rng)


def make_pairs(
    dataset: SketchDataset,
    pool: PoolConfig,
    photo_side: int,
    renderings: Renderings | None = None,
    workers: int = 2,
    doodles: Mapping[str, Sequence[VectorSketch]] | None = None,
) -> Pairs:
    """The `student` split in memory, with whatever `pool` adds to it.

    Args:
        dataset: where the split `student` and its photos come from.
        pool: what to add.
        photo_side: the student's; photos are kept at 9/8 of it, so that a crop can move.
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
    shown = list(drawings)
    if renderings is not None:
        shown += renderings.photo_names.tolist()
        for name, sketch in zip(renderings.sketch_names.tolist(), renderings.sketches, strict=True):
            drawings[name] = [(name, sketch)]
        for k, (name, icon) in enumerate(zip(renderings.icon_names.tolist(), renderings.icons, strict=True)):
            if name in drawings:
                drawings[name].append((f"{name}/icon{k}", icon))
    names = tuple(drawings)
    at: dict[str, list[int]] = {name: [] for name in names}
    for index, name in enumerate(shown):
        at[name].append(index)
    photo_shares = [_photo_shares(len(at[name]), index < own, pool.others) for index, name in enumerate(names)]

    def image(index: int) -> NDArray[np.uint8]:
        if index < own:
            return dataset.photo(names[index])
        assert renderings is not None
        photo: NDArray[np.uint8] = renderings.photos[index - own]
        return photo

    theirs = {name: tuple((doodles or {}).get(name, ())) if pool.doodles else () for name in names[:own]}
    jobs = [
        (drawings[name], [image(k) for k in at[name][:_TRACED]] if pool.edges else [], theirs.get(name, ()), pool)
        for name in names
    ]
    with ProcessPoolExecutor(workers) as executor:
        variants = list(executor.map(_variants, jobs, chunksize=16))
    del jobs
    photos = _scaled(image, len(shown), round(photo_side * 1.125))
    ends = np.cumsum([len(v) for v in variants])
    return Pairs(
        names=names,
        own=own,
        drawn_by_people=np.array([bool(theirs[name]) for name in names[:own]]),
        sketches=tuple(variant.sketch for v in variants for variant in v),
        weights=tuple(variant.weights for v in variants for variant in v),
        sketch_rows=tuple(np.arange(end - len(v), end) for v, end in zip(variants, ends, strict=True)),
        sketch_shares=tuple(_normed(variant.share for variant in v) for v in variants),
        photos=photos,
        subjects=subjects(photos),
        photo_rows=tuple(np.array(at[name]) for name in names),
        photo_shares=tuple(photo_shares),
    )


def training_rows(dataset: SketchDataset) -> NDArray[np.int64]:
    """Rows of the sketches to train on, (n,) int64: those of the split `student` as they were drawn.

    Raises:
        ValueError: the data set has none, or no photos since it is for recognition.
    """
    if dataset.task == RECOGNITION:
        raise ValueError(f"data set {dataset.name!r} has classes and no photos to train on: train for retrieval")
    rows = np.flatnonzero((dataset.split == "student") & (dataset.level == 0))
    if not len(rows):
        raise ValueError(f"data set {dataset.name!r} has no sketches in the split 'student' to train on")
    return rows


def batch(
    pairs: Pairs, size: int, outside: float, seed: int, step: int, people: float = 0.0, near: Near | None = None
) -> NDArray[np.int64]:
    """Identities of one step, (size,) int64, all different.

    A share `outside` of them comes from outside the data set (none where there is none), and a share `people` from the
    identities with doodles (likewise). Each group is walked through in epochs of a fresh shuffle, the odd rest left
    out.

    Args:
        pairs: the pool.
        size: pairs a step.
        outside: share from outside the data set.
        seed: of the run.
        step: counted from 0.
        people: share with doodles; 0 treats these identities as all others.
        near: `neighbours` of the data set's identities. Its part of the batch then consists of neighbourhoods
            instead, and `people` does not count.
    """
    own, beyond = np.arange(pairs.own), np.arange(pairs.own, len(pairs.names))
    extra = min(round(size * outside), len(beyond))
    rest = size - extra
    if near is not None:
        parts = [_neighbourhoods(near, rest, np.random.RandomState([seed, 4, step]))]
    else:
        drawn = own[pairs.drawn_by_people] if people else own[:0]
        doodled = min(round(rest * people), len(drawn))
        others = own[~pairs.drawn_by_people] if doodled else own
        parts = [_epoch(others, rest - doodled, seed, 1, step), _epoch(drawn, doodled, seed, 5, step)]
    return np.concatenate([*parts, _epoch(beyond, extra, seed, 3, step)])


Near = NDArray[np.int64]
"""(n, k): for each identity itself and its k - 1 nearest, as `neighbours` gives them."""


def neighbours(embeddings: NDArray[np.float32], count: int) -> Near:
    """The nearest rows of each row, itself first.

    Args:
        embeddings: (n, D) unit vectors.
        count: neighbours of each, itself among them.

    Returns:
        (n, min(count, n)) int64.
    """
    similar = embeddings @ embeddings.T
    np.fill_diagonal(similar, np.inf)
    return np.argsort(-similar, axis=1, kind="stable")[:, :count]


def _neighbourhoods(near: Near, size: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """`size` different identities: neighbourhoods of random ones, one after the other."""
    order = rng.permutation(len(near))
    flat = near[order].ravel()
    _, first = np.unique(flat, return_index=True)
    return np.asarray(flat[np.sort(first)[:size]])


def _epoch(rows: NDArray[np.int64], size: int, seed: int, stream: int, step: int) -> NDArray[np.int64]:
    if not size:
        return rows[:0]
    epoch, place = divmod(step, max(1, len(rows) // size))
    order = np.random.RandomState([seed, stream, epoch]).permutation(len(rows))
    return rows[order[place * size : (place + 1) * size]]


class _Variant(NamedTuple):
    """A sketch, its share among those of its identity (not normalised), and weights where variants are drawn of it."""

    sketch: VectorSketch
    share: float
    weights: Weights | None = None


_Job = tuple[Sequence[tuple[str, VectorSketch]], Sequence[NDArray[np.uint8]], Sequence[VectorSketch], PoolConfig]


def _variants(job: _Job) -> list[_Variant]:
    """All sketches of one identity."""
    drawings, images, doodles, pool = job
    found: list[_Variant] = []
    people = pool.doodles if doodles else 0.0
    for name, drawing in drawings:
        found += _freehand(name, drawing, pool, 1.0 - pool.edges - people)
    if pool.edges:
        from students.training.pool.edges import edge_sketch

        traced = [(k, edge_sketch(image)) for k, image in enumerate(images)]
        for k, sketch in traced:
            if sketch is not None:
                share = pool.edges * len(drawings) / len(images)
                found += _freehand(f"{drawings[0][0]}/edges{k}", sketch, pool, share, variants=1)
    # A doodle is rough already: it is taken as it is. The shares of a drawing's variants sum to those of the levels.
    whole = sum(pool.levels) * len(drawings)
    found += [_Variant(doodle, people * whole / len(doodles)) for doodle in doodles]
    return found


def _freehand(
    name: str, drawing: VectorSketch, pool: PoolConfig, share: float, variants: int | None = None
) -> list[_Variant]:
    """A drawing and its freehand variants; the seeds differ from those of the data set's own variants."""
    if not pool.variants:
        return [_Variant(drawing, share * sum(pool.levels), weights_of(drawing))]
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
            variant = placed(freehand(drawing, rough, rng).strokes, drawing)
            found.append(_Variant(variant, share * often / count))
    return found


def _photo_shares(count: int, has_own: bool, others: float) -> NDArray[np.float64]:
    if count == 1 or not has_own:
        return np.full(count, 1.0 / count)
    return np.array([1.0 - others] + [others / (count - 1)] * (count - 1))


def _normed(shares: Iterable[float]) -> NDArray[np.float64]:
    values = np.array(list(shares))
    return np.asarray(values / values.sum())


def _scaled(image: Callable[[int], NDArray[np.uint8]], count: int, side: int) -> Tensor:
    """Images (H, W, 3) uint8 by number -> (count, 3, side, side) uint8; one at a time, which saves memory."""
    scaled = torch.empty(count, 3, side, side, dtype=torch.uint8)
    for k in range(count):
        pixels = torch.from_numpy(image(k).astype(np.float32)).permute(2, 0, 1)[None]
        if pixels.shape[2:] != (side, side):
            pixels = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        scaled[k] = pixels[0].round().clamp(0, 255).to(torch.uint8)
    return scaled
