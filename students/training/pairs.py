"""What students learn from: identities, each with drawings in many variants and one or more photos.

Everything here is made before the first step, from names alone, so that every run and every seed has the same pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sketchcanvas_env.data import RECOGNITION, SketchDataset
from sketchcanvas_env.sketches.freehand import LEVELS, freehand, seed_of
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.training.renderings import Renderings

Variant = tuple[VectorSketch, float]
"""A sketch and its share among the sketches of its identity."""


@dataclass(frozen=True)
class PoolConfig:
    """Which sketches and photos an identity has."""

    variants: int = 6
    """Fresh freehand variants of each drawing at each level above 0."""
    levels: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """How often each abstraction level is drawn; level 0 is the drawing itself."""
    edges: float = 0.0
    """Share of a photo's traced edges among the sketches of its identity (`students.training.edges`)."""
    others: float = 0.0
    """Share of other artists' renderings (`training.renderings`) among the photos of an identity that has any."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Sketches and photos by identity.

    Attributes:
        names: identities; the first `own` are the data set's, the rest come from outside.
        own: number of the data set's identities.
        sketches: every variant of every identity.
        sketch_rows: per identity the rows of `sketches`, (n,) int64 each.
        sketch_shares: per identity how often each of its sketches is drawn, (n,) float64, sums to 1.
        photos: (M, 3, S, S) uint8, S a little over the photo side.
        photo_rows: per identity the rows of `photos`; the first is the data set's own.
        photo_shares: per identity how often each of its photos is drawn, sums to 1.
    """

    names: tuple[str, ...]
    own: int
    sketches: tuple[VectorSketch, ...]
    sketch_rows: tuple[NDArray[np.int64], ...]
    sketch_shares: tuple[NDArray[np.float64], ...]
    photos: Tensor
    photo_rows: tuple[NDArray[np.int64], ...]
    photo_shares: tuple[NDArray[np.float64], ...]


