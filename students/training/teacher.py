"""What a frozen teacher says about every sketch and photo of a training pool, computed once and kept on disk."""

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
class Knowledge:
    """A teacher's embeddings of a pool, plain and mirrored.

    Attributes:
        sketches: (2, n, T) float16 unit vectors; axis 0: as drawn, mirrored.
        photos: (2, m, T) float16 unit vectors.
    """

    sketches: Tensor
    photos: Tensor

    def of_sketches(self, rows: NDArray[np.int64], flip: NDArray[np.bool_]) -> Tensor:
        """(B, T) float32 unit vectors of some sketches, mirrored where `flip`."""
        return F.normalize(self.sketches[flip.astype(np.int64), rows].float(), dim=1)

    def of_photos(self, rows: NDArray[np.int64], flip: NDArray[np.bool_]) -> Tensor:
        """(B, T) float32 unit vectors of some photos, mirrored where `flip`."""
        return F.normalize(self.photos[flip.astype(np.int64), rows].float(), dim=1)


def knowledge(
    teacher: Student, canvases: tuple[int, ...], pairs: Pairs, folder: Path, device: str, progress: bool = True
) -> Knowledge:
    """Embed the pool with a teacher, or read what an earlier run has embedded.

    A sketch's embedding is the mean over `canvases`, normalised: one look at one size is noisier.

    Args:
        teacher: a trained student, frozen.
        canvases: some of the teacher's.
        pairs: the pool.
        folder: where to keep the result; its name holds the hash of teacher, canvases and pool.
        device: a torch device.
        progress: show a progress bar on standard error.
    """
    from safetensors.torch import load_file, save_file

    network = teacher.to(device)
    file = folder / f"knowledge-{_key(network, canvases, pairs)}.safetensors"
    if not file.is_file():
        both = [pairs.sketches, [mirrored(sketch) for sketch in pairs.sketches]]
        sketches = [_fused(network, list(side), canvases, progress) for side in both]
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
    return Knowledge(arrays["sketches"].to(device), arrays["photos"].to(device))


def combined(told: Sequence[Knowledge]) -> Knowledge:
    """Several teachers' knowledge of one pool as one: their embeddings side by side.

    The inner product of two such embeddings is the mean of the teachers' own, so distances are those of an ensemble.
    """
    if len(told) == 1:
        return told[0]
    sketches, photos = (
        F.normalize(torch.cat([getattr(one, side).float() for one in told], dim=2), dim=2).half()
        for side in ("sketches", "photos")
    )
    return Knowledge(sketches, photos)


def mirrored(sketch: VectorSketch) -> VectorSketch:
    """The sketch with left and right exchanged."""
    mirror = np.array([-1.0, 1.0], dtype=np.float32)
    return VectorSketch(tuple(stroke * mirror + np.array([1.0, 0.0], dtype=np.float32) for stroke in sketch.strokes))


def _fused(
    network: Student, sketches: list[VectorSketch], canvases: tuple[int, ...], progress: bool
) -> NDArray[np.float32]:
    total = sum(network.embed(sketches, canvas, progress=progress) for canvas in canvases)
    return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True), dtype=np.float32)


def _key(network: Student, canvases: tuple[int, ...], pairs: Pairs) -> str:
    digest = sha256(f"{network.weights_hash} {canvases}".encode())
    digest.update(pairs.photos.numpy().tobytes())
    for sketch in pairs.sketches:
        for stroke in sketch.strokes:
            digest.update(stroke.tobytes())
    return digest.hexdigest()[:16]
