"""The outcome table: what a frozen student makes of every sketch at every canvas.

Student, rasteriser and gallery are fixed, so rank, distance, triplet loss and cost of each (sketch, canvas) pair are
computed once and stored. The environments look them up and need no network. The baselines that agents are compared with
(each fixed canvas, the hull of the fixed canvases, the per-sketch oracle) are exact sums over the table.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sketchcanvas_env import data
from sketchcanvas_env.data import SPLITS
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import ARRAYS, ROWS, check_canvases, check_columns, check_outcomes, check_rows
from sketchcanvas_env.outcomes.hull import best_columns, upper_hull
from sketchcanvas_env.storage.files import atomic_write
from sketchcanvas_env.storage.names import blocks
from sketchcanvas_env.storage.npz import Rows, write_mapped
from sketchcanvas_env.storage.table_file import HEADER, StoredTable, TableError, own_column


@dataclass(frozen=True, eq=False, repr=False)
class OutcomeTable(StoredTable):
    """Outcomes of one frozen student on N sketches at K canvases.

    Large tables are mapped from the disk; checks, hash and selection of a split work on them in blocks.

    Attributes:
        dataset: name of the data set.
        dataset_hash: SHA-256 of the data set, hex.
        student: name of the student.
        student_hash: SHA-256 of the student's weights, hex.
        canvases: (K,) int64, sides in pixels, ascending.
        flops: (K,) float64, FLOPs (2 x MAC) of the student for one sketch at each canvas, not falling.
        ranks: (N, K) int32, rank of the true photo in the gallery of the sketch's split, from 1.
        distances: (N, K) float32, Euclidean distance to the true photo between L2-normalised embeddings, in [0, 2].
        triplet: (N, K) float32, triplet loss of the query (`reward.triplet_loss`).
        top: (N, K, 5) int32, the nearest gallery photos as indices into `photos`, nearest first; -1 where the gallery
            has fewer.
        photos: (P,) str, ids of the photos that `top` refers to.
        sketch_ids: (N,) str, unique.
        photo_ids: (N,) str, true photo of each sketch; all are in `photos`.
        split: (N,) str, each one of `SPLITS`.
        level: (N,) int8, abstraction level, or number of the condition in `meta["conditions"]`, their names.
        gallery_size: number of photos in the gallery of each split.
        meta: provenance, JSON-able. `meta["triplet_margin"]` names a margin other than 0.3, `meta["latency"]` says how
            and on which machine `milliseconds` were measured.
        milliseconds: (K,) float64, median time of drawing and embedding one sketch at each canvas, on one thread of the
            machine in `meta["latency"]["machine"]`; None where it was not measured. Being measured, it may fall as the
            canvas grows.

    Raises:
        TableError: wrong shapes, values out of range, or columns that contradict each other.
    """

    ARRAYS: ClassVar = ARRAYS
    OPTIONAL: ClassVar = ("milliseconds",)
    TEXTS: ClassVar = ("dataset", "dataset_hash", "student", "student_hash")
    OBJECTS: ClassVar = ("gallery_size", "meta")
    NAME: ClassVar = "outcome table"
    MISSING: ClassVar = "no outcome table at {path}"

    dataset: str
    dataset_hash: str
    student: str
    student_hash: str
    canvases: npt.NDArray[np.int64]
    flops: npt.NDArray[np.float64]
    ranks: npt.NDArray[np.int32]
    distances: npt.NDArray[np.float32]
    triplet: npt.NDArray[np.float32]
    top: npt.NDArray[np.int32]
    photos: npt.NDArray[np.str_]
    sketch_ids: npt.NDArray[np.str_]
    photo_ids: npt.NDArray[np.str_]
    split: npt.NDArray[np.str_]
    level: npt.NDArray[np.int8]
    gallery_size: Mapping[str, int]
    meta: Mapping[str, Any] = field(default_factory=dict)
    milliseconds: npt.NDArray[np.float64] | None = None

    def _check(self, sizes: Mapping[str, int]) -> None:
        if 0 in sizes.values():
            raise TableError("the table is empty: no sketch, no canvas or no photo")
        check_columns(self)
        check_rows(self)
        check_outcomes(self)

    # ---------------------------------------------------------------- sizes and selections

    def __len__(self) -> int:
        """Number of sketches, N."""
        return len(self.sketch_ids)

    def __repr__(self) -> str:
        """One line with the numbers of sketches and the canvases."""
        splits = ", ".join(f"{name} {np.count_nonzero(self.split == name)}" for name in self.splits)
        sides = ", ".join(map(str, self.canvases.tolist()))
        return f"<OutcomeTable of {self.student} on {self.dataset}: {len(self)} sketches ({splits}) at {sides} px>"

    @property
    def n_canvases(self) -> int:
        """Number of canvases, K."""
        return len(self.canvases)

    @property
    def margin(self) -> float:
        """Margin with which the triplet losses were computed."""
        return float(self.meta.get("triplet_margin", rules.TRIPLET_MARGIN))

    @property
    def group_names(self) -> dict[int, str]:
        """Names of the groups that reports are split by, by number in `level`: conditions, or "level 0" and so on."""
        conditions = self.meta.get("conditions")
        numbers = np.unique(self.level).tolist()
        return {number: f"level {number}" if conditions is None else conditions[number] for number in numbers}

    @property
    def splits(self) -> tuple[str, ...]:
        """The table's splits, in the order of `SPLITS`."""
        return tuple(name for name in SPLITS if (self.split == name).any())

    def select(self, split: str | None = None, canvases: Iterable[int] | None = None) -> OutcomeTable:
        """The part of the table with one split and some canvases.

        Args:
            split: name of a split, None for all rows.
            canvases: sides to keep, ascending, None for all.

        Returns:
            A new table. It shares the memory of this one where the rows are consecutive and all canvases are kept.

        Raises:
            ValueError: a split or canvas that the table lacks (the message lists those it has), or canvases that are
                not ascending.
        """
        rows: Any = slice(None)
        if split is not None:
            if split not in self.splits:
                there = f"unknown split {split!r}: the table of {self.dataset} has {', '.join(self.splits)}"
                raise ValueError("; ".join(filter(None, (there, data.what_lacks(self.dataset, split)))))
            rows = _together(self.split == split)
        columns = np.arange(self.n_canvases) if canvases is None else self.columns(canvases)
        kept = self.splits if split is None else (split,)

        def part(name: str) -> Any:
            chosen = getattr(self, name)[rows]
            if ARRAYS[name][1][1:2] == ("K",) and len(columns) < self.n_canvases:
                chosen = np.take(chosen, columns, axis=1)
            chosen.flags.writeable = False  # so that it is not copied once more
            return chosen

        return replace(
            self,
            canvases=self.canvases[columns],
            flops=self.flops[columns],
            milliseconds=None if self.milliseconds is None else self.milliseconds[columns],
            **{name: part(name) for name in ROWS},
            gallery_size={name: self.gallery_size[name] for name in kept},
        )

    def columns(self, canvases: Iterable[int]) -> npt.NDArray[np.int64]:
        """Column of each of the given canvases, (k,) int64.

        Args:
            canvases: sides in pixels, ascending.

        Raises:
            ValueError: none given, not integers, not ascending, or one that the table lacks (the message lists those it
                has).
        """
        wanted = check_canvases(canvases)
        have = self.canvases.tolist()
        missing = [side for side in wanted if side not in have]
        if missing:
            raise ValueError(
                f"no outcomes at canvas {', '.join(map(str, missing))}: the table of {self.dataset} has "
                f"{', '.join(map(str, have))}"
            )
        return np.array([have.index(side) for side in wanted], dtype=np.int64)

    # ---------------------------------------------------------------- rewards and baselines

    def costs(self, cost: str = "flops") -> npt.NDArray[np.float64]:
        """Cost of each canvas, (K,) float64.

        Args:
            cost: "flops" for `flops`, "latency" for `milliseconds`.

        Raises:
            ValueError: an unknown cost, or latency that was not measured; the message says how to measure it.
        """
        rules.check_cost(cost)
        if cost == "flops":
            return self.flops
        if self.milliseconds is None:
            raise ValueError(
                f"the outcome table of student {self.student!r} on {self.dataset!r} has no latency: measure it with "
                "'sketchcanvas latency PATH --student NAME', which adds it to a table's file"
            )
        return self.milliseconds

    def rewards(
        self, tradeoff: float = 0.2, rank_weight: float = 1.0, triplet_weight: float = 0.1, cost: str = "flops"
    ) -> npt.NDArray[np.float64]:
        """Reward of every (sketch, canvas), (N, K) float64, by the rules of `outcomes.reward`.

        q_max and q_min are taken over the table's columns, so select the canvases on offer first.

        Args:
            tradeoff: weight of cost against accuracy, in [0, 1].
            rank_weight: weight of 1 / rank.
            triplet_weight: weight of the triplet loss.
            cost: see `costs`.

        Raises:
            ValueError: an argument out of range, or latency that was not measured.
        """
        acc = rules.accuracy_reward(self.ranks, self.triplet, rank_weight, triplet_weight)
        return rules.reward(acc, rules.compute_reward(self.costs(cost)), tradeoff)

    def acc(self, k: int = 1) -> npt.NDArray[np.float64]:
        """acc@k of each canvas: share of sketches whose true photo is among the first `k`, (K,) float64."""
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        return np.asarray((self.ranks <= k).mean(axis=0), dtype=np.float64)

    def oracle(
        self, tradeoff: float = 0.2, rank_weight: float = 1.0, triplet_weight: float = 0.1, cost: str = "flops"
    ) -> npt.NDArray[np.int64]:
        """Column of the highest reward of each sketch, (N,) int64; ties go to the cheapest."""
        return best_columns(self.rewards(tradeoff, rank_weight, triplet_weight, cost), self.costs(cost))

    def best_fixed(
        self, tradeoff: float = 0.2, rank_weight: float = 1.0, triplet_weight: float = 0.1, cost: str = "flops"
    ) -> int:
        """Column of the canvas with the highest mean reward; ties go to the cheapest."""
        means = self.rewards(tradeoff, rank_weight, triplet_weight, cost).mean(axis=0)
        return int(best_columns(means, self.costs(cost)))

    def hull(self, cost: str = "flops") -> npt.NDArray[np.float64]:
        """Upper concave hull of the fixed canvases in the plane of cost and acc@1.

        Random choice between two fixed canvases reaches every point on the hull without looking at the sketch, so a
        selector is useful only above it. The hull goes from the cheapest canvas to the most accurate one.

        Args:
            cost: see `costs`.

        Returns:
            (M, 2) float64 vertices (cost, acc@1), both columns ascending, slopes falling.

        Raises:
            ValueError: latency that was not measured.
        """
        return upper_hull(np.column_stack([self.costs(cost), self.acc()]))

    def hull_acc(self, at: npt.ArrayLike, cost: str = "flops") -> Any:
        """acc@1 of the hull at a mean cost: linear between vertices, constant outside.

        No mixture is cheaper than the cheapest canvas; below its cost its acc@1 is given, which favours the hull over
        the policy compared with it.

        Args:
            at: mean cost per query, scalar or array.
            cost: see `costs`.

        Returns:
            float for a scalar, else a float64 array of the same shape.

        Raises:
            ValueError: latency that was not measured.
        """
        hull = self.hull(cost)
        accuracy = np.interp(np.asarray(at, dtype=np.float64), hull[:, 0], hull[:, 1])
        return float(accuracy) if np.ndim(accuracy) == 0 else accuracy

    def pareto_front(self, cost: str = "flops") -> npt.NDArray[np.float64]:
        """Concave front of mean cost and mean acc@1 over all per-sketch choices; no policy is above it.

        Every sketch starts at the cheapest canvas. A sketch that is wrong there can be corrected at the cheapest canvas
        where it is right. Corrections in ascending order of their extra cost give the front exactly (a fractional
        knapsack with items of equal value).

        Args:
            cost: see `costs`.

        Returns:
            (M, 2) float64 vertices (mean cost, mean acc@1), both columns ascending, slopes falling, M at most K.

        Raises:
            ValueError: latency that was not measured.
        """
        charged = self.costs(cost)
        cheapest = float(charged.min())
        extra = charged - cheapest
        right = self.ranks == 1
        # Extra cost of the cheapest canvas that is right; infinite where none is.
        price = np.where(right, extra, np.inf).min(axis=1)
        n = len(self)
        points = [(cheapest, np.count_nonzero(price == 0.0) / n)]
        for limit in np.unique(price[np.isfinite(price) & (price > 0)]):
            bought = price <= limit
            points.append((float(cheapest + price[bought].sum() / n), np.count_nonzero(bought) / n))
        return np.array(points, dtype=np.float64)

    # ---------------------------------------------------------------- files

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of all fields; neither byte order nor the width of stored strings matters."""
        digest = hashlib.sha256(self._header().encode())
        for name, array in self._arrays().items():
            length = sum(map(len, _content(array)))
            digest.update(f"\n{name} {array.dtype.kind}{array.shape} {length}\n".encode())
            for piece in _content(array):
                digest.update(piece)
        return digest.hexdigest()

    @classmethod
    def write(cls, path: str | os.PathLike[str], rows: Mapping[str, Rows], **others: Any) -> OutcomeTable:
        """Write a table whose rows are given in blocks, atomically, in the form that is mapped.

        Args:
            path: an `.npz` file; missing folders are made.
            rows: the arrays in `ROWS`.
            others: all other fields.

        Returns:
            The table, mapped from the file.

        Raises:
            TableError: an invalid table; the file is not written.
            OSError: the disk is full.
        """
        whole = {name: ARRAYS[name][0] for name in ARRAYS if name not in rows and others.get(name) is not None}
        given = {name: own_column(name, others[name], kind) for name, kind in whole.items()}
        members = {
            name: rows[name] if name in rows else given[name] for name in ARRAYS if name in rows or name in given
        }
        with atomic_write(path) as temporary:
            header = cls.header_of({name: others[name] for name in (*cls.TEXTS, *cls.OBJECTS)})
            write_mapped(temporary, {HEADER: np.array(header), **members})
            return cls.load(temporary)


def _content(array: npt.NDArray[Any]) -> Iterator[bytes]:
    """Bytes of an array for its hash, in pieces: little-endian numbers, strings as one JSON list."""
    if array.dtype.kind == "U":
        for rows in blocks(len(array)):
            yield ("[" if rows.start == 0 else ", ").encode() + json.dumps(array[rows].tolist())[1:-1].encode()
        yield b"]"
    else:
        for rows in blocks(len(array)):
            yield array[rows].astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _together(mask: npt.NDArray[np.bool_]) -> slice | npt.NDArray[np.int64]:
    """Rows of a mask, as a slice where they are consecutive: indexing with it gives views."""
    rows = np.flatnonzero(mask)
    return slice(int(rows[0]), int(rows[-1]) + 1) if rows[-1] - rows[0] + 1 == len(rows) else rows
