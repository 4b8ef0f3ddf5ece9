"""A student: trunk and head that turn sketches (at any of its canvases) and photos into unit vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from students.backbones import NORMALISATION, OWN, build_trunk, check_backbone, wanted_inputs
from students.backbones.layers import pool_to
from students.backbones.switch_norm import PHOTO, recalibrate, set_domain
from students.network.protocol import UNSAVED, batch_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sketchcanvas_env.sketches.sketch import VectorSketch


@dataclass(frozen=True)
class Head:
    """One part of an embedding: a map of the trunk, pooled to a grid of cells, each projected by a 1x1 convolution."""

    stride: int  # of the map: 8, 16 or 32 pixels a cell
    grid: int  # the map is average-pooled to grid x grid cells, which keeps the layout
    dim: int  # dimensions per cell
    share: float  # of the cosine similarity of two embeddings; the shares of all heads sum to 1


# Far beyond use: a card from elsewhere cannot ask for all memory.
MAX_SIDE = 4096
MAX_SIZE = 4096
MAX_CANVASES = 64

_COUNTED_BY_PASS = 256  # pixels up to which one forward pass takes little time and memory, whatever the backbone


@dataclass(frozen=True)
class StudentConfig:
    """Everything needed to rebuild a student's network; stored on the card in its file."""

    backbone: str = "mobilenet_v2"
    # Layout at a fine stride carries over to photos never seen, the deepest map alone does not: a probe scored acc@1
    # 0.08, 0.26, 0.24 on val at 48 px with the stride-32, 16, 8 part only, and 0.36 with shares 0.2, 0.4, 0.4.
    heads: tuple[Head, ...] = (Head(8, 8, 16, 0.35), Head(16, 4, 64, 0.45), Head(32, 2, 64, 0.2))
    canvases: tuple[int, ...] = (32, 48, 64, 96, 128, 160, 192, 256)
    photo_side: int = 128  # photos are resized to this side, pixels
    ink: str = "dark"  # "dark": black ink on white paper; "light": the negative
    # None: what the backbone's published weights want, filled in at once (`students.backbones.wanted_inputs`)
    same_padding: bool | None = None  # TensorFlow's padding; False for torchvision's weights
    normalisation: str | None = None  # of pixels: a key of `students.backbones.NORMALISATION`

    def __post_init__(self) -> None:
        """Check every field; ValueError says which is wrong and what is allowed."""
        object.__setattr__(self, "canvases", tuple(int(c) for c in self.canvases))
        if not isinstance(self.backbone, str):  # a card may say anything
            raise ValueError(f"backbone must be a name, got {self.backbone!r}")
        check_backbone(self.backbone)
        if self.normalisation is None or self.same_padding is None:
            normalisation, same_padding = wanted_inputs(self.backbone)
            if self.normalisation is None:
                object.__setattr__(self, "normalisation", normalisation)
            if self.same_padding is None:
                object.__setattr__(self, "same_padding", same_padding)
        if self.normalisation not in NORMALISATION:
            raise ValueError(f"unknown normalisation {self.normalisation!r}; there are {sorted(NORMALISATION)}")
        if self.ink not in ("dark", "light"):
            raise ValueError(f"ink must be 'dark' or 'light', got {self.ink!r}")
        if not isinstance(self.photo_side, int) or not 8 <= self.photo_side <= MAX_SIDE:
            raise ValueError(f"photo_side must be at least 8 and at most {MAX_SIDE}, got {self.photo_side}")
        strides = [head.stride for head in self.heads]
        if not strides or len(set(strides)) != len(strides) or set(strides) - {8, 16, 32}:
            raise ValueError(f"heads need distinct strides out of 8, 16 and 32, got {strides}")
        sizes = [size for head in self.heads for size in (head.grid, head.dim)]
        whole = all(isinstance(size, int) and 1 <= size <= MAX_SIZE for size in sizes)
        if not whole or not min(head.share for head in self.heads) > 0:
            raise ValueError(
                f"every head needs grid and dim from 1 to {MAX_SIZE} and a share above 0, got {self.heads}"
            )
        if not abs(sum(head.share for head in self.heads) - 1.0) <= 1e-6:
            raise ValueError(f"the heads' shares must sum to 1, got {[head.share for head in self.heads]}")
        if not self.canvases or self.canvases[0] < 8 or list(self.canvases) != sorted(set(self.canvases)):
            raise ValueError(f"canvases must be distinct, ascending and at least 8, got {self.canvases}")
        if self.canvases[-1] > MAX_SIDE or len(self.canvases) > MAX_CANVASES:
            raise ValueError(
                f"there may be {MAX_CANVASES} canvases of up to {MAX_SIDE} pixels, got {self.canvases[-5:]}"
            )

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the batch-norm domains: "photo", then every canvas as text."""
        return (PHOTO, *(str(c) for c in self.canvases))


class Student(nn.Module):
    """Embeds sketches and photos in one space; compare by Euclidean distance.

    Each head (`Head`) pools a map of the trunk to a grid of cells, so that layout is kept, projects every cell by a 1x1
    convolution, flattens and L2-normalises. An embedding is the heads' vectors side by side, each times the square
    root of its share: the cosine similarity of two embeddings is the shares' mean of the heads' similarities.
    """

    def __init__(self, config: StudentConfig | None = None) -> None:
        """Build with random weights; :mod:`students.store.pretrained`, :mod:`students.store.weights` have others."""
        super().__init__()
        self.config = config = StudentConfig() if config is None else config
        self.name = config.backbone
        self.weights_hash = UNSAVED  # SHA-256 on the card of the file it was loaded from
        self.batch: int | None = None  # pictures embedded at once; None: `protocol.batch_of` their side
        self.trunk = build_trunk(config.backbone, config.domains, bool(config.same_padding))
        self.heads = nn.ModuleDict(
            {str(h.stride): nn.Conv2d(self.trunk.tap_channels[h.stride], h.dim, 1) for h in config.heads}
        )
        mean, std = NORMALISATION[str(config.normalisation)]
        # rebuilt from the config, so not part of the state dict
        self.register_buffer("_mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
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
    def canvases(self) -> tuple[int, ...]:
        """Canvas sides (pixels) that this student has statistics for."""
        return self.config.canvases

    @property
    def params(self) -> int:
        """Number of parameters in use for one query: each switch norm counts for one domain."""
        from students.network.flops import count_params

        return count_params(self)

    def flops(self, canvas: int) -> float:
        """FLOPs (2 x MAC; convolutions of trunk and head) of embedding one sketch at `canvas`.

        Raises ValueError for a canvas that the student has no statistics for.
        """
        domain = self.domain_of(canvas)
        if canvas not in self._flops:
            from students.network.flops import count

            # On the meta device shapes are all there is, but PyTorch imports its compiler there, which takes a second.
            known = self.config.backbone in OWN and canvas <= _COUNTED_BY_PASS
            self._flops[canvas] = count(
                self._twin() if known else self._shadow(), (1, 3, canvas, canvas), domain, watched=not known
            )
        return self._flops[canvas]

    def _twin(self) -> Student:
        """Layers of their own, with this student's weights: another thread may be using its layers."""
        return deepcopy(self, {id(tensor): tensor for tensor in (*self.parameters(), *self.buffers())})

    def _shadow(self) -> Student:
        """A student of the same shapes, without numbers."""
        with torch.device("meta"):
            return Student(self.config)

    def domain_of(self, canvas: int) -> str:
        """Name of the domain of `canvas`. Raises ValueError listing the canvases for an unknown one."""
        if canvas not in self.config.canvases:
            raise ValueError(f"this student has no statistics for canvas {canvas}; it has {list(self.config.canvases)}")
        return str(int(canvas))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._mean.device

    # ---- pictures to tensors

    def sketch_tensor(self, rasters: npt.NDArray[np.uint8] | Tensor) -> Tensor:
        """Turn rasters (B, S, S) uint8 into network input (B, 3, S, S) float32, channels last.

        Rasters have ink 0 on paper 255; with the default normalisation white paper is +1 and ink -1.
        Raises ValueError for other shapes or types.
        """
        x = torch.as_tensor(rasters)
        if x.ndim != 3 or x.shape[1] != x.shape[2] or x.dtype != torch.uint8:
            raise ValueError(f"rasters must be (B, S, S) uint8, got {tuple(x.shape)} {x.dtype}")
        return self.drawn(x.to(self.device))

    def drawn(self, rasters: Tensor) -> Tensor:
        """`sketch_tensor` for a tensor on the student's device, unchecked: this part is exported with the network."""
        x = 255 - rasters if self.config.ink == "light" else rasters
        return self.normalised(x.float()[:, None].expand(-1, 3, -1, -1))

    def photo_tensor(self, images: npt.NDArray[np.uint8] | Tensor) -> Tensor:
        """Turn photos (B, H, W, 3) uint8 into network input (B, 3, photo_side, photo_side) float32.

        Channels last in memory; resized by antialiased bilinear interpolation.
        Raises ValueError for other shapes or types.
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
        """Turn pixels (B, 3, S, S) float on the 0..255 scale into network input, channels last."""
        return ((pixels - self._mean) / self._std).contiguous(memory_format=torch.channels_last)

    # ---- the network

    def forward(self, x: Tensor, domain: str) -> Tensor:
        """Embed network input x (B, 3, S, S) of one domain -> (B, dim), L2-normalised.

        Raises ValueError listing the known domains for an unknown one.
        """
        set_domain(self.trunk, domain)
        taps = self.trunk.forward_taps(x)
        parts = []
        for head in self.config.heads:
            cells = self.heads[str(head.stride)](pool_to(taps[head.stride], head.grid))
            parts.append(F.normalize(cells.flatten(1), dim=1) * head.share**0.5)
        return torch.cat(parts, dim=1)

    def recalibrate(self, domain: str, batches: Iterable[Tensor]) -> int:
        """Recompute the statistics of `domain` from network inputs; see `switch_norm.recalibrate`."""
        return recalibrate(self, domain, batches, lambda x: self(x, domain))

    # ---- embedding

    def embed(
        self,
        sketches: Sequence[VectorSketch],
        canvas: int,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Embed n sketches, each drawn at `canvas` pixels a side -> (n, dim) float32, L2-normalised.

        Raises ValueError for a canvas that the student has no statistics for.
        """
        from sketchcanvas_env.sketches.raster import rasterise_batch

        domain = self.domain_of(canvas)

        def batch(start: int, stop: int) -> Tensor:
            return self.sketch_tensor(rasterise_batch(sketches[start:stop], canvas))

        return self._embed(batch, len(sketches), domain, batch_size, f"sketches at {canvas}", progress)

    def embed_rasters(
        self, rasters: npt.NDArray[np.uint8], batch_size: int | None = None, progress: bool = False
    ) -> npt.NDArray[np.float32]:
        """Embed sketches already drawn, (n, S, S) uint8 with S one of the canvases -> (n, dim) float32."""
        domain = self.domain_of(int(rasters.shape[-1]))

        def batch(start: int, stop: int) -> Tensor:
            return self.sketch_tensor(rasters[start:stop])

        return self._embed(batch, len(rasters), domain, batch_size, f"sketches at {domain}", progress)

    def embed_photos(
        self, images: npt.NDArray[np.uint8], batch_size: int | None = None, progress: bool = False
    ) -> npt.NDArray[np.float32]:
        """Embed photos (n, H, W, 3) uint8 -> (n, dim) float32, L2-normalised."""

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


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put `module` in evaluation mode and every part of it back into its own mode afterwards."""
    modes: list[tuple[nn.Module, bool]] = [(m, m.training) for m in module.modules()]
    # Setting a mode that is set already took 2 of the 8 milliseconds of a query at 32 px.
    if any(mode for _, mode in modes):
        module.eval()
    try:
        yield
    finally:
        for m, mode in modes:
            if m.training != mode:
                m.training = mode


def config_from_dict(settings: dict[str, Any]) -> StudentConfig:
    """Build a `StudentConfig` from a card's JSON. Raises ValueError naming fields that do not exist."""
    known = set(StudentConfig.__dataclass_fields__)
    unknown = sorted(set(settings) - known)
    if unknown:
        raise ValueError(f"unknown student settings {unknown}; there are {sorted(known)}")
    settings = dict(settings)
    if "heads" in settings:
        try:
            settings["heads"] = tuple(Head(**head) for head in settings["heads"])
        except TypeError as error:
            raise ValueError(f"heads must be a list of objects with stride, grid, dim and share: {error}") from None
    return StudentConfig(**settings)
