"""A student with a gallery, for the environment's live mode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes.columns import TOP
from sketchcanvas_env.outcomes.reward import rank_of_true, triplet_loss
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.tasks.retriever import Outcome
from students.network.protocol import Embedder
from students.tables.gallery import embed_gallery
from students.tables.ranking import euclidean


class StudentRetriever:
    """Ranks a gallery of photos for one sketch at a time: a `sketchcanvas_env.Retriever`.

    Attributes:
        canvases: sides that the student can embed, in pixels, rising.
        flops: FLOPs (2 x MAC) of one sketch at each of them.
        photo_ids: (G,) ids of the gallery.
    """

    def __init__(self, student: Embedder, photo_ids: Sequence[str], images: NDArray[np.uint8]) -> None:
        """Embed the gallery.

        Args:
            student: frozen.
            photo_ids: ids of the photos, unique.
            images: (G, H, W, 3) uint8, one a photo.

        Raises:
            ValueError: no photo, repeated ids, or another number of images.
        """
        self.photo_ids = np.array(photo_ids, dtype=np.str_)
        if not len(self.photo_ids) or len(set(self.photo_ids.tolist())) != len(self.photo_ids):
            raise ValueError("a gallery needs at least one photo, and unique ids")
        if len(images) != len(self.photo_ids):
            raise ValueError(f"{len(self.photo_ids)} ids for {len(images)} images")
        self._set(student, student.embed_photos(images))

    @classmethod
    def of(cls, student: Embedder, dataset: SketchDataset, split: str) -> StudentRetriever:
        """The gallery of a data set's split: photos, or classes where the data set is for recognition."""
        retriever = cls.__new__(cls)
        retriever.photo_ids = dataset.gallery(split)
        retriever._set(student, embed_gallery(student, dataset, retriever.photo_ids.tolist()))
        return retriever

    def _set(self, student: Embedder, gallery: NDArray[np.float32]) -> None:
        self.canvases = student.canvases
        self.flops = [student.flops(canvas) for canvas in student.canvases]
        self._student = student
        self._photos = gallery
        self._place = {photo: index for index, photo in enumerate(self.photo_ids.tolist())}

    def retrieve(self, sketch: VectorSketch, canvas: int, photo_id: str) -> Outcome:
        """Draw the sketch at `canvas`, embed it, and rank the gallery.

        Raises:
            KeyError: the true photo is not in the gallery.
            ValueError: the student has no statistics for that canvas.
        """
        if photo_id not in self._place:
            raise KeyError(f"photo {photo_id!r} is not in this gallery of {len(self.photo_ids)}")
        true = self._place[photo_id]
        between = euclidean(self._student.embed([sketch], canvas), self._photos)[0]
        nearest = np.argsort(between, kind="stable")[:TOP]
        return Outcome(
            rank=int(rank_of_true(between, true)),
            distance=float(between[true]),
            triplet=float(triplet_loss(between, true)),
            top=self.photo_ids[nearest].tolist(),
        )
