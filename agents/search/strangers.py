"""Distance limits beyond which a search reports that nothing in the index is near.

    python -m agents.search.strangers

measures them for the student of the shipped index and writes `strangers.json`. That index has the emoji of every sketch
of the split val. For each canvas the limit is the `SHARE` quantile of the distance to the nearest photo. The file also
holds, per canvas, the share of sketches beyond the limit whose own photo still came first, and the share of all
sketches beyond the limit when the photos of their class are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from agents.search.parts import QueryStudent
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.sketches.raster import rasterise_batch
from students.search.index import PhotoIndex

FILE = Path(__file__).parent / "strangers.json"
SHARE = 0.9
SPLIT = "val"
_BATCH = 64


@cache
def limits(student_hash: str) -> Mapping[int, float]:
    """Limits by canvas side in pixels; empty for a student that was not measured.

    Args:
        student_hash: SHA-256 of its weights, hex.
    """
    measured = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    canvases = measured.get(student_hash, {}).get("canvases", {})
    return {int(side): float(found["limit"]) for side, found in canvases.items()}


def measure(student: QueryStudent, index: PhotoIndex, dataset: SketchDataset) -> dict[str, Any]:
    """The entry of a student in `strangers.json`.

    Args:
        student: the one that embedded the index.
        index: has the photos of all sketches of `SPLIT`.
        dataset: has the sketches and the classes of photos; without classes each photo is its own class.
    """
    rows = dataset.indices(SPLIT)
    sketches = [dataset.sketch(int(row)) for row in rows]
    place = {photo: number for number, photo in enumerate(index.ids)}
    own = np.array([place[photo] for photo in dataset.photo_ids[rows].tolist()])
    labels = dataset.photo_ids if dataset.classes is None else dataset.classes
    class_of = dict(zip(dataset.photo_ids.tolist(), labels.tolist(), strict=True))
    classes = np.array([class_of[photo] for photo in index.ids])
    canvases = {}
    for side in student.canvases:
        starts = range(0, len(sketches), _BATCH)
        parts = [student.embed_rasters(rasterise_batch(sketches[i : i + _BATCH], side)) for i in starts]
        cosines = np.concatenate(parts) @ index.embeddings.T
        distances = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * cosines))
        nearest = distances.min(axis=1)
        limit = float(np.quantile(nearest, SHARE))
        others = np.where(classes == classes[own][:, None], np.inf, distances)
        canvases[str(side)] = {
            "limit": round(limit, 4),
            "right_beyond": round(float((distances.argmin(axis=1) == own)[nearest > limit].mean()), 4),
            "strangers_beyond": round(float((others.min(axis=1) > limit).mean()), 4),
        }
    return {
        "student": index.student,
        "index": index.source,
        "split": SPLIT,
        "share": SHARE,
        "sketches": len(rows),
        "canvases": canvases,
    }


if __name__ == "__main__":
    import students
    from sketchcanvas_env.data import load
    from sketchcanvas_env.storage.files import write_json
    from students.search import index as indexes

    shipped = indexes.load()
    found = measure(students.load(shipped.student), shipped, load(shipped.source.partition(":")[0]))
    write_json(FILE, {shipped.student_hash: found}, indent=2)
    print(json.dumps(found, indent=2))
