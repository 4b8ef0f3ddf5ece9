"""Finding outcome tables: the shipped ones by data set and student, others by path, each read once in a process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sketchcanvas_env import data
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes.table import OutcomeTable, missing
from sketchcanvas_env.storage.table_file import TableError, load_once

DEFAULT_STUDENT = {"emoji": "mobilenet_v2"}
"""Which student's table is read where none is named, for each data set."""

TABLES = Path(__file__).parents[1] / "tables"
"""Where the shipped tables lie, as <dataset>-<student>.npz."""

COMPANIONS = (".looks.npz", ".prefixes.npz")
"""How the names of files end that lie beside a table and belong to it: `emoji-hog.looks.npz` to `emoji-hog.npz`."""


def available_tables(folder: str | os.PathLike[str] | None = None) -> dict[str, list[str]]:
    """The students whose tables are shipped, for each data set, by the names of the files."""
    found: dict[str, list[str]] = {}
    for file in sorted(Path(folder or TABLES).glob("[!.]*-*.npz")):
        if file.name.endswith(COMPANIONS):
            continue
        dataset, _, student = file.stem.partition("-")
        found.setdefault(dataset, []).append(student)
    return found


def load_table(dataset: str = "emoji", student: str | None = None) -> OutcomeTable:
    """Read a shipped outcome table.

    The file is read once in a process. Its data set's hash is compared with that of the embedded data set, so
    a table never meets drawings that it was not made from.

    Args:
        dataset: name of a data set.
        student: name of a student, None for the data set's default one.

    Returns:
        The table, with rows of the splits train, val and test.

    Raises:
        ValueError: a data set or a student that has no table; the message lists those that have.
        TableError: a damaged file, or one made from other data.
    """
    shipped = available_tables()
    if dataset not in shipped:
        raise ValueError(
            f"no outcome table comes with data set {dataset!r}: build one with 'sketchcanvas tabulate' and name it "
            f"with table=; {_listing(shipped)}"
        )
    if student is None:
        student = DEFAULT_STUDENT.get(dataset, shipped[dataset][0])
    if student not in shipped[dataset]:
        raise ValueError(f"no outcome table of student {student!r} for {dataset!r}: {_listing(shipped)}")
    path = TABLES / f"{dataset}-{student}.npz"
    table = load_cached(path)
    if (table.dataset, table.student) != (dataset, student):
        raise TableError(
            f"{path}: holds the outcomes of {table.student!r} on {table.dataset!r}, not what its name says"
        )
    check_dataset(table, _dataset_or_none(dataset))
    return table


def load_cached(path: str | os.PathLike[str]) -> OutcomeTable:
    """`OutcomeTable.load`, once in a process for each state of a file; tables are immutable and shared."""
    return load_once(OutcomeTable.load, path, missing(path))


def check_dataset(table: OutcomeTable, dataset: SketchDataset | None) -> None:
    """Raise TableError unless `table` was made from `dataset` (None: nothing to compare with)."""
    if dataset is None:
        return
    if table.dataset != dataset.name:
        raise TableError(f"the outcome table is of data set {table.dataset!r}, the data set is {dataset.name!r}")
    if table.dataset_hash != dataset.hash:
        raise TableError(
            f"the outcome table was made from another version of data set {table.dataset!r}: hash "
            f"{table.dataset_hash[:12]} in the table, {dataset.hash[:12]} in the data; tabulate it anew"
        )


def _dataset_or_none(name: str) -> SketchDataset | None:
    """The data set of that name, None if it is not at hand."""
    if name not in data.DATASETS:
        return None
    try:
        return data.load(name)
    except FileNotFoundError:
        return None


def _listing(shipped: Mapping[str, list[str]]) -> str:
    if not shipped:
        return f"there are no tables in {TABLES}"
    return "there are tables for " + "; ".join(f"{name} ({', '.join(who)})" for name, who in shipped.items())
