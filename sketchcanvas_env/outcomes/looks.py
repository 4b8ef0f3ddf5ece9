"""What a sequence of looks at one sketch needs beside an outcome table, and what an agent is shown of its looks.

An outcome table says what comes of each canvas alone. Who looks at one sketch several times is also to know how far
away the nearest photos were at each look, and what a ranking by several looks together is worth. Both are facts of the
same frozen student, computed once and stored in a file beside the table's.

What is shown of looks (`look_features`) is what a deployed system would know, too: distances of the nearest photos,
agreement between looks, and costs. Nothing in it needs the true photo.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import TOP
from sketchcanvas_env.outcomes.sidecar import Companion, check_distances, load_beside
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.table_file import TableError, check_shapes, shapes_of


@dataclass(frozen=True, eq=False, repr=False)
class LookTable(Companion):
    """What an outcome table lacks for sequences of looks; it belongs to one table, row by row and column by column.

    Arrays are copied, checked and made read-only. `check_looks` holds it against its table.

    Attributes:
        outcomes_hash: `OutcomeTable.hash` of the whole table.
        distances: (N, K, 5) float32, Euclidean distances to the photos in `OutcomeTable.top`, not falling, in [0, 2]; 2
            where there is no photo.
        fused_of: (F,) int64, sets of two or more canvases, rising, each as the sum of 2^j over its columns j.
        fused_ranks: (N, F) int32, rank of the true photo by the distances of these looks together
            (`reward.fused_distance`).
        fused_triplet: (N, F) float32, triplet loss likewise.
        meta: where it comes from; JSON-able.
        temperatures: (K,) float64, temperature of the softmax at each canvas, fitted on `train`
            (`outcomes.confidence`); None, with the next three, in a table that was built without.
        confidence: (N, K) float32, share of the nearest photo in the softmax over the gallery, in (0, 1].
        entropy: (N, K) float32, entropy of that softmax as a share of the highest, in [0, 1].
        apart: (N, K) float32, Euclidean distance between the embeddings of the two nearest photos, in [0, 2]: near 0
            where they are alike; 2 where the gallery has one photo.

    Raises:
        TableError: shapes or ranges that cannot be.
    """

    # Shapes in terms of N rows, K canvases, F sets of canvases.
    ARRAYS: ClassVar = {
        "distances": (np.float32, ("N", "K", TOP)),
        "fused_of": (np.int64, ("F",)),
        "fused_ranks": (np.int32, ("N", "F")),
        "fused_triplet": (np.float32, ("N", "F")),
        "temperatures": (np.float64, ("K",)),
        "confidence": (np.float32, ("N", "K")),
        "entropy": (np.float32, ("N", "K")),
        "apart": (np.float32, ("N", "K")),
    }
    OPTIONAL: ClassVar = ("temperatures", "confidence", "entropy", "apart")
    SUFFIX: ClassVar = ".looks.npz"
    NAME: ClassVar = "table of looks"
    MISSING: ClassVar = (
        "no looks at {path}: sequences of looks need more than an outcome table; "
        "'sketchcanvas tabulate --student NAME --dataset NAME --out TABLE --looks' builds both"
    )

    outcomes_hash: str
    distances: npt.NDArray[np.float32]
    fused_of: npt.NDArray[np.int64]
    fused_ranks: npt.NDArray[np.int32]
    fused_triplet: npt.NDArray[np.float32]
    meta: Mapping[str, Any] = field(default_factory=dict)
    temperatures: npt.NDArray[np.float64] | None = None
    confidence: npt.NDArray[np.float32] | None = None
    entropy: npt.NDArray[np.float32] | None = None
    apart: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Number of sketches, N."""
        return len(self.distances)

    @cached_property
    def hash(self) -> str:
        """Hex SHA-256 of the content: the table that it belongs to, every array's shape and bytes; not `meta`."""
        digest = hashlib.sha256(self.outcomes_hash.encode())
        for name, array in self._arrays().items():
            digest.update(f"\n{name} {array.dtype.kind}{array.shape}\n".encode())
            digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    def sureness(self) -> npt.NDArray[np.float32]:
        """(N, K, 3) float32, confidence, entropy and `apart` of each look.

        Raises:
            ValueError: a table that was built without; the message says how to build it anew.
        """
        if self.confidence is None or self.entropy is None or self.apart is None:
            raise ValueError(
                "the looks were built without confidence: build them anew with 'sketchcanvas tabulate ... --looks'"
            )
        return np.stack([self.confidence, self.entropy, self.apart], axis=-1)

    def _check(self) -> None:
        _check(self)

    def check_against(self, table: OutcomeTable) -> None:
        """As `check_looks`."""
        check_looks(self, table)


