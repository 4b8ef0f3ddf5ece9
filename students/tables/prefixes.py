"""Builds prefix tables: ranks of sketches after each step of their drawing, for `SketchCanvasStroke-v0`.

python -m students.tables.prefixes --student emoji --table sketchcanvas_env/tables/emoji-mobilenet_v2.npz
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes.columns import TOP
from sketchcanvas_env.outcomes.finding import check_dataset
from sketchcanvas_env.outcomes.prefixes import MAX_STEPS, PrefixTable, drawing_steps
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.names import Places
from sketchcanvas_env.tasks.arguments import DEFAULT_CANVASES
from students.network.protocol import Embedder
from students.store.provenance import versions
from students.tables import blocks
from students.tables.blocks import Columns
from students.tables.ranking import Gallery, ranked_at_canvases
from students.tables.tabulate import check_made_by, check_saved, rank_in_blocks, settings_of

_NOISE = 2e-3  # largest difference of a triplet loss between machines


def build_prefixes(
    student: Embedder,
    dataset: SketchDataset,
    table: OutcomeTable,
    canvases: Sequence[int] | None = None,
    progress: bool = False,
    folder: str | PathLike[str] | None = None,
) -> PrefixTable:
    """Rank the true photo of every sketch of a table after each step of its drawing.

    Drawings are embedded and ranked in blocks of `students.tables.blocks.BLOCK`, each stored as soon as it is done.
    Outcomes of whole drawings are copied from the table, after checking that they are reproduced.

    Args:
        student: the student of the table.
        dataset: the data set of the table.
        table: the whole table.
        canvases: some of the table's, rising; None for those of the environment's default canvases that it has.
        progress: show a progress bar on standard error.
        folder: keeps finished blocks for the next call with the same arguments; a temporary folder when None.

    Raises:
        ValueError: a canvas that the table lacks, another student or data set than the table's, or a `folder` for a
            student that was never saved.
        OSError: the disk is full.
    """
    check_dataset(table, dataset)
    if canvases is None:
        canvases = [side for side in DEFAULT_CANVASES if side in table.canvases]
    check_made_by(student, table)
    if folder is None:
        with TemporaryDirectory(prefix="prefixes-", ignore_cleanup_errors=True) as temporary:
            return _build(student, dataset, table, canvases, progress, Path(temporary))
    check_saved(student)
    return _build(student, dataset, table, canvases, progress, Path(folder))


def _build(
    student: Embedder,
    dataset: SketchDataset,
    table: OutcomeTable,
    canvases: Sequence[int],
    progress: bool,
    folder: Path,
) -> PrefixTable:
    in_table = table.columns(canvases)
    sides = table.canvases[in_table].tolist()
    rows = Places(dataset.sketch_ids).of(table.sketch_ids)
    drawings = [drawing_steps(dataset.sketch(row)) for row in rows.tolist()]
    steps = np.array([len(each) for each in drawings])
    # One row for each prefix of each sketch: whose it is, and after which step.
    owner = np.repeat(np.arange(len(rows)), steps)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(steps) - steps, steps)
    key = blocks.key({**settings_of(student, dataset, tuple(sides)), "outcomes": table.hash, "steps": MAX_STEPS})
    columns: Columns = {
        "ranks": (np.int32, (len(sides),)),
        "triplet": (np.float32, (len(sides),)),
        "top": (np.int32, (len(sides), TOP)),
        "nearest": (np.float32, (len(sides), TOP)),
    }

    def outcomes(queries: NDArray[np.int64], gallery: Gallery, true: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        batch = [drawings[i][j] for i, j in zip(owner[queries], step[queries], strict=True)]
        return ranked_at_canvases(student, batch, sides, gallery, true)

    path = folder / f"{key}.drawings"
    stored = rank_in_blocks(student, dataset, rows[owner], table.photos, columns, path, outcomes, progress)
    found = {name: np.array(stored[name]) for name in columns}
    found["distances"] = found.pop("nearest")
    whole = np.cumsum(steps) - 1
    if not np.allclose(found["triplet"][whole], table.triplet[:, in_table], rtol=0, atol=_NOISE):
        raise ValueError("whole drawings come out otherwise than in the table: build the table anew")
    for name in ("ranks", "triplet", "top"):
        # Another machine's rounding, or another batch's, may swap photos that are all but equally near.
        found[name][whole] = getattr(table, name)[:, in_table]
    return PrefixTable(
        outcomes_hash=table.hash,
        canvases=np.array(sides),
        strokes=np.array([each[-1].n_strokes for each in drawings]),
        **found,
        meta={"versions": versions()},
    )


def main(
    student: Annotated[str, typer.Option(help="A shipped student, or the path of one.")],
    table: Annotated[Path, typer.Option(help="Its outcome table; the prefixes are written beside it.")],
    root: Annotated[Path | None, typer.Option(help="Folder of a data set that is not embedded.")] = None,
) -> None:
    """Rank every sketch of an outcome table after each step of its drawing."""
    import students
    from sketchcanvas_env import load_dataset

    outcomes = OutcomeTable.load(table)
    path = PrefixTable.path_beside(table)
    folder = path.with_name(f"{path.name}.unfinished")
    dataset = load_dataset(outcomes.dataset) if root is None else load_dataset(outcomes.dataset, root=root)
    made = build_prefixes(students.load(student), dataset, outcomes, progress=True, folder=folder)
    made.save(path)
    for leftover in folder.glob("*"):
        leftover.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
    typer.echo(f"{path}: {len(made):,} sketches, {len(made.ranks):,} drawings")


if __name__ == "__main__":
    typer.run(main)
