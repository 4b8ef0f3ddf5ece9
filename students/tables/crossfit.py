"""Outcomes of cross-fitted students: three tables, each of the fold that its student has not seen, as one.

    sketchcanvas distill chairv2-mobilenet_v2 --direct --dataset chairv2_fold0 --root ROOT --out fold0
    sketchcanvas tabulate --student fold0/student.safetensors --dataset chairv2_fold0:ROOT --looks --out fold0.npz
    ...                                                                        (the same for fold1 and fold2)
    python -m students.tables.crossfit --dataset chairv2_crossfit0:ROOT --out crossfit0.npz \\
        fold0.npz fold1.npz fold2.npz

`sketchcanvas_env.data.folds` says why. The three students share a recipe, not weights; what holds for the joint table
holds for that recipe.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data import SketchDataset, load
from sketchcanvas_env.outcomes.looks import LookTable
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.table_file import TableError


def joined(tables: Sequence[OutcomeTable], dataset: SketchDataset) -> OutcomeTable:
    """One table of the cross-fitted data set from one of each fold.

    Args:
        tables: of each fold's split `val`, by the student that has not seen it; the same network and canvases.
        dataset: `sketchcanvas_env.data.crossfitted` of what the folds are of.

    Returns:
        The table; `student_hash` is that of the three hashes, and `meta["folds"]` has them.

    Raises:
        TableError: tables of different networks or canvases, two of one student (it was trained on the fold that one
            of them tells of), or sketches that none or two of them tell of.
    """
    first = tables[0]
    for table in tables:
        if table.student != first.student or not np.array_equal(table.canvases, first.canvases):
            raise TableError("the folds' tables are of different networks or canvases")
        if not np.array_equal(table.flops, first.flops) or table.margin != first.margin:
            raise TableError("the folds' tables count FLOPs or triplet losses differently")
    hashes = [table.student_hash for table in tables]
    if len(set(hashes)) != len(hashes):
        raise TableError("two of the tables are of one student: each fold needs one that was trained on the others")
    photos = np.unique(np.concatenate([table.photos for table in tables]))
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(table, name) for table in tables]) for name in ("ranks", "distances", "triplet")
    }
    columns["top"] = np.concatenate([_renamed(table, photos) for table in tables])
    rows = np.concatenate([dataset.indices(split) for split in ("train", "val", "test")])
    wanted = dataset.sketch_ids[rows]
    ids = [name for table in tables for name in table.sketch_ids.tolist()]
    if len(set(ids)) != len(ids) or set(ids) != set(wanted.tolist()):
        raise TableError(f"the folds' tables do not tell of every sketch of {dataset.name!r} once")
    order = _order(tables, wanted)
    groups, conditions = dataset.groups()
    named = {"conditions": list(conditions)} if conditions else {}
    return OutcomeTable(
        dataset=dataset.name,
        dataset_hash=dataset.hash,
        student=first.student,
        student_hash=sha256("\n".join(hashes).encode()).hexdigest(),
        canvases=first.canvases,
        flops=first.flops,
        **{name: values[order] for name, values in columns.items()},
        photos=photos,
        sketch_ids=wanted,
        photo_ids=dataset.photo_ids[rows],
        split=dataset.split[rows],
        level=groups[rows],
        gallery_size={split: len(dataset.gallery(split)) for split in ("train", "val", "test")},
        meta={"triplet_margin": first.margin, "versions": first.meta.get("versions", {}), "folds": hashes, **named},
    )


def joined_looks(looks: Sequence[LookTable], tables: Sequence[OutcomeTable], table: OutcomeTable) -> LookTable:
    """The looks of a joint table, from those of each fold's.

    Confidence is each student's own, at the temperature of its own `train`; `temperatures` holds their mean. Where one
    fold's looks lack confidence, so do the joint ones.

    Args:
        looks: of each fold.
        tables: of each fold, in the same order.
        table: what `joined` made of them.

    Raises:
        TableError: looks that belong to other tables, or sets of canvases that differ.
    """
    for one, own in zip(looks, tables, strict=True):
        one.check_against(own)
        if not np.array_equal(one.fused_of, looks[0].fused_of):
            raise TableError("the folds' looks are fused over different sets of canvases")
    order = _order(tables, table.sketch_ids)
    names = ["distances", "fused_ranks", "fused_triplet"]
    fitted = [one.temperatures for one in looks if one.temperatures is not None]
    temperatures = np.mean(fitted, axis=0) if len(fitted) == len(looks) else None
    if temperatures is not None:
        names += ["confidence", "entropy", "apart"]
    columns: dict[str, Any] = {name: np.concatenate([getattr(one, name) for one in looks])[order] for name in names}
    columns["temperatures"] = temperatures
    found = LookTable(outcomes_hash=table.hash, fused_of=looks[0].fused_of, **columns, meta=looks[0].meta)
    found.check_against(table)
    return found


def _order(tables: Sequence[OutcomeTable], wanted: NDArray[np.str_]) -> NDArray[np.int64]:
    """Where each of the wanted sketches lies when the tables lie one below the other."""
    place = {name: row for row, name in enumerate(name for table in tables for name in table.sketch_ids.tolist())}
    return np.array([place[name] for name in wanted.tolist()], dtype=np.int64)


def _renamed(table: OutcomeTable, photos: NDArray[np.str_]) -> NDArray[Any]:
    """`table.top` as places in another list of photos, which has all of the table's."""
    places = np.append(np.searchsorted(photos, table.photos), -1)
    return np.asarray(places[table.top])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command of this module."""
    parser = ArgumentParser(description="Join the outcome tables of three folds.")
    parser.add_argument("tables", type=Path, nargs="+", help="outcome tables of the folds, in order")
    parser.add_argument("--dataset", required=True, help="the cross-fitted data set, such as chairv2_crossfit0:ROOT")
    parser.add_argument("--out", type=Path, required=True, help="the joint table")
    chosen = parser.parse_args(arguments)
    try:
        _join(chosen.tables, chosen.dataset, chosen.out)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def _join(paths: Sequence[Path], dataset: str, out: Path) -> None:
    tables = [OutcomeTable.load(path) for path in paths]
    table = joined(tables, load(dataset))
    print(table.save(out))
    beside = [LookTable.path_beside(path) for path in paths]
    if all(path.is_file() for path in beside):
        looks = joined_looks([LookTable.load(path) for path in beside], tables, table)
        print(looks.save(LookTable.path_beside(out)))


if __name__ == "__main__":
    main()
