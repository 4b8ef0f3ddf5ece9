"""People's doodles of what the photos show: Quick, Draw! drawings by photo.

The drawings are read from the user's copy (`sketchcanvas_env.data.formats.quickdraw`) and not stored elsewhere. Doodles
of photos in the split `student` are trained on; those of photos in other splits are scored only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data import SketchDataset, load
from sketchcanvas_env.outcomes.reward import rank_of_true
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.files import read_json
from students.tables.gallery import embed_gallery
from students.tables.ranking import euclidean
from students.training.pool.checks import check_number, check_text

if TYPE_CHECKING:
    from students.network.protocol import Embedder

MAX_NAMES_BYTES = 1 << 20
MEASURED = 12
"""Doodles of a photo outside the split `student` that are scored, at most: the first ones."""
TOP = (1, 5, 10)
"""k of the reported acc@k."""


@dataclass(frozen=True)
class DoodleConfig:
    """Where doodles are, and how training uses them."""

    root: str = "quickdraw"
    """Folder of Quick, Draw!."""
    names: str = "quickdraw_emoji.json"
    """JSON file with an object: category -> ids of the photos that show it."""
    people: float = 0.0
    """Share of identities with doodles in the data set's part of a batch; 0: their share among all identities."""
    classes: float = 0.0
    """Weight of an additional loss: recognition of the doodles' categories (`students.training.recognition`)."""

    def __post_init__(self) -> None:
        """Check all fields; ValueError names the wrong one and what is allowed."""
        check_text("doodles.root", self.root)
        check_text("doodles.names", self.names)
        check_number("doodles.people", self.people, 0.0, 1.0)
        check_number("doodles.classes", self.classes, 0.0, 1e3)


Doodles = Mapping[str, Sequence[VectorSketch]]
"""Drawings by photo id."""


def read(config: DoodleConfig, dataset: SketchDataset) -> Mapping[str, Doodles]:
    """Doodles of a data set's photos by split.

    Photos of the split `student` get the drawings in Quick, Draw!'s own split `student`, so that its other splits stay
    unseen; photos of other splits get the first `MEASURED` drawings.

    Raises:
        FileNotFoundError: a missing folder or file.
        ValueError: a file of names with other contents, or no doodle of a photo to train on.
    """
    drawings = load("quickdraw", config.root)
    split_of = _split_of(dataset)
    doodles: dict[str, dict[str, list[VectorSketch]]] = {}
    for category, photos in _names(config).items():
        rows = np.flatnonzero(drawings.photo_ids == category)
        for photo in photos:
            if (split := split_of.get(photo)) is None:
                continue
            own = rows[drawings.split[rows] == "student"] if split == "student" else rows[:MEASURED]
            if len(own):
                doodles.setdefault(split, {}).setdefault(photo, []).extend(drawings.sketch(int(row)) for row in own)
    if "student" not in doodles:
        raise ValueError(f"doodles.names: {config.names} names no category of {config.root} for a photo to train on")
    return doodles


def held_out_categories(config: DoodleConfig, dataset: SketchDataset) -> set[str]:
    """Categories of photos outside the split `student`, which must not be trained on."""
    split_of = _split_of(dataset)
    return {
        category
        for category, photos in _names(config).items()
        if any(split_of.get(photo, "student") != "student" for photo in photos)
    }


def _split_of(dataset: SketchDataset) -> dict[str, str]:
    """The split of each photo by name."""
    return dict(zip(dataset.photo_ids.tolist(), dataset.split.tolist(), strict=True))


def _names(config: DoodleConfig) -> dict[str, list[str]]:
    """Photo ids by category. Raises ValueError for a file with other contents."""
    names = read_json(Path(config.names), MAX_NAMES_BYTES)
    if isinstance(names, dict) and all(
        isinstance(ids, list) and all(isinstance(one, str) for one in ids) for ids in names.values()
    ):
        return names
    raise ValueError(f"doodles.names: {config.names} must be a JSON object: category -> list of photo ids")


def scores(
    student: Embedder, dataset: SketchDataset, doodles: Mapping[str, Doodles], canvases: Sequence[int]
) -> dict[str, dict[int, list[float]]]:
    """acc@1, acc@5 and acc@10 (shares of doodles) by canvas (pixels), for each of `train` and `val` with doodles."""
    acc = {}
    for split in ("train", "val"):
        if split in doodles:
            ranks = _ranks(student, dataset, split, doodles[split], canvases)
            acc[split] = {side: [float((ranks[:, k] <= top).mean()) for top in TOP] for k, side in enumerate(canvases)}
    return acc


def _ranks(
    student: Embedder, dataset: SketchDataset, split: str, doodles: Doodles, canvases: Sequence[int]
) -> NDArray[np.int64]:
    """Ranks (n, K) int64 of n doodles' true photos in the gallery of a split, at each of K canvases (pixels)."""
    gallery = dataset.gallery(split).tolist()
    place = {photo: column for column, photo in enumerate(gallery)}
    sketches = [sketch for photo in doodles for sketch in doodles[photo]]
    true = np.array([place[photo] for photo in doodles for _ in doodles[photo]])
    photos = embed_gallery(student, dataset, gallery)
    columns = [rank_of_true(euclidean(student.embed(sketches, side), photos), true) for side in canvases]
    return np.stack(columns, axis=1)