def _check(looks: LookTable) -> None:
    """Raise TableError for the first thing that cannot be, whatever the outcome table says."""
    sizes = check_shapes(shapes_of(looks._arrays()), looks.ARRAYS)
    if 0 in (sizes["N"], sizes["K"]):
        raise TableError("there are no looks: no sketch or no canvas")
    distances, sets = looks.distances, looks.fused_of
    check_distances(distances)
    if (np.diff(sets) <= 0).any() or any(
        not 0 < each < 1 << sizes["K"] or each.bit_count() < 2 for each in sets.tolist()
    ):
        raise TableError("fused_of must hold rising sets of two or more of the canvases")
    if (looks.fused_ranks < 1).any():
        raise TableError("fused_ranks must not be below 1")
    if not np.isfinite(looks.fused_triplet).all() or (looks.fused_triplet < 0).any():
        raise TableError("fused_triplet must be finite and not negative")
    have = [name for name in looks.OPTIONAL if getattr(looks, name) is not None]
    if have and len(have) < len(looks.OPTIONAL):
        raise TableError(f"{', '.join(looks.OPTIONAL)} belong together: there is only {', '.join(have)}")
    for name, low, high in (
        ("temperatures", 0.0, np.inf),
        ("confidence", 0.0, 1.0),
        ("entropy", 0.0, 1.0),
        ("apart", 0.0, rules.MAX_DISTANCE + rules.DISTANCE_SLACK),
    ):
        array = getattr(looks, name)
        # NaN compares false with everything.
        if array is not None and not ((array >= low) & (array <= high) & np.isfinite(array)).all():
            raise TableError(f"{name} must be finite and lie in [{low:g}, {high:g}]")
    if looks.temperatures is not None and not looks.temperatures.all():
        raise TableError("temperatures must be above zero")


def check_looks(looks: LookTable, table: OutcomeTable) -> None:
    """Refuse looks that do not belong to an outcome table.

    Args:
        looks: the looks.
        table: the whole table, all rows and columns.

    Raises:
        TableError: made for another table, or at odds with it.
    """
    if looks.outcomes_hash != table.hash:
        raise TableError(
            f"the looks were made for another outcome table: hash {looks.outcomes_hash[:12]} there, {table.hash[:12]} "
            f"of that of {table.student!r} on {table.dataset!r}; build both anew with 'sketchcanvas tabulate --looks'"
        )
    if looks.distances.shape != table.top.shape:
        raise TableError(f"distances must have the shape of the table's top, {table.top.shape}")
    none = table.top < 0
    if (looks.distances[none] != rules.MAX_DISTANCE).any():
        raise TableError(f"distances must be {rules.MAX_DISTANCE:g} where the gallery has no photo")
    # Where the true photo is among the nearest, its distance is in both.
    place = {photo: index for index, photo in enumerate(table.photos.tolist())}
    true = np.array([place[photo] for photo in table.photo_ids.tolist()])[:, None, None]
    own = np.where(table.top == true, looks.distances, table.distances[..., None])
    if not np.allclose(own, table.distances[..., None], rtol=0, atol=rules.DISTANCE_SLACK):
        raise TableError("the distance of a true photo is another than in the outcome table")
    gallery = np.array([table.gallery_size[name] for name in table.split.tolist()])[:, None]
    if (looks.fused_ranks > gallery).any():
        raise TableError("fused_ranks must not be above the size of the split's gallery")
    if (looks.fused_triplet > rules.MAX_DISTANCE + table.margin + rules.DISTANCE_SLACK).any():
        raise TableError(f"fused_triplet must not be above {rules.MAX_DISTANCE + table.margin:g}")


# -------------------------------------------------------------------- finding files


def looks_path(table: str | os.PathLike[str]) -> Path:
    """Where the looks lie that belong to the outcome table in a file.

    Example:
        >>> looks_path("runs/mine.npz").as_posix()
        'runs/mine.looks.npz'
    """
    return LookTable.path_beside(table)


