"""How the task of `SketchCanvasCascade-v0` is made: its arguments, the table of looks, and the ways to end."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.looks import LookTable, look_signals
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.tasks.arguments import Arguments, path_or
from sketchcanvas_env.tasks.canvas import Task
from sketchcanvas_env.tasks.canvas_making import CanvasArguments, find_table
from sketchcanvas_env.tasks.cascade import CascadeTask
from sketchcanvas_env.tasks.episodes import IntArray, fixed

RANKINGS = ("last", "fused")
"""Which ranking is the answer: that of the last look, or that of all looks together."""

MAX_CANVASES = 8
"""The most canvases on offer: states are listed, and their number grows as 2^K."""


@dataclass(frozen=True, kw_only=True)
class CascadeArguments(Arguments):
    """The arguments of `SketchCanvasCascade-v0`.

    Attributes:
        ranking: the answer is the ranking of the "last" look, or that of all looks "fused".
        looks: path of a table of looks, or the table; None for the one beside the outcome table.
        confidence: whether observations have how sure each look is of its nearest photo.
    """

    ranking: str = "last"
    looks: str | os.PathLike[str] | LookTable | None = None
    confidence: bool = False

    def __post_init__(self) -> None:
        """Check and normalise."""
        super().__post_init__()
        if self.ranking not in RANKINGS:
            raise ValueError(f"unknown ranking {self.ranking!r}: there are {', '.join(RANKINGS)}")
        self._set(looks=path_or(LookTable, self.looks, "looks", "a table of looks"))
        if not isinstance(self.confidence, bool):
            raise ValueError(f"confidence must be True or False, got {self.confidence!r}")
        if len(self.canvases) > MAX_CANVASES:
            raise ValueError(f"at most {MAX_CANVASES} canvases can be looked at in sequence, got {len(self.canvases)}")

    def make(self) -> CascadeTask:
        """The task; equal arguments give the same object.

        Raises:
            ValueError: an argument that names something that does not exist, sets of canvases that nobody fused, or
                `confidence` of looks that were built without.
            FileNotFoundError: no file at `table` or `looks`, or no looks beside the outcome table; the message says how
                to make them.
            TableError: looks that do not belong to the outcome table.
        """
        task = CanvasArguments.shared_by(self).make()
        whole = find_table(task.dataset, self)
        return _cascade_task(task, whole, LookTable.resolve(self.looks, whole, self.table), self)


def make_cascade_task(**arguments: Any) -> CascadeTask:
    """The task of `SketchCanvasCascade-v0`.

    Args:
        arguments: those of `CascadeArguments`, which says what is raised. There is no live mode.
    """
    if "retriever" in arguments:
        raise ValueError("sequences of looks have no live mode: everything that may be seen is looked up")
    return CascadeArguments(**arguments).make()


@lru_cache(maxsize=32)
def _cascade_task(task: Task, whole: OutcomeTable, looks: LookTable, arguments: CascadeArguments) -> CascadeTask:
    table = task.table
    assert table is not None  # there is no live mode here
    ranking = arguments.ranking
    columns = whole.columns(task.canvases)
    rows = np.flatnonzero(whole.split == task.split)  # as OutcomeTable.select takes them
    seen, last = _states(len(columns), ranking)
    if ranking == "last":
        answer, ranks, triplet = last, table.ranks, table.triplet
    else:
        more = [_fused_column(looks, whole, columns, each) for each in seen[len(columns) :].tolist()]
        answer = np.arange(len(seen))
        ranks = np.concatenate([table.ranks, looks.fused_ranks[rows][:, more]], axis=1)
        triplet = np.concatenate([table.triplet, looks.fused_triplet[rows][:, more]], axis=1)
    # Without a look all photos are alike: ties count against the student, and d_true - d_other is 0 for each.
    gallery = table.gallery_size[task.split]
    ranks = np.column_stack([ranks, np.full(len(rows), gallery)]).astype(np.int64)
    triplet = np.column_stack([triplet, np.full(len(rows), table.margin)]).astype(np.float64)
    return CascadeTask(
        task=task,
        ranking=ranking,
        nodes=_names(task.canvases, seen, last, ranking),
        node_seen=fixed(seen),
        node_last=fixed(last),
        node_answer=fixed(answer),
        answer_ranks=fixed(ranks),
        answer_triplet=fixed(triplet),
        answer_acc=fixed(rules.accuracy_reward(ranks, triplet, task.rank_weight, task.triplet_weight)),
        signals=fixed(look_signals(table.top, looks.distances[rows][:, columns])),
        sureness=fixed(looks.sureness()[rows][:, columns].reshape(len(rows), -1)) if arguments.confidence else None,
        looks=looks,
        arguments=arguments,
    )


def _states(k: int, ranking: str) -> tuple[IntArray, IntArray]:
    """seen and last of all nodes, in order."""
    sets = [each for each in range(1, 1 << k) if each.bit_count() > 1]
    if ranking == "last":
        more = [(each, j) for each in sets for j in range(k) if each >> j & 1]
    else:
        more = [(each, -1) for each in sets]
    seen, last = np.array([(1 << j, j) for j in range(k)] + more, dtype=np.int64).T
    return np.ascontiguousarray(seen), np.ascontiguousarray(last)


def _names(canvases: tuple[int, ...], seen: IntArray, last: IntArray, ranking: str) -> tuple[str, ...]:
    names = []
    for each, end in zip(seen.tolist(), last.tolist(), strict=True):
        before = [str(side) for j, side in enumerate(canvases) if each >> j & 1 and j != end]
        final = [] if end < 0 else [str(canvases[end])]
        names.append(">".join(part for part in ("+".join(before), *final) if part))
    return tuple(names)


def _fused_column(looks: LookTable, whole: OutcomeTable, columns: IntArray, members: int) -> int:
    """Column of the looks for a set of the canvases on offer."""
    wanted = sum(1 << int(column) for j, column in enumerate(columns) if members >> j & 1)
    found = np.flatnonzero(looks.fused_of == wanted)
    if not found.size:
        sides = ", ".join(str(whole.canvases[column]) for j, column in enumerate(columns) if members >> j & 1)
        raise ValueError(
            f"the looks of student {whole.student!r} on {whole.dataset!r} have no fused ranking of canvases {sides}: "
            "choose among those that were fused, or ranking='last'"
        )
    return int(found[0])
