"""Build the outcome table of a frozen student: every sketch of train, val and test at every canvas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data import SPLITS, SketchDataset
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import ROWS, TOP
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage import names, npz
from sketchcanvas_env.storage.npz import Rows
from sketchcanvas_env.storage.table_file import own_column
from students import WEIGHTS_FOLDER
from students.network.protocol import UNSAVED, Embedder
from students.store.provenance import PACKAGES, versions
from students.store.weights import load_card
from students.tables import blocks
from students.tables.blocks import BlockFile, Columns
from students.tables.gallery import REFERENCES, embed_gallery
from students.tables.ranking import Gallery, ranked_at_canvases


def tabulate(
    student: Embedder,
    dataset: SketchDataset,
    canvases: Sequence[int] | None = None,
    progress: bool = False,
    folder: str | PathLike[str] | None = None,
) -> OutcomeTable:
    """Rank the true photo of every sketch outside the `student` split, at every canvas.

    Photos and sketches are read, embedded and ranked in blocks of `students.tables.blocks.BLOCK`, and each block is
    stored at once; a large table (`npz.MAPPED_FROM`) is put together on the disk and mapped. So memory is bounded by
    a block and the gallery, whatever the number of sketches. A table depends neither on the blocks nor on how often
    the work was interrupted.

    Args:
        student: frozen; the table is as good as its determinism.
        dataset: the sketches are ranked among their split's gallery.
        canvases: sides, rising; all of the student's when None.
        progress: show a progress bar on standard error.
        folder: where finished blocks are kept, and found by the next call for the same student, data and canvases;
            blocks of anything else that lie there are left alone. A large table lies there, too. A temporary folder
            when None.

    Raises:
        ValueError: a canvas that the student cannot embed, no sketch outside the `student` split, or a `folder` for a
            student that was never saved: nothing tells its blocks from those of another.
        OSError: the disk is full.
    """
    if folder is None:
        # What is mapped from a file stays when the file goes.
        with TemporaryDirectory(prefix="tabulate-", ignore_cleanup_errors=True) as temporary:
            return _tabulated(student, dataset, canvases, progress, Path(temporary))
    return _tabulated(student, dataset, canvases, progress, Path(folder), kept=True)


def build_table(
    student: Embedder,
    dataset: SketchDataset,
    path: str | PathLike[str],
    canvases: Sequence[int] | None = None,
    progress: bool = False,
) -> OutcomeTable:
    """`tabulate` into a file that is written whole; a killed build resumes from the folder `<path>.unfinished`.

    Args:
        student: frozen, and saved.
        dataset: see `tabulate`.
        path: the table's file.
        canvases: see `tabulate`.
        progress: show a progress bar on standard error.

    Returns:
        The table. The folder is gone unless another build keeps its blocks there.

    Raises:
        ValueError: see `tabulate`.
        IsADirectoryError: `path` is a folder.
        OSError: the disk is full; what was finished is kept.
    """
    final = Path(path)
    if final.is_dir():
        raise IsADirectoryError(f"{final} is a folder: give the name of a file in it")
    folder = final.with_name(f"{final.name}.unfinished")
    table = _tabulated(student, dataset, canvases, progress, folder, kept=True, final=final)
    key = blocks.key(settings_of(student, dataset, tuple(table.canvases.tolist())))
    for leftover in folder.glob(f"{key}.*"):
        leftover.unlink(missing_ok=True)
    with suppress(OSError):  # not empty: another build's
        folder.rmdir()
    return table


def check_saved(student: Embedder) -> None:
    """ValueError for a student that was never saved: nothing tells blocks of its work from those of another."""
    if student.weights_hash == UNSAVED:
        raise ValueError("a student that was never saved has no hash to know its blocks by: save it, or give no folder")


def check_made_by(student: Embedder, table: OutcomeTable) -> None:
    """Raise ValueError unless the table is of this student."""
    if (student.name, student.weights_hash) != (table.student, table.student_hash):
        raise ValueError(
            f"the table is of student {table.student!r} with weights {table.student_hash[:12]}, not of "
            f"{student.name!r} with weights {student.weights_hash[:12]}"
        )


def settings_of(student: Embedder, dataset: SketchDataset, sides: tuple[int, ...]) -> dict[str, Any]:
    """Everything that a table's rows depend on."""
    return {
        "dataset": dataset.name,
        "dataset_hash": dataset.hash,
        "student": student.name,
        "student_hash": student.weights_hash,
        "canvases": sides,
        "top": TOP,
        "triplet_margin": rules.TRIPLET_MARGIN,
        "versions": versions((*PACKAGES, "sketchcanvas", "scikit-image")),
        "block": blocks.BLOCK,
        "references": REFERENCES,
    }