def load_looks(table: OutcomeTable, path: str | os.PathLike[str] | None = None) -> LookTable:
    """Read the looks of an outcome table, once in a process for each state of the file.

    Args:
        table: the whole table.
        path: the looks' file; None for the one that is shipped with the student's table.

    Returns:
        The looks.

    Raises:
        FileNotFoundError: no such file; the message says how to make it.
        TableError: a damaged file, or one that was made for another table.
    """
    return load_beside(LookTable, table, path)


# -------------------------------------------------------------------- what an agent is shown


def sureness_names(canvases: Iterable[int]) -> tuple[str, ...]:
    """Names of the numbers in the observation `confidence`, in order.

    Example:
        >>> sureness_names([32, 64])[:4]
        ('confidence_32', 'entropy_32', 'apart_32', 'confidence_64')
    """
    return tuple(f"{name}_{side}" for side in canvases for name in ("confidence", "entropy", "apart"))


def look_feature_names(canvases: Iterable[int]) -> tuple[str, ...]:
    """Names of the numbers that `look_features` gives, in order.

    Args:
        canvases: (K,) sides on offer.

    Example:
        >>> look_feature_names([32, 64])[4:8]
        ('distance_32_4', 'distance_32_5', 'margin_32', 'seen_64')
        >>> look_feature_names([32, 64])[-3:]
        ('common_32_64', 'same_first_32_64', 'cost')
    """
    sides = tuple(canvases)
    each = [
        name
        for side in sides
        for name in (f"seen_{side}", *(f"distance_{side}_{i + 1}" for i in range(TOP)), f"margin_{side}")
    ]
    pairs = [name for a, b in combinations(sides, 2) for name in (f"common_{a}_{b}", f"same_first_{a}_{b}")]
    return (*each, *pairs, "cost")


def look_features(
    top: npt.NDArray[np.integer],
    distances: npt.NDArray[np.floating],
    seen: npt.NDArray[np.bool_],
    costs: Sequence[float] | npt.NDArray[np.float64],
) -> npt.NDArray[np.float32]:
    """What is known after some looks at a sketch, named in `look_feature_names`.

    For each canvas: 1 if it was looked at, distances of the five nearest photos there, and the margin between the first
    two. For each pair of canvases: the share of the nearest photos that both have, and 1 if the first is the same. At
    last what the looks cost, as a share of what all canvases on offer cost together. All that speaks of a canvas that
    was not looked at is 0.

    Args:
        top: (..., K, 5) nearest photos by any numbers that tell them apart, -1 where the gallery has fewer.
        distances: (..., K, 5) their distances, not falling, finite; those of canvases that were not looked at may be
            anything finite.
        seen: (..., K) which canvases were looked at.
        costs: (K,) what a look at each canvas costs, in any unit.

    Returns:
        (..., L) float32, in [0, 2].
    """
    return look_signals(top, distances) * look_weights(seen, costs)


def look_signals(top: npt.NDArray[np.integer], distances: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """`look_features` as if every canvas had been looked at, (..., L) float32."""
    k = top.shape[-2]
    near = np.clip(distances, 0.0, rules.MAX_DISTANCE).astype(np.float32)
    ones = np.ones((*near.shape[:-1], 1), dtype=np.float32)
    each = np.concatenate([ones, near, near[..., 1:2] - near[..., :1]], axis=-1)
    parts = [each.reshape(*each.shape[:-2], -1)]
    there = top >= 0
    photos = np.maximum(there.sum(axis=-1), 1)
    for a, b in combinations(range(k), 2):
        same = (top[..., a, :, None] == top[..., b, None, :]) & there[..., a, :, None]
        common = same.any(axis=-1).sum(axis=-1) / photos[..., a]
        parts.append(np.stack([common, same[..., 0, 0]], axis=-1).astype(np.float32))
    parts.append(ones[..., 0, :])
    return np.concatenate(parts, axis=-1)


def look_weights(
    seen: npt.NDArray[np.bool_], costs: Sequence[float] | npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """What `look_signals` is multiplied with where only some canvases were looked at, (..., L) float32."""
    price = np.asarray(costs, dtype=np.float64)
    shown = seen.astype(np.float32)
    parts = [np.repeat(shown, TOP + 2, axis=-1)]
    parts += [np.repeat(shown[..., a : a + 1] * shown[..., b : b + 1], 2, axis=-1)
              for a, b in combinations(range(seen.shape[-1]), 2)]  # fmt: skip
    parts.append(((seen * price).sum(axis=-1, keepdims=True) / price.sum()).astype(np.float32))
    return cast("npt.NDArray[np.float32]", np.concatenate(parts, axis=-1))
