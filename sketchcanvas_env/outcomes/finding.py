"""The shipped outcome tables, by data set and student."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sketchcanvas_env import data
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.table_file import TableError

DEFAULT_STUDENT = {"emoji": "mobilenet_v2"}
"""Student whose table is read by default, for each data set."""

TABLES = Path(__file__).parents[1] / "tables"
"""Folder of the shipped tables, <dataset>-<student>.npz."""

SIDECARS = (".looks.npz", ".prefixes.npz")
"""Suffixes of the files that lie beside a table: `emoji-hog.looks.npz` belongs to `emoji-hog.npz`."""


def available_tables(folder: str | os.PathLike[str] | None = None) -> dict[str, list[str]]:
    """Students with a table, for each data set.

    Args:
        folder: where to look; None for the shipped tables.
    """
    found: dict[str, list[str]] = {}
    for file in sorted(Path(folder or TABLES).glob("[!.]*-*.npz")):
        if file.name.endswith(SIDECARS):
            continue
        dataset, _, student = file.stem.partition("-")
        found.setdefault(dataset, []).append(student)
    return found


def load_table(dataset: str = "emoji", student: str | None = None) -> OutcomeTable:
    """Read a shipped outcome table, once per process.

    Args:
        dataset: name of a data set.
        student: name of a student, None for the data set's default.

    Returns:
        The table, with the splits train, val and test.

    Raises:
        ValueError: no table for that data set or student; the message lists the tables.
        TableError: a damaged file, or one made from another version of the data set.
    """
    shipped = available_tables()
    if dataset not in shipped:
        raise ValueError(
            f"no outcome table is shipped for data set {dataset!r}: build one with 'sketchcanvas tabulate' and name it "
            f"with table=; {_listing(shipped)}"
        )
    if student is None:
        student = DEFAULT_STUDENT.get(dataset, shipped[dataset][0])
    if student not in shipped[dataset]:
        raise ValueError(f"no outcome table of student {student!r} for {dataset!r}: {_listing(shipped)}")
    path = TABLES / f"{dataset}-{student}.npz"
    table = OutcomeTable.load_cached(path)
    if (table.dataset, table.student) != (dataset, student):
        raise TableError(
            f"{path}: holds the outcomes of {table.student!r} on {table.dataset!r}, not what its name says"
        )
    if dataset in data.DATASETS:
        check_dataset(table, data.load(dataset))
    return table


def check_dataset(table: OutcomeTable, dataset: SketchDataset) -> None:
    """Raise TableError unless `table` was made from `dataset`."""
    if table.dataset != dataset.name:
        raise TableError(f"the outcome table is of data set {table.dataset!r}, the data set is {dataset.name!r}")
    if table.dataset_hash != dataset.hash:
        raise TableError(
            f"the outcome table was made from another version of data set {table.dataset!r}: hash "
            f"{table.dataset_hash[:12]} in the table, {dataset.hash[:12]} in the data; tabulate it anew"
        )


def _listing(shipped: Mapping[str, list[str]]) -> str:
    if not shipped:
        return f"there are no tables in {TABLES}"
    return "there are tables for " + "; ".join(f"{name} ({', '.join(who)})" for name, who in shipped.items())