def make_pairs(
    dataset: SketchDataset, pool: PoolConfig, photo_side: int, renderings: Renderings | None = None, workers: int = 2
) -> Pairs:
    """The `student` split in memory, with whatever `pool` adds to it.

    Args:
        dataset: where the split `student` and its photos come from.
        pool: what to add.
        photo_side: the student's; photos are kept at 9/8 of it, so that a crop can move.
        renderings: other artists' photos, and identities outside the data set.
        workers: processes that draw freehand variants.

    Raises:
        ValueError: as `training_rows`.
    """
    drawings: dict[str, list[tuple[str, VectorSketch]]] = {}
    for row in training_rows(dataset):
        named = (str(dataset.sketch_ids[row]), dataset.sketch(int(row)))
        drawings.setdefault(str(dataset.photo_ids[row]), []).append(named)
    own = len(drawings)
    side = round(photo_side * 1.125)
    images: dict[str, list[NDArray[np.uint8]]] = {name: [dataset.photo(name)] for name in drawings}
    tensors = [_scaled(np.stack([images[name][0] for name in drawings]), side)]
    if renderings is not None:
        for name, sketch in zip(renderings.sketch_names.tolist(), renderings.sketches, strict=True):
            drawings[name] = [(name, sketch)]
        tensors.append(_scaled(renderings.photos, side))
        for name, photo in zip(renderings.photo_names.tolist(), renderings.photos, strict=True):
            images.setdefault(name, []).append(photo)
    names = tuple(drawings)
    at: dict[str, list[int]] = {name: [] for name in names}
    shown = [*list(drawings)[:own], *(renderings.photo_names.tolist() if renderings is not None else ())]
    for index, name in enumerate(shown):
        at[name].append(index)
    photo_shares = [_photo_shares(len(at[name]), index < own, pool.others) for index, name in enumerate(names)]

    jobs = [(drawings[name], images[name] if pool.edges else [], pool) for name in names]
    with ProcessPoolExecutor(workers) as executor:
        variants = list(executor.map(_variants, jobs, chunksize=16))
    ends = np.cumsum([len(v) for v in variants])
    return Pairs(
        names=names,
        own=own,
        sketches=tuple(sketch for v in variants for sketch, _ in v),
        sketch_rows=tuple(np.arange(end - len(v), end) for v, end in zip(variants, ends, strict=True)),
        sketch_shares=tuple(_normed(share for _, share in v) for v in variants),
        photos=torch.cat(tensors),
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


def batch(pairs: Pairs, size: int, outside: float, seed: int, step: int) -> NDArray[np.int64]:
    """Identities of one step, (size,) int64, all different.

    A share `outside` of them comes from outside the data set (none where there is none). Each of the two groups is
    walked through in epochs of a fresh shuffle, the odd rest left out.
    """
    beyond = len(pairs.names) - pairs.own
    extra = min(round(size * outside), beyond)
    parts = [_epoch(pairs.own, size - extra, seed, 1, step)]
    if extra:
        parts.append(pairs.own + _epoch(beyond, extra, seed, 3, step))
    return np.concatenate(parts)


def _epoch(total: int, size: int, seed: int, stream: int, step: int) -> NDArray[np.int64]:
    epoch, place = divmod(step, max(1, total // size))
    order = np.random.RandomState([seed, stream, epoch]).permutation(total)
    return order[place * size : (place + 1) * size]


def _variants(job: tuple[Sequence[tuple[str, VectorSketch]], Sequence[NDArray[np.uint8]], PoolConfig]) -> list[Variant]:
    """All sketches of one identity with their shares (not normalised)."""
    drawings, images, pool = job
    found: list[Variant] = []
    for name, drawing in drawings:
        found += _freehand(name, drawing, pool, 1.0 - pool.edges)
    if pool.edges:
        from students.training.edges import edge_sketch

        traced = [(k, edge_sketch(image)) for k, image in enumerate(images)]
        for k, sketch in traced:
            if sketch is not None:
                share = pool.edges * len(drawings) / len(images)
                found += _freehand(f"{drawings[0][0]}/edges{k}", sketch, pool, share, variants=1)
    return found


def _freehand(
    name: str, drawing: VectorSketch, pool: PoolConfig, share: float, variants: int | None = None
) -> list[Variant]:
    """A drawing and its freehand variants; the seeds differ from those of the data set's own variants."""
    count = pool.variants if variants is None else variants
    found = []
    for level, (rough, often) in enumerate(zip(LEVELS, pool.levels, strict=True)):
        if not often:
            continue
        if level == 0:
            found.append((drawing, share * often))
            continue
        for k in range(count):
            rng = np.random.RandomState(seed_of(f"{name}/{level}/fresh{k}"))
            found.append((_placed(freehand(drawing, rough, rng), drawing), share * often / count))
    return found


def _placed(sketch: VectorSketch, drawing: VectorSketch) -> VectorSketch:
    """The sketch moved and scaled (aspect kept) into the bounding box of the drawing that it is a variant of.

    A variant fills the canvas whatever its drawing does; people who draw small would be met at the wrong size.
    """
    points, theirs = np.concatenate(sketch.strokes), np.concatenate(drawing.strokes)
    low, high = theirs.min(axis=0), theirs.max(axis=0)
    extent = float(np.ptp(points, axis=0).max())
    scale = float((high - low).max()) / extent if extent > 0.0 else 1.0
    middle, centre = (points.min(axis=0) + points.max(axis=0)) / 2.0, (low + high) / 2.0
    return VectorSketch.from_strokes(np.clip((s - middle) * scale + centre, 0.0, 1.0) for s in sketch.strokes)


def _photo_shares(count: int, has_own: bool, others: float) -> NDArray[np.float64]:
    if count == 1 or not has_own:
        return np.full(count, 1.0 / count)
    return np.array([1.0 - others] + [others / (count - 1)] * (count - 1))


def _normed(shares: Iterable[float]) -> NDArray[np.float64]:
    values = np.array(list(shares))
    return np.asarray(values / values.sum())


def _scaled(images: NDArray[np.uint8], side: int) -> Tensor:
    """(n, H, W, 3) uint8 -> (n, 3, side, side) uint8, in pieces that fit in memory."""
    pieces = (images[i : i + 256] for i in range(0, len(images), 256))
    scaled = (
        F.interpolate(
            torch.from_numpy(piece).permute(0, 3, 1, 2).float(), (side, side), mode="bilinear", antialias=True
        )
        for piece in pieces
    )
    return torch.cat([piece.round().clamp(0, 255).to(torch.uint8) for piece in scaled])
