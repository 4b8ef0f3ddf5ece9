"""The outcome table: what a frozen student makes of every sketch at every canvas, computed once and looked up.

The student is frozen, the rasteriser deterministic and the gallery fixed, so rank, distance, triplet loss and cost of
each (sketch, canvas) pair are facts. The environment reads them here and needs no network. The baselines that agents
are compared with (each fixed canvas, a random one, the hull of the fixed canvases, the per-sketch oracle) are exact
sums over the table.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchcanvas_env import data
from sketchcanvas_env.data import SPLITS
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import (
    ARRAYS,
    FIELDS,
    OBJECTS,
    OPTIONAL,
    ROWS,
    TEXTS,
    check_canvases,
    check_columns,
)
from sketchcanvas_env.outcomes.hull import best_columns, upper_hull
from sketchcanvas_env.storage.files import atomic_write
from sketchcanvas_env.storage.names import blocks
from sketchcanvas_env.storage.npz import Rows, write_either, write_mapped
from sketchcanvas_env.storage.table_file import HEADER, header_text, load_file, own_column


@dataclass(frozen=True)
class OperatingPoint:
    """A policy's place in the plane of cost and accuracy.

    Attributes:
        flops: mean FLOPs (2 x MAC) per query.
        acc1: share of queries whose true photo comes first.
    """

    flops: float
    acc1: float


@dataclass(frozen=True, eq=False)
class OutcomeTable:
    """Outcomes of one frozen student on N sketches at K canvases. Arrays are checked, and copied unless nobody can
    write to them.

    A large table lies on the disk and is mapped: it takes memory only where it is looked at, and the checks, the hash
    and the choice of a split go through it in blocks.

    Attributes:
        dataset: name of the data set.
        dataset_hash: SHA-256 of the data set, hex.
        student: name of the student.
        student_hash: SHA-256 of the student's weights, hex.
        canvases: (K,) int64, sides in pixels, rising.
        flops: (K,) float64, FLOPs (2 x MAC) of the student for one sketch at each canvas, not falling.
        ranks: (N, K) int32, rank of the true photo in the gallery of the sketch's split, from 1.
        distances: (N, K) float32, Euclidean distance to the true photo between L2-normalised embeddings, in
            [0, 2].
        triplet: (N, K) float32, triplet loss of the query (`reward.triplet_loss`).
        top: (N, K, 5) int32, the nearest gallery photos as indices into `photos`, nearest first; -1 where the
            gallery has fewer.
        photos: (P,) str, ids of the photos that `top` speaks of.
        sketch_ids: (N,) str, unique.
        photo_ids: (N,) str, the true photo of each sketch; every one is in `photos`.
        split: (N,) str, out of `SPLITS`.
        level: (N,) int8, abstraction level.
        gallery_size: number of photos in the gallery of each split.
        meta: where the table comes from; JSON-able. `meta["triplet_margin"]` names a margin other than 0.3,
            `meta["latency"]` says how and on what machine `milliseconds` were measured.
        milliseconds: (K,) float64, median time of drawing and embedding one sketch at each canvas, on one thread
            of the machine that `meta["latency"]["machine"]` describes; None where nobody measured. It may fall
            as the canvas grows: it was measured.

    Raises:
        TableError: shapes, ranges or columns that contradict each other.
    """

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

    def __post_init__(self) -> None:
        """Copy and check."""
        for name, given in self._arrays().items():
            object.__setattr__(self, name, own_column(name, given, ARRAYS[name][0]))
        object.__setattr__(self, "gallery_size", dict(self.gallery_size))
        object.__setattr__(self, "meta", dict(self.meta))
        check_columns(self)

    # ---------------------------------------------------------------- sizes and selections

    def __len__(self) -> int:
        """Number of sketches, N."""
        return len(self.sketch_ids)

    def __repr__(self) -> str:
        """One line: the arrays would fill hundreds."""
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
    def splits(self) -> tuple[str, ...]:
        """The splits that the table has rows of, in the order of `SPLITS`."""
        return tuple(name for name in SPLITS if (self.split == name).any())

    def select(self, split: str | None = None, canvases: Iterable[int] | None = None) -> OutcomeTable:
        """The table's rows of one split and columns of some canvases, as a table.

        Args:
            split: name of a split, None for all rows.
            canvases: sides to keep, rising, None for all.

        Returns:
            A new table; `gallery_size` keeps the splits that are left. Rows that lie together, as those of a split do
            in a table that was tabulated, are shared with this one and not copied, if all canvases are kept.

        Raises:
            ValueError: a split or a canvas that is not there (the message lists those that are), canvases
            that do not rise.
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
        """Column of each of the given canvases.

        Args:
            canvases: sides in pixels, rising.

        Returns:
            (k,) int64.

        Raises:
            ValueError: none given, not integers, not rising, or one that the table lacks; the message lists
            what exists.
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

    # ---------------------------------------------------------------- what choices are worth

    def costs(self, cost: str = "flops") -> npt.NDArray[np.float64]:
        """What each canvas costs; (K,) float64.

        Args:
            cost: "flops" for `flops`, "latency" for `milliseconds`.

        Raises:
            ValueError: an unknown cost, or latency that nobody measured; the message says how to.
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
        """Reward of every (sketch, canvas), over the canvases of this table.

        The rules are those of `sketchcanvas_env.outcomes.reward`. q_max and q_min are those of the columns, so select
        the canvases on offer first.

        Args:
            tradeoff: weight of cost against accuracy, in [0, 1].
            rank_weight: weight of 1 / rank.
            triplet_weight: weight of the triplet loss.
            cost: what is charged, see `costs`.

        Returns:
            (N, K) float64.

        Raises:
            ValueError: an argument out of its range, or latency that nobody measured.
        """
        acc = rules.accuracy_reward(self.ranks, self.triplet, rank_weight, triplet_weight)
        return rules.reward(acc, rules.compute_reward(self.costs(cost)), tradeoff)

    def acc(self, k: int = 1) -> npt.NDArray[np.float64]:
        """Share of sketches whose true photo is among the first `k`, for each canvas; (K,) float64."""
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        return np.asarray((self.ranks <= k).mean(axis=0), dtype=np.float64)

    def oracle(
        self, tradeoff: float = 0.2, rank_weight: float = 1.0, triplet_weight: float = 0.1, cost: str = "flops"
    ) -> npt.NDArray[np.int64]:
        """Column of the highest reward of each sketch, ties go to the cheapest; (N,) int64."""
        return best_columns(self.rewards(tradeoff, rank_weight, triplet_weight, cost), self.costs(cost))

    def best_fixed(
        self, tradeoff: float = 0.2, rank_weight: float = 1.0, triplet_weight: float = 0.1, cost: str = "flops"
    ) -> int:
        """Column of the canvas with the highest mean reward; ties go to the cheapest."""
        means = self.rewards(tradeoff, rank_weight, triplet_weight, cost).mean(axis=0)
        return int(best_columns(means, self.costs(cost)))

    def random(self) -> OperatingPoint:
        """Where a uniformly random choice of canvas lands, in expectation: the mean of the fixed canvases."""
        return OperatingPoint(flops=float(self.flops.mean()), acc1=float(self.acc().mean()))

    def hull(self, cost: str = "flops") -> npt.NDArray[np.float64]:
        """Upper concave hull of the fixed canvases in the plane of cost and acc@1.

        Tossing a coin between two fixed canvases reaches every point on it without looking at the sketch, so a selector
        is worth having only above. It starts at the cheapest canvas and ends at the most accurate, the cheapest of
        those if there are several.

        Args:
            cost: what is charged, see `costs`.

        Returns:
            (M, 2) float64 vertices (cost, acc@1), both columns rising, slopes falling.

        Raises:
            ValueError: latency that nobody measured.
        """
        return upper_hull(np.column_stack([self.costs(cost), self.acc()]))

    def hull_acc(self, at: npt.ArrayLike, cost: str = "flops") -> Any:
        """acc@1 that mixing fixed canvases reaches at a mean cost.

        Outside the hull it is flat. To the left no mixture is that cheap, and the cheapest canvas's acc@1 is given,
        which favours the hull over the policy compared with it.

        Args:
            at: mean cost per query, scalar or array.
            cost: what is charged, see `costs`.

        Returns:
            float for a scalar, else a float64 array of the same shape.

        Raises:
            ValueError: latency that nobody measured.
        """
        hull = self.hull(cost)
        accuracy = np.interp(np.asarray(at, dtype=np.float64), hull[:, 0], hull[:, 1])
        return float(accuracy) if np.ndim(accuracy) == 0 else accuracy

    def pareto_front(self, cost: str = "flops") -> npt.NDArray[np.float64]:
        """The concave front of mean cost and mean acc@1 of choosing per sketch with all outcomes known.

        No policy over these canvases is above. Every sketch starts at the cheapest canvas. One that is wrong there can
        be bought at the cheapest canvas where it is right; bought in rising order of price, the points passed are the
        front, exactly (a fractional knapsack with items of equal worth).

        Args:
            cost: what is charged, see `costs`.

        Returns:
            (M, 2) float64 vertices (mean cost, mean acc@1), both columns rising, slopes falling, M at most
            K.

        Raises:
            ValueError: latency that nobody measured.
        """
        charged = self.costs(cost)
        cheapest = float(charged.min())
        extra = charged - cheapest
        right = self.ranks == 1
        # Price of the cheapest canvas that is right; infinite where none is.
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
        """Hex SHA-256 of the content: every array's dtype, shape and bytes, the names and the provenance."""
        digest = hashlib.sha256(self._header().encode())
        for name, array in self._arrays().items():
            length = sum(map(len, _content(array)))
            digest.update(f"\n{name} {array.dtype.kind}{array.shape} {length}\n".encode())
            for piece in _content(array):
                digest.update(piece)
        return digest.hexdigest()

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays that this table has, by name."""
        have = {name: getattr(self, name) for name in ARRAYS}
        return {name: array for name, array in have.items() if name not in OPTIONAL or array is not None}

    def _header(self) -> str:
        return header_text({name: getattr(self, name) for name in FIELDS})

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the table as an .npz without pickles, atomically; equal tables give equal bytes.

        A table of less than `npz.MAPPED_FROM` bytes is compressed, a larger one is laid down so that it can be mapped.

        Args:
            path: where to; the folder is made if it is missing.

        Returns:
            The path.
        """
        write_either(path, {HEADER: np.array(self._header()), **self._arrays()})
        return Path(path)

    @classmethod
    def write(cls, path: str | os.PathLike[str], rows: Mapping[str, Rows], **others: Any) -> OutcomeTable:
        """Write a table whose rows come in blocks, in the form that is mapped, atomically.

        Args:
            path: where to; the folder is made if it is missing.
            rows: the arrays that have a row for each sketch, `ROWS`.
            others: all other fields.

        Returns:
            The table, mapped from the file.

        Raises:
            TableError: it cannot be right; there is no file then.
            OSError: the disk is full.
        """
        whole = {name: ARRAYS[name][0] for name in ARRAYS if name not in rows and others.get(name) is not None}
        given = {name: own_column(name, others[name], kind) for name, kind in whole.items()}
        members = {
            name: rows[name] if name in rows else given[name] for name in ARRAYS if name in rows or name in given
        }
        with atomic_write(path) as temporary:
            header = header_text({name: others[name] for name in FIELDS})
            write_mapped(temporary, {HEADER: np.array(header), **members})
            return cls.load(temporary)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> OutcomeTable:
        """Read or map a table written by `save`, believing nothing in the file before it is checked.

        Args:
            path: an .npz file.

        Returns:
            The table.

        Raises:
            FileNotFoundError: no such file.
            TableError: anything else that is wrong with it; the message names the file and the reason.
        """
        return load_file(
            cls,
            path,
            name="outcome table",
            missing=missing(path),
            columns=ARRAYS,
            texts=TEXTS,
            objects=OBJECTS,
            optional=OPTIONAL,
        )


def missing(path: str | os.PathLike[str]) -> str:
    """Error message for a path without a file."""
    return f"no outcome table at {os.fspath(path)}"


def _content(array: npt.NDArray[Any]) -> Iterator[bytes]:
    """What an array says, in pieces, for a hash: neither byte order nor the stored width of strings matter."""
    if array.dtype.kind == "U":
        # One JSON list of all of them.
        for rows in blocks(len(array)):
            yield ("[" if rows.start == 0 else ", ").encode() + json.dumps(array[rows].tolist())[1:-1].encode()
        yield b"]"
    else:
        for rows in blocks(len(array)):
            yield array[rows].astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _together(mask: npt.NDArray[np.bool_]) -> slice | npt.NDArray[np.int64]:
    """The rows of a mask, as a slice where they follow each other: that gives views instead of copies."""
    rows = np.flatnonzero(mask)
    return slice(int(rows[0]), int(rows[-1]) + 1) if rows[-1] - rows[0] + 1 == len(rows) else rows
