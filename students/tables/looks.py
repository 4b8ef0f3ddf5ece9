"""Builds look tables, which cascades need beside an outcome table: distances of the nearest photos, and fused looks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from os import PathLike
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import TOP
from sketchcanvas_env.outcomes.confidence import TEMPERATURES, confidence_of, entropy_of, fitted, partition
from sketchcanvas_env.outcomes.finding import check_dataset
from sketchcanvas_env.outcomes.looks import LookTable
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.names import Places
from sketchcanvas_env.tasks.arguments import DEFAULT_CANVASES
from students.network.protocol import Embedder
from students.store.provenance import versions
from students.tables import blocks
from students.tables.blocks import Columns
from students.tables.ranking import Gallery, distance_of, euclidean, ranked
from students.tables.tabulate import check_made_by, rank_in_blocks, settings_of

_PIECE = 1 << 21  # distances of one look held at once, 16 MiB: there are as many of these as canvases


def build_looks(
    student: Embedder,
    dataset: SketchDataset,
    table: OutcomeTable,
    fused_canvases: Sequence[int] | None = None,
    progress: bool = False,
    folder: str | PathLike[str] | None = None,
) -> LookTable:
    """Compute the look table of an outcome table from its sketches.

    Sketches are embedded and ranked in blocks of `students.tables.blocks.BLOCK`. Until the rows are joined at the end,
    memory is bounded by a block and the gallery.

    Args:
        student: the student of the table.
        dataset: the data set of the table.
        table: the whole table.
        fused_canvases: sides whose sets of two or more are fused; None for the environment's default canvases that the
            table has.
        progress: show a progress bar on standard error.
        folder: keeps finished blocks for the next call; a temporary folder when None.

    Raises:
        ValueError: another student, a canvas that the table lacks, or ranks that differ from the table's, because it
            was made with other versions; make the table anew.
        TableError: another data set.
    """
    check_dataset(table, dataset)
    check_made_by(student, table)
    fused = [side for side in DEFAULT_CANVASES if side in table.canvases] if fused_canvases is None else fused_canvases
    sets = sets_of(table.columns(fused).tolist() if len(fused) else [])
    with TemporaryDirectory(prefix="looks-", ignore_cleanup_errors=True) as temporary:
        columns = _look(student, dataset, table, sets, progress, Path(temporary if folder is None else folder))
    return LookTable(
        **_confidence(table, columns),
        outcomes_hash=table.hash,
        distances=columns["distances"],
        fused_of=np.array(sets, dtype=np.int64),
        fused_ranks=columns["fused_ranks"].reshape(len(table), len(sets)),
        fused_triplet=columns["fused_triplet"].reshape(len(table), len(sets)),
        meta={"fused_canvases": [int(side) for side in fused], "versions": versions()},
    )


def add_looks(
    student: Embedder,
    dataset: SketchDataset,
    path: str | PathLike[str],
    fused_canvases: Sequence[int] | None = None,
    progress: bool = False,
) -> Path:
    """`build_looks` for the outcome table in a file, written beside it; resumes from a folder as `build_table` does.

    Args:
        student: see `build_looks`.
        dataset: see there.
        path: the outcome table's file.
        fused_canvases: see there.
        progress: see there.

    Returns:
        Path of the looks' file.

    Raises:
        ValueError: see `build_looks`.
        FileNotFoundError: no table at `path`.
    """
    table, final = OutcomeTable.load(path), LookTable.path_beside(path)
    folder = final.with_name(f"{final.name}.unfinished")
    build_looks(student, dataset, table, fused_canvases, progress, folder).save(final)
    rmtree(folder, ignore_errors=True)
    return final


def sets_of(columns: Sequence[int]) -> list[int]:
    """All sets of two or more of some columns, as bit masks, rising.

    Example:
        >>> sets_of([0, 2, 3])
        [5, 9, 12, 13]
    """
    chosen = [some for size in range(2, len(columns) + 1) for some in combinations(columns, size)]
    return sorted(sum(1 << column for column in some) for some in chosen)


def _look(
    student: Embedder, dataset: SketchDataset, table: OutcomeTable, sets: list[int], progress: bool, folder: Path
) -> NDArray[Any]:
    """Rows of the looks' columns in the order of the table."""
    sides = table.canvases.tolist()
    rows = Places(dataset.sketch_ids).of(table.sketch_ids)
    columns: Columns = {
        "distances": (np.float32, (len(sides), TOP)),
        "fused_ranks": (np.int32, (len(sets),)),
        "fused_triplet": (np.float32, (len(sets),)),
        "apart": (np.float32, (len(sides),)),
        "log_sum": (np.float64, (len(sides), len(TEMPERATURES))),
        "mean_square": (np.float64, (len(sides), len(TEMPERATURES))),
    }
    key = blocks.key({**settings_of(student, dataset, tuple(sides)), "outcomes": table.hash, "fused": sets})

    def outcomes(queries: NDArray[np.int64], gallery: Gallery, true: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        sketches = [dataset.sketch(row) for row in rows[queries].tolist()]
        embedded = [student.embed(sketches, side) for side in sides]
        step = max(1, _PIECE // len(gallery.embeddings))
        pieces = [slice(first, first + step) for first in range(0, len(sketches), step)]
        found = [
            _looks(
                [euclidean(each[piece], gallery.embeddings) for each in embedded],
                true[piece],
                sets,
                table.ranks[queries[piece]],
                gallery,
            )
            for piece in pieces
        ]
        return {name: np.concatenate([each[name] for each in found]) for name in columns}

    return rank_in_blocks(student, dataset, rows, table.photos, columns, folder / f"{key}.looks", outcomes, progress)


def _looks(
    between: list[NDArray[np.float64]],
    true: NDArray[np.int64],
    sets: list[int],
    known: NDArray[np.int32],
    gallery: Gallery,
) -> dict[str, NDArray[Any]]:
    """The looks' columns of n sketches from their distances (n, G) at each canvas, if they give the known ranks."""
    single = [ranked(each, true) for each in between]
    ranks = np.stack([each["ranks"] for each in single], axis=1)
    wrong = int((ranks != known).sum())
    if wrong:
        raise ValueError(
            f"{wrong} of {ranks.size} ranks are other than in the outcome table: it was made with other versions or on "
            "another kind of machine; make it anew with 'sketchcanvas tabulate --looks'"
        )
    fused = [
        ranked(rules.fused_distance([each for k, each in enumerate(between) if one >> k & 1]), true) for one in sets
    ]
    empty = np.empty((len(ranks), 0))
    sums = [partition(each, TEMPERATURES) for each in between]
    return {
        "apart": np.stack([_apart(each["top"], gallery) for each in single], axis=1),
        "log_sum": np.stack([each[0] for each in sums], axis=1),
        "mean_square": np.stack([each[1] for each in sums], axis=1),
        "distances": np.stack([each["nearest"] for each in single], axis=1),
        "fused_ranks": np.stack([each["ranks"] for each in fused], axis=1) if sets else empty,
        "fused_triplet": np.stack([each["triplet"] for each in fused], axis=1) if sets else empty,
    }


def _apart(top: NDArray[np.int64], gallery: Gallery) -> NDArray[np.float64]:
    """(n,) distances between the two nearest photos of each query; 2 where the gallery has one photo."""
    if len(gallery.embeddings) < 2:
        return np.full(len(top), rules.MAX_DISTANCE)
    first, second = (gallery.embeddings[top[:, place]].astype(np.float64) for place in (0, 1))
    return np.asarray(distance_of((first * second).sum(axis=1)))


def _confidence(table: OutcomeTable, columns: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """What the softmax over the gallery says of each look, at the temperature that fits `train` best at its canvas."""
    log_sum, mean = columns["log_sum"], columns["mean_square"]
    fits = table.split == ("train" if "train" in table.splits else table.splits[0])
    best = [fitted(table.distances[fits, j], log_sum[fits, j], TEMPERATURES) for j in range(table.n_canvases)]
    temperatures = TEMPERATURES[best]
    at = (np.arange(len(table))[:, None], np.arange(table.n_canvases), best)
    gallery = np.array([table.gallery_size[name] for name in table.split.tolist()])[:, None]
    return {
        "temperatures": temperatures,
        "confidence": confidence_of(columns["distances"][..., 0], log_sum[at], temperatures),
        "entropy": entropy_of(log_sum[at], mean[at], temperatures, gallery),
        "apart": columns["apart"],
    }
