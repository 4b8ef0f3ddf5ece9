"""The table of looks: what several looks at one sketch need beside an outcome table, and what an agent sees of them.

An outcome table has the result of each canvas alone. An agent that looks several times also sees how near the nearest
photos were at each look, and its answer may be a ranking by several looks together. Both are computed once from the
same frozen student and stored beside the outcome table.

`look_features` uses only what a deployed system has: distances of the nearest photos, agreement between looks, and
costs. Nothing in it depends on the true photo.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import TOP
from sketchcanvas_env.outcomes.sidecar import SidecarTable, check_distances, gallery_sizes, true_photos
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.table_file import TableError


@dataclass(frozen=True, eq=False, repr=False)
class LookTable(SidecarTable):
    """Looks at N sketches at K canvases; rows and columns are those of one outcome table.

    Attributes:
        outcomes_hash: `OutcomeTable.hash` of the whole table.
        distances: (N, K, 5) float32, Euclidean distances to the photos in `OutcomeTable.top`, ascending, in [0, 2]; 2
            where there is no photo.
        fused_of: (F,) int64, sets of two or more canvases, ascending, each as the sum of 2^j over its columns j.
        fused_ranks: (N, F) int32, rank of the true photo by the looks of a set together (`reward.fused_distance`).
        fused_triplet: (N, F) float32, triplet loss likewise.
        meta: provenance, JSON-able.
        temperatures: (K,) float64, temperature of the softmax at each canvas, fitted on `train`
            (`outcomes.confidence`). This and the next three are all given or all None.
        confidence: (N, K) float32, softmax share of the nearest photo over the gallery, in (0, 1].
        entropy: (N, K) float32, entropy of that softmax divided by the highest possible, in [0, 1].
        apart: (N, K) float32, Euclidean distance between the embeddings of the two nearest photos, in [0, 2]; 2 where
            the gallery has one photo.

    Raises:
        TableError: wrong shapes, or values out of range.
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
        """SHA-256 (hex) of the outcome table's hash and of every array's shape and bytes; `meta` does not count."""
        digest = hashlib.sha256(self.outcomes_hash.encode())
        for name, array in self._arrays().items():
            digest.update(f"\n{name} {array.dtype.kind}{array.shape}\n".encode())
            digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    def sureness(self) -> npt.NDArray[np.float32]:
        """Confidence, entropy and `apart` of each look, (N, K, 3) float32.

        Raises:
            ValueError: the table was built without them; the message says how to build it anew.
        """
        if self.confidence is None or self.entropy is None or self.apart is None:
            raise ValueError(
                "the looks were built without confidence: build them anew with 'sketchcanvas tabulate ... --looks'"
            )
        return np.stack([self.confidence, self.entropy, self.apart], axis=-1)

    def _check(self, sizes: Mapping[str, int]) -> None:
        if 0 in (sizes["N"], sizes["K"]):
            raise TableError("there are no looks: no sketch or no canvas")
        check_distances(self.distances)
        sets = self.fused_of
        if (np.diff(sets) <= 0).any() or any(
            not 0 < each < 1 << sizes["K"] or each.bit_count() < 2 for each in sets.tolist()
        ):
            raise TableError("fused_of must hold rising sets of two or more of the canvases")
        if (self.fused_ranks < 1).any():
            raise TableError("fused_ranks must not be below 1")
        if not np.isfinite(self.fused_triplet).all() or (self.fused_triplet < 0).any():
            raise TableError("fused_triplet must be finite and not negative")
        have = [name for name in self.OPTIONAL if getattr(self, name) is not None]
        if have and len(have) < len(self.OPTIONAL):
            raise TableError(f"{', '.join(self.OPTIONAL)} belong together: there is only {', '.join(have)}")
        for name, low, high in (
            ("temperatures", 0.0, np.inf),
            ("confidence", 0.0, 1.0),
            ("entropy", 0.0, 1.0),
            ("apart", 0.0, rules.MAX_DISTANCE + rules.DISTANCE_SLACK),
        ):
            array = getattr(self, name)
            # NaN compares false with everything.
            if array is not None and not ((array >= low) & (array <= high) & np.isfinite(array)).all():
                raise TableError(f"{name} must be finite and lie in [{low:g}, {high:g}]")
        if self.temperatures is not None and not self.temperatures.all():
            raise TableError("temperatures must be above zero")

    def check_against(self, table: OutcomeTable) -> None:
        """Check that the looks belong to an outcome table; see `SidecarTable.check_against`."""
        if self.outcomes_hash != table.hash:
            raise TableError(
                f"the looks were made for another outcome table: hash {self.outcomes_hash[:12]} there, "
                f"{table.hash[:12]} of that of {table.student!r} on {table.dataset!r}; build both anew with "
                "'sketchcanvas tabulate --looks'"
            )
        if self.distances.shape != table.top.shape:
            raise TableError(f"distances must have the shape of the table's top, {table.top.shape}")
        if (self.distances[table.top < 0] != rules.MAX_DISTANCE).any():
            raise TableError(f"distances must be {rules.MAX_DISTANCE:g} where the gallery has no photo")
        # The distance of a true photo among the nearest is in both tables.
        true = true_photos(table)[:, None, None]
        own = np.where(table.top == true, self.distances, table.distances[..., None])
        if not np.allclose(own, table.distances[..., None], rtol=0, atol=rules.DISTANCE_SLACK):
            raise TableError("the distance of a true photo is another than in the outcome table")
        if (self.fused_ranks > gallery_sizes(table)[:, None]).any():
            raise TableError("fused_ranks must not be above the size of the split's gallery")
        if (self.fused_triplet > rules.MAX_DISTANCE + table.margin + rules.DISTANCE_SLACK).any():
            raise TableError(f"fused_triplet must not be above {rules.MAX_DISTANCE + table.margin:g}")