def _tabulated(
    student: Embedder,
    dataset: SketchDataset,
    canvases: Sequence[int] | None,
    progress: bool,
    folder: Path,
    kept: bool = False,
    final: Path | None = None,
) -> OutcomeTable:
    """The table, a small one in memory, a large one mapped; in a file, if one is given as `final`.

    The blocks lie in `folder`; `kept` says that another process may find them there.
    """
    if kept:
        check_saved(student)
    rows, others = _outcomes(student, dataset, canvases, progress, folder)
    if sum(each.nbytes for each in rows.values()) >= npz.MAPPED_FROM:
        key = blocks.key(settings_of(student, dataset, tuple(others["canvases"].tolist())))
        return OutcomeTable.write(final or folder / f"{key}.npz", rows, **others)
    whole: dict[str, Any] = {name: np.concatenate([*each.blocks]) for name, each in rows.items()}
    table = OutcomeTable(**whole, **others)
    if final is not None:
        table.save(final)
    return table


def _outcomes(
    student: Embedder, dataset: SketchDataset, canvases: Sequence[int] | None, progress: bool, folder: Path
) -> tuple[dict[str, Rows], dict[str, Any]]:
    """The rows of a table, in blocks that are read from `folder` when they are asked for, and all its other fields."""
    sides = tuple(int(side) for side in (student.canvases if canvases is None else canvases))
    unknown = sorted(set(sides) - set(student.canvases))
    if unknown or not sides or list(sides) != sorted(set(sides)):
        raise ValueError(f"canvases must be some of {list(student.canvases)}, rising; got {list(sides)}")
    # A data set may have no sketches for selectors, or keep its test split to itself.
    splits = [split for split in SPLITS[1:] if len(dataset.indices(split))]
    if not splits:
        raise ValueError(f"data set {dataset.name!r} has sketches to train on only: there is nothing to tabulate")
    rows = np.concatenate([dataset.indices(split) for split in splits])
    photos = np.unique(np.concatenate([dataset.gallery(split) for split in splits]))
    key = blocks.key(settings_of(student, dataset, sides))

    per_side = (len(sides),)
    columns: Columns = {
        "ranks": (np.int32, per_side),
        "distances": (np.float32, per_side),
        "triplet": (np.float32, per_side),
        "top": (np.int32, (*per_side, TOP)),
    }

    def outcomes(queries: NDArray[np.int64], gallery: Gallery, true: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        sketches = [dataset.sketch(row) for row in rows[queries].tolist()]
        return ranked_at_canvases(student, sketches, sides, gallery, true)

    stored = rank_in_blocks(student, dataset, rows, photos, columns, folder / f"{key}.sketches", outcomes, progress)

    groups, conditions = dataset.groups()

    def in_blocks(name: str) -> Rows:
        if name in columns:
            computed = stored[name]
            return Rows(computed.dtype, computed.shape, (computed[block] for block in names.blocks(len(rows))))
        own = own_column(name, groups, np.int8) if name == "level" else getattr(dataset, name)
        return Rows(own.dtype, rows.shape, (own[rows[block]] for block in names.blocks(len(rows))))

    return {name: in_blocks(name) for name in ROWS}, {
        "dataset": dataset.name,
        "dataset_hash": dataset.hash,
        "student": student.name,
        "student_hash": student.weights_hash,
        "canvases": np.array(sides),
        "flops": np.array([student.flops(side) for side in sides]),
        "photos": photos,
        "gallery_size": {split: len(dataset.gallery(split)) for split in splits},
        "meta": {
            "triplet_margin": rules.TRIPLET_MARGIN,
            "versions": versions(),
            **({"conditions": list(conditions)} if conditions else {}),
        },
    }


def rank_in_blocks(
    student: Embedder,
    dataset: SketchDataset,
    rows: NDArray[np.int64],
    photos: NDArray[np.str_],
    columns: Columns,
    path: Path,
    outcomes: Callable[[NDArray[np.int64], Gallery, NDArray[np.int64]], Mapping[str, NDArray[Any]]],
    progress: bool,
) -> NDArray[Any]:
    """Outcomes of many queries, computed and stored a block at a time; stored blocks are not computed again.

    Args:
        student: embeds the photos.
        dataset: has the galleries.
        rows: (N,) rows of the data set, one for each query.
        photos: (P,) ids of photos, or of classes; those of all galleries are among them.
        columns: what is stored of a query.
        path: the file of the queries; the embedded photos lie beside it, with the ending ".photos".
        outcomes: gives the columns, and others perhaps, of some queries of one split; it is told which these are, (n,)
            places in `rows`, their gallery, and the place (n,) of their true photos there.
        progress: show a progress bar on standard error.

    Returns:
        (N,) structured array in the order of `rows`; mapped from the file where that is by split, as in `SPLITS`.
    """
    from rich.console import Console
    from rich.progress import Progress

    # A split at a time, since each has a gallery of its own.
    members = {split: np.flatnonzero(dataset.split[rows] == split) for split in SPLITS}
    order = np.concatenate([*members.values()])
    places = names.Places(photos)
    with (
        Progress(console=Console(stderr=True), disable=not progress) as bar,
        BlockFile(path, columns, len(rows)) as stored,
    ):
        task = bar.add_task("photos", total=len(photos))
        embedded = _embed_photos(student, dataset, photos, path.with_suffix(".photos"), lambda n: bar.advance(task, n))
        task = bar.add_task(path.suffix.removeprefix("."), total=len(rows))
        start = 0
        for split in (split for split in SPLITS if len(members[split])):
            where = places.of(dataset.gallery(split))
            gallery = Gallery(np.asarray(embedded[where]), where)
            column = {photo: index for index, photo in enumerate(dataset.gallery(split).tolist())}
            stop = start + len(members[split])
            for block, done in stored.blocks(start, stop):
                if not done:
                    true = np.array([column[photo] for photo in dataset.photo_ids[rows[order[block]]].tolist()])
                    found = outcomes(order[block], gallery, true)
                    stored.store(block, **{name: found[name] for name in columns})
                bar.advance(task, block.stop - block.start)
            start = stop
    return stored.rows if (np.diff(order) > 0).all() else stored.rows[np.argsort(order)]


def _embed_photos(
    student: Embedder,
    dataset: SketchDataset,
    photos: NDArray[np.str_],
    path: Path,
    advance: Callable[[int], object],
) -> NDArray[np.float32]:
    """Embeddings (P, D) float32 of photos, or of classes, mapped from the file that they were stored in."""
    dim = embed_gallery(student, dataset, photos[:1].tolist()).shape[1]
    with BlockFile(path, {"embedding": (np.float32, (dim,))}, len(photos)) as stored:
        for block, done in stored.blocks(0, len(photos)):
            if not done:
                stored.store(block, embedding=embed_gallery(student, dataset, photos[block].tolist()))
            advance(block.stop - block.start)
    return stored.rows["embedding"]


def check_student(table: OutcomeTable) -> None:
    """Refuse a shipped table that was made with other weights than those of the shipped student it names.

    Not for tables of one's own: a student of one's own may have the name of a shipped one.

    Raises:
        ValueError: the hashes differ; the message says how to build the table anew.
    """
    # A student does recognition and known galleries, too: what stands behind "_" is a task or a part of its data set.
    weights = WEIGHTS_FOLDER / f"{table.dataset.partition('_')[0]}-{table.student}.safetensors"
    if weights.is_file() and (digest := load_card(weights)["sha256"]) != table.student_hash:
        raise ValueError(
            f"the outcome table was made with other weights of {table.student!r} than the shipped ones (sha256 "
            f"{table.student_hash[:12]} against {digest[:12]}): build it anew with 'sketchcanvas tabulate'"
        )


def scores(table: OutcomeTable) -> dict[str, dict[str, dict[str, float]]]:
    """acc@1, acc@5 and acc@10 by split and canvas, shares of the sketches."""
    return {
        split: {
            str(side): {f"acc@{k}": float(table.select(split).acc(k)[column]) for k in (1, 5, 10)}
            for column, side in enumerate(table.canvases.tolist())
        }
        for split in table.splits
    }
