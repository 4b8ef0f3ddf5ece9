"""Distillation targets: frozen teachers' embeddings of a training pool, computed once and cached on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.files import atomic_write
from students.network.embedder import Student
from students.training.pool.pairs import Pairs


@dataclass(frozen=True, eq=False)
class TeacherTargets:
    """A teacher's embeddings of a pool, as drawn and mirrored.

    Attributes:
        sketches: (2, n, T) float16 unit vectors; axis 0: as drawn, mirrored.
        photos: (2, m, T) float16 unit vectors.
    """

    sketches: Tensor
    photos: Tensor

    def of_sketches(self, rows: NDArray[np.int64], flip: NDArray[np.bool_]) -> Tensor:
        """(B, T) float32 unit vectors of the sketches in `rows`, mirrored where `flip`."""
        return F.normalize(self.sketches[flip.astype(np.int64), rows].float(), dim=1)

    def of_photos(self, rows: NDArray[np.int64], flip: NDArray[np.bool_]) -> Tensor:
        """(B, T) float32 unit vectors of the photos in `rows`, mirrored where `flip`."""
        return F.normalize(self.photos[flip.astype(np.int64), rows].float(), dim=1)


def teacher_targets(
    teacher: Student, canvases: tuple[int, ...], pairs: Pairs, folder: Path, device: str, progress: bool = True
) -> TeacherTargets:
    """A teacher's embeddings of the pool, read from the cache where an earlier run has written them.

    A sketch's embedding is the normalised mean over `canvases`, which is less noisy than that of one canvas.

    Args:
        teacher: a trained student.
        canvases: some of the teacher's.
        pairs: the pool.
        folder: the cache; a file's name has the hash of teacher, canvases and pool.
        device: a torch device.
        progress: show a progress bar on standard error.
    """
    from safetensors.torch import load_file, save_file

    network = teacher.to(device)
    file = folder / f"knowledge-{_key(network, canvases, pairs)}.safetensors"
    if not file.is_file():
        both = [pairs.sketches, [mirrored(sketch) for sketch in pairs.sketches]]
        sketches = [_mean_embeddings(network, list(side), canvases, progress) for side in both]
        pixels = pairs.photos.permute(0, 2, 3, 1)
        photos = [network.embed_photos(p.contiguous().numpy()) for p in (pixels, pixels.flip(2))]
        arrays = {
            "sketches": torch.from_numpy(np.stack(sketches)).half(),
            "photos": torch.from_numpy(np.stack(photos)).half(),
        }
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as temporary:
            save_file(arrays, str(temporary))
    arrays = load_file(file)
    return TeacherTargets(arrays["sketches"].to(device), arrays["photos"].to(device))


def combined(targets: Sequence[TeacherTargets]) -> TeacherTargets:
    """Several teachers' targets as one: their embeddings concatenated and normalised.

    The inner product of two such embeddings is the mean of the teachers' own, so distances are those of an ensemble.
    """
    if len(targets) == 1:
        return targets[0]
    sketches, photos = (
        F.normalize(torch.cat([getattr(one, kind).float() for one in targets], dim=2), dim=2).half()
        for kind in ("sketches", "photos")
    )
    return TeacherTargets(sketches, photos)


def mirrored(sketch: VectorSketch) -> VectorSketch:
    """The sketch with left and right exchanged."""
    mirror = np.array([-1.0, 1.0], dtype=np.float32)
    return VectorSketch(tuple(stroke * mirror + np.array([1.0, 0.0], dtype=np.float32) for stroke in sketch.strokes))


def _mean_embeddings(
    network: Student, sketches: list[VectorSketch], canvases: tuple[int, ...], progress: bool
) -> NDArray[np.float32]:
    """(n, T) float32 unit vectors: the normalised mean of each sketch's embeddings at the canvases."""
    total = sum(network.embed(sketches, canvas, progress=progress) for canvas in canvases)
    return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True), dtype=np.float32)


def _key(network: Student, canvases: tuple[int, ...], pairs: Pairs) -> str:
    """16 hexadecimal digits that identify teacher, canvases and pool."""
    digest = sha256(f"{network.weights_hash} {canvases}".encode())
    digest.update(pairs.photos.numpy().tobytes())
    for sketch in pairs.sketches:
        for stroke in sketch.strokes:
            digest.update(stroke.tobytes())
    return digest.hexdigest()[:16]
