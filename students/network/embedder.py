"""A student: trunk and heads that embed photos, and sketches drawn at any of its canvases, as unit vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from students.backbones import NORMALISATION, OWN, build_trunk
from students.backbones.layers import pool_to
from students.backbones.switch_norm import PHOTO, set_domain
from students.network.config import StudentConfig
from students.network.modes import evaluating
from students.network.protocol import UNSAVED, batch_of

if TYPE_CHECKING:
    from sketchcanvas_env.sketches.sketch import VectorSketch


_MAX_REAL_PASS = 256
"""Largest canvas (pixels) whose FLOPs are counted by a real pass, which is quick and small for every backbone."""


class Student(nn.Module):
    """Embeds sketches and photos in one space, to be compared by Euclidean distance.

    Each head (`Head`) pools a map of the trunk to a grid of cells, projects every cell by a 1x1 convolution, flattens
    and L2-normalises. An embedding is the concatenation of the heads' vectors, each times the square root of its share,
    so that the cosine similarity of two embeddings is the weighted mean of the heads' similarities.
    """

    def __init__(self, config: StudentConfig | None = None) -> None:
        """Build with random weights; `students.store.pretrained` and `students.store.weights` load others."""
        super().__init__()
        self.config = config = StudentConfig() if config is None else config
        self.name = config.backbone
        self.weights_hash = UNSAVED  # set to the card's SHA-256 by `load_student`
        self.batch: int | None = None  # pictures embedded at once; None: `protocol.batch_of(side)`
        self.trunk = build_trunk(config.backbone, config.domains, bool(config.same_padding))
        self.heads = nn.ModuleDict(
            {str(h.stride): nn.Conv2d(self.trunk.tap_channels[h.stride], h.dim, 1) for h in config.heads}
        )
        mean, std = NORMALISATION[str(config.normalisation)]
        # Not in the state dict, since the config determines them.
        self.register_buffer("_mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        if config.classes:
            self.register_buffer("classes", torch.zeros(len(config.classes), self.dim))
        self._flops: dict[int, float] = {}
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    _mean: Tensor
    _std: Tensor

    # ---- properties

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return sum(head.grid**2 * head.dim for head in self.config.heads)

    @property
    def class_embeddings(self) -> dict[str, npt.NDArray[np.float32]]:
        """Learnt unit vectors (D,) float32 by class; empty unless it was trained for recognition."""
        if not self.config.classes:
            return {}
        rows = nn.functional.normalize(self.get_buffer("classes"), dim=1).cpu().numpy()
        return dict(zip(self.config.classes, rows, strict=True))

    @property
    def canvases(self) -> tuple[int, ...]:
        """Canvas sides (pixels) that this student can embed, rising."""
        return self.config.canvases

    @property
    def params(self) -> int:
        """Number of parameters used for one query, with the norms of one domain."""
        from students.network.flops import count_params

        return count_params(self)

    def flops(self, canvas: int) -> float:
        """FLOPs (2 x MAC; convolutions of trunk and heads) of embedding one sketch at `canvas` (pixels).

        Raises ValueError for a canvas that the student does not have.
        """
        domain = self.domain_of(canvas)
        if canvas not in self._flops:
            from students.network.flops import count

            # The meta device needs no arithmetic, but there PyTorch imports its compiler, which takes a second.
            real = self.config.backbone in OWN and canvas <= _MAX_REAL_PASS
            network = self._copy_of_layers() if real else self._on_meta_device()
            self._flops[canvas] = count(network, (1, 3, canvas, canvas), domain, watched=not real)
        return self._flops[canvas]

    def _copy_of_layers(self) -> Student:
        """A student with new layers and the same weight tensors, so that another thread can use this one meanwhile."""
        return deepcopy(self, {id(tensor): tensor for tensor in (*self.parameters(), *self.buffers())})

    def _on_meta_device(self) -> Student:
        """A student of the same shapes without numbers."""
        with torch.device("meta"):
            return Student(self.config)

    def domain_of(self, canvas: int) -> str:
        """Name of the batch-norm domain of `canvas`. Raises ValueError, listing the canvases, for an unknown one."""
        if canvas not in self.config.canvases:
            raise ValueError(f"this student has no statistics for canvas {canvas}; it has {list(self.config.canvases)}")
        return str(int(canvas))

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self._mean.device

    # ---- pictures to tensors

    def sketch_tensor(self, rasters: npt.NDArray[np.uint8] | Tensor) -> Tensor:
        """Network input (B, 3, S, S) float32 from rasters (B, S, S) uint8.

        Rasters have ink 0 on paper 255; the normalisation "tf" makes them -1 and +1. Channels are last in memory.
        Raises ValueError for other shapes or types.
        """
        x = torch.as_tensor(rasters)
        if x.ndim != 3 or x.shape[1] != x.shape[2] or x.dtype != torch.uint8:
            raise ValueError(f"rasters must be (B, S, S) uint8, got {tuple(x.shape)} {x.dtype}")
        return self.normalised_rasters(x.to(self.device))

    def normalised_rasters(self, rasters: Tensor) -> Tensor:
        """`sketch_tensor` without its checks, for a tensor on the student's device; exported with the network."""
        x = 255 - rasters if self.config.ink == "light" else rasters
        return self.normalised(x.float()[:, None].expand(-1, 3, -1, -1))

    def photo_tensor(self, images: npt.NDArray[np.uint8] | Tensor) -> Tensor:
        """Network input (B, 3, photo_side, photo_side) float32 from photos (B, H, W, 3) uint8.

        Photos are resized by antialiased bilinear interpolation; channels are last in memory. Raises ValueError for
        other shapes or types.
        """
        x = torch.as_tensor(images)
        if x.ndim != 4 or x.shape[3] != 3 or x.dtype != torch.uint8:
            raise ValueError(f"photos must be (B, H, W, 3) uint8, got {tuple(x.shape)} {x.dtype}")
        side = self.config.photo_side
        y = x.to(self.device).permute(0, 3, 1, 2).float()
        if y.shape[2:] != (side, side):
            y = F.interpolate(y, (side, side), mode="bilinear", antialias=True, align_corners=False)
        return self.normalised(y)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Network input from pixels (B, 3, S, S) float from 0 to 255; channels are last in memory."""
        return ((pixels - self._mean) / self._std).contiguous(memory_format=torch.channels_last)

    # ---- the network

    def forward(self, x: Tensor, domain: str) -> Tensor:
        """Embeddings (B, dim), L2-normalised, of network input x (B, 3, S, S) of one domain.

        Raises ValueError, listing the domains, for an unknown one.
        """
        set_domain(self.trunk, domain)
        taps = self.trunk.forward_taps(x)
        parts = []
        for head in self.config.heads:
            cells = self.heads[str(head.stride)](pool_to(taps[head.stride], head.grid))
            parts.append(F.normalize(cells.flatten(1), dim=1) * head.share**0.5)
        return torch.cat(parts, dim=1)

    # ---- embedding

    def embed(
        self,
        sketches: Sequence[VectorSketch],
        canvas: int,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Embeddings (n, dim) float32, L2-normalised, of n sketches drawn at `canvas` pixels.

        Args:
            sketches: the n sketches.
            canvas: one of `canvases`.
            batch_size: sketches embedded at once; by default `self.batch`, or else `protocol.batch_of(canvas)`.
            progress: show a progress bar.

        Raises:
            ValueError: a canvas that the student does not have, or a batch size below 1.
        """
        from sketchcanvas_env.sketches.raster import rasterise_batch

        domain = self.domain_of(canvas)

        def batch(start: int, stop: int) -> Tensor:
            return self.sketch_tensor(rasterise_batch(sketches[start:stop], canvas))

        return self._embed(batch, len(sketches), domain, batch_size, f"sketches at {canvas}", progress)

    def embed_rasters(
        self, rasters: npt.NDArray[np.uint8], batch_size: int | None = None, progress: bool = False
    ) -> npt.NDArray[np.float32]:
        """Embeddings (n, dim) float32 of sketches drawn already, (n, S, S) uint8 with S one of `canvases`."""
        domain = self.domain_of(int(rasters.shape[-1]))

        def batch(start: int, stop: int) -> Tensor:
            return self.sketch_tensor(rasters[start:stop])

        return self._embed(batch, len(rasters), domain, batch_size, f"sketches at {domain}", progress)

    def embed_photos(
        self, images: npt.NDArray[np.uint8], batch_size: int | None = None, progress: bool = False
    ) -> npt.NDArray[np.float32]:
        """Embeddings (n, dim) float32, L2-normalised, of photos (n, H, W, 3) uint8."""

        def batch(start: int, stop: int) -> Tensor:
            return self.photo_tensor(images[start:stop])

        return self._embed(batch, len(images), PHOTO, batch_size, "photos", progress)

    def _embed(
        self,
        batch: Callable[[int, int], Tensor],
        n: int,
        domain: str,
        batch_size: int | None,
        label: str,
        progress: bool,
    ) -> npt.NDArray[np.float32]:
        side = self.config.photo_side if domain == PHOTO else int(domain)
        size = next(n for n in (batch_size, self.batch, batch_of(side)) if n is not None)
        if size < 1:
            raise ValueError(f"batch_size must be at least 1, got {size}")
        out = np.empty((n, self.dim), dtype=np.float32)
        starts: Iterable[int] = range(0, n, size)
        if progress:
            from rich.progress import track

            starts = track(starts, description=f"embedding {label}", total=-(-n // size))
        with evaluating(self), torch.inference_mode():
            for start in starts:
                stop = min(start + size, n)
                out[start:stop] = self(batch(start, stop), domain).float().cpu().numpy()
        return out
