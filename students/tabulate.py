"""Build the outcome table of a frozen student: every sketch of train, val and test at every canvas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env import reward as rules
from sketchcanvas_env.data import SPLITS, SketchDataset
from sketchcanvas_env.sketch import VectorSketch
from sketchcanvas_env.table import TOP, OutcomeTable
from students import WEIGHTS_FOLDER
from students.provenance import versions
from students.weights import load_card


class Embedder(Protocol):
    """What tabulating asks of a student; `students.embedder.Student` and `students.hog.HogRetriever` have it."""

    @property
    def name(self) -> str:
        """Short name, used in file names."""

    @property
    def weights_hash(self) -> str:
        """sha256 (hex) of the weights' file."""

    @property
    def canvases(self) -> tuple[int, ...]:
        """Canvas sides it can embed, rising."""

    def flops(self, canvas: int) -> float:
        """FLOPs (2 x MAC) of one sketch at that canvas."""

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int = 64, progress: bool = False
    ) -> NDArray[np.float32]:
        """(n, D) float32 unit vectors."""

    def embed_photos(self, images: NDArray[np.uint8], batch_size: int = 64) -> NDArray[np.float32]:
        """(n, D) float32 unit vectors from (n, H, W, 3) uint8."""


def tabulate(
    student: Embedder, dataset: SketchDataset, canvases: Sequence[int] | None = None, progress: bool = False
) -> OutcomeTable:
    """Rank the true photo of every sketch outside the `student` split, at every canvas.

    Args:
        student: frozen; the table is as good as its determinism.
        dataset: the sketches are ranked among their split's gallery.
        canvases: sides, rising; all of the student's when None.
        progress: show a progress bar on standard error.

    Raises:
        ValueError: a canvas that the student cannot embed, or no sketch outside the `student` split.
    """
    from rich.console import Console
    from rich.progress import Progress

    sides = tuple(student.canvases if canvases is None else canvases)
    unknown = sorted(set(sides) - set(student.canvases))
    if unknown or not sides or list(sides) != sorted(set(sides)):
        raise ValueError(f"canvases must be some of {list(student.canvases)}, rising; got {list(sides)}")
    # A data set may have no sketches for selectors, or keep its test split to itself.
    splits = [split for split in SPLITS[1:] if len(dataset.indices(split))]
    if not splits:
        raise ValueError(f"data set {dataset.name!r} has sketches to train on only: there is nothing to tabulate")
    rows = np.concatenate([dataset.indices(split) for split in splits])
    photos = np.unique(np.concatenate([dataset.gallery(split) for split in splits]))
    place = {photo: index for index, photo in enumerate(photos.tolist())}
    shape = (len(rows), len(sides))
    ranks, top = np.zeros(shape, np.int32), np.full((*shape, TOP), -1, np.int32)
    distances, triplet = np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    with Progress(console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task("embedding photos", total=1 + len(sides) * len(splits))
        embedded = student.embed_photos(np.stack([dataset.photo(photo) for photo in photos.tolist()]))
        bar.advance(task)
        start = 0
        for split in splits:
            own = dataset.indices(split)
            sketches = [dataset.sketch(int(row)) for row in own]
            gallery = np.array([place[photo] for photo in dataset.gallery(split).tolist()])
            column = {photo: index for index, photo in enumerate(dataset.gallery(split).tolist())}
            true = np.array([column[photo] for photo in dataset.photo_ids[own].tolist()])
            piece = slice(start, start + len(own))
            for k, side in enumerate(sides):
                bar.update(task, description=f"{split} at {side} px")
                between = euclidean(student.embed(sketches, side), embedded[gallery])
                ranks[piece, k] = rules.rank_of_true(between, true)
                distances[piece, k] = between[np.arange(len(own)), true]
                triplet[piece, k] = rules.triplet_loss(between, true)
                nearest = np.argsort(between, axis=1, kind="stable")[:, :TOP]
                top[piece, k, : nearest.shape[1]] = gallery[nearest]
                bar.advance(task)
            start += len(own)

    return OutcomeTable(
        dataset=dataset.name,
        dataset_hash=dataset.hash,
        student=student.name,
        student_hash=student.weights_hash,
        canvases=np.array(sides),
        flops=np.array([student.flops(side) for side in sides]),
        ranks=ranks,
        distances=distances,
        triplet=triplet,
        top=top,
        photos=photos,
        sketch_ids=dataset.sketch_ids[rows],
        photo_ids=dataset.photo_ids[rows],
        split=dataset.split[rows],
        level=dataset.level[rows],
        gallery_size={split: len(dataset.gallery(split)) for split in splits},
        meta={"triplet_margin": rules.TRIPLET_MARGIN, "versions": versions()},
    )


def check_student(table: OutcomeTable) -> None:
    """Refuse a table that speaks of a shipped student by name but was made with other weights.

    Raises:
        ValueError: the hashes differ; the message says how to build the table anew.
    """
    card = WEIGHTS_FOLDER / f"{table.dataset}-{table.student}.json"
    if card.is_file() and (digest := load_card(card)["sha256"]) != table.student_hash:
        raise ValueError(
            f"the outcome table was made with other weights of {table.student!r} than the shipped ones (sha256 "
            f"{table.student_hash[:12]} against {digest[:12]}): build it anew with 'sketchcanvas tabulate'"
        )


def euclidean(queries: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.float64]:
    """Euclidean distances (n, G) float64 between unit vectors (n, D) and (G, D), in [0, 2]."""
    cosine = queries.astype(np.float64) @ gallery.astype(np.float64).T
    return np.sqrt(np.clip(2.0 - 2.0 * cosine, 0.0, 4.0))


def scores(table: OutcomeTable) -> dict[str, dict[str, dict[str, float]]]:
    """acc@1, acc@5 and acc@10 by split and canvas, shares of the sketches."""
    return {
        split: {
            str(side): {f"acc@{k}": float(table.select(split).acc(k)[column]) for k in (1, 5, 10)}
            for column, side in enumerate(table.canvases.tolist())
        }
        for split in table.splits
    }