# -------------------------------------------------------------------- observations


def sureness_names(canvases: Iterable[int]) -> tuple[str, ...]:
    """Names of the elements of the observation `confidence`, in order.

    Example:
        >>> sureness_names([32, 64])[:4]
        ('confidence_32', 'entropy_32', 'apart_32', 'confidence_64')
    """
    return tuple(f"{name}_{side}" for side in canvases for name in ("confidence", "entropy", "apart"))


def look_feature_names(canvases: Iterable[int]) -> tuple[str, ...]:
    """Names of the elements of `look_features`, in order.

    Args:
        canvases: (K,) canvas sides.

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
    """What an agent sees after some looks at a sketch; `look_feature_names` names the elements.

    For each canvas: 1 if the agent looked at it, the distances of the five nearest photos, and the difference between
    the first two (the margin). For each pair of canvases: the share of nearest photos in common, and 1 if the first is
    the same. Last, the cost of all looks divided by the cost of looking at every canvas. Elements of canvases that the
    agent did not look at are 0.

    Args:
        top: (..., K, 5) nearest photos as any integers that tell them apart, -1 where the gallery has fewer.
        distances: (..., K, 5) their distances, ascending and finite. Values at canvases without a look do not matter.
        seen: (..., K) canvases that the agent looked at.
        costs: (K,) cost of a look at each canvas, in any unit.

    Returns:
        (..., L) float32, in [0, 2].
    """
    return look_signals(top, distances) * look_weights(seen, costs)


def look_signals(top: npt.NDArray[np.integer], distances: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """`look_features` after looks at all canvases, (..., L) float32."""
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
    """Factors that turn `look_signals` into `look_features` after looks at some canvases, (..., L) float32."""
    price = np.asarray(costs, dtype=np.float64)
    shown = seen.astype(np.float32)
    parts = [np.repeat(shown, TOP + 2, axis=-1)]
    parts += [np.repeat(shown[..., a : a + 1] * shown[..., b : b + 1], 2, axis=-1)
              for a, b in combinations(range(seen.shape[-1]), 2)]  # fmt: skip
    parts.append(((seen * price).sum(axis=-1, keepdims=True) / price.sum()).astype(np.float32))
    return cast("npt.NDArray[np.float32]", np.concatenate(parts, axis=-1))
