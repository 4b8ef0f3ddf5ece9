"""Settings of a student's network, as stored on its card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from students.backbones import NORMALISATION, check_backbone, wanted_inputs
from students.backbones.switch_norm import PHOTO


@dataclass(frozen=True)
class Head:
    """One part of an embedding: a map of the trunk, pooled to a grid of cells, each projected by a 1x1 convolution."""

    stride: int
    """Stride of the map: 8, 16 or 32 pixels per cell."""
    grid: int
    """The map is average-pooled to grid x grid cells, which keeps the layout."""
    dim: int
    """Dimensions per cell."""
    share: float
    """Weight in the cosine similarity of two embeddings; the shares of all heads sum to 1."""


# Limits far beyond use, so that a card from elsewhere cannot ask for all memory.
MAX_SIDE = 4096
MAX_SIZE = 4096
MAX_CANVASES = 64
MAX_CLASSES = 10_000


@dataclass(frozen=True)
class StudentConfig:
    """All settings of a student's network; stored on its card."""

    backbone: str = "mobilenet_v2"
    # Fine layout generalises to new photos, the deepest map alone does not: in a trial acc@1 on val at 48 px was 0.08,
    # 0.26 and 0.24 with the head of stride 32, 16 and 8 alone, and 0.36 with all three at shares 0.2, 0.4, 0.4.
    heads: tuple[Head, ...] = (Head(8, 8, 16, 0.35), Head(16, 4, 64, 0.45), Head(32, 2, 64, 0.2))
    canvases: tuple[int, ...] = (32, 48, 64, 96, 128, 160, 192, 256)
    """Canvas sides, pixels, rising."""
    photo_side: int = 128
    """Side to which photos are resized, pixels."""
    ink: str = "dark"
    """"dark": black ink on white paper; "light": the negative."""
    same_padding: bool | None = None
    """TensorFlow's padding (True) or torchvision's (False); None: that of the backbone's published weights."""
    normalisation: str | None = None
    """Key of `students.backbones.NORMALISATION`; None: that of the backbone's published weights."""
    classes: tuple[str, ...] = ()
    """Names of the classes whose learnt embeddings it holds, after training for recognition."""

    def __post_init__(self) -> None:
        """Check all fields and fill in defaults; ValueError names the wrong field and what is allowed."""
        object.__setattr__(self, "canvases", tuple(int(c) for c in self.canvases))
        if not isinstance(self.backbone, str):  # a card from elsewhere may hold any type
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
        object.__setattr__(self, "classes", tuple(self.classes))
        if not all(isinstance(name, str) for name in self.classes) or len(set(self.classes)) != len(self.classes):
            raise ValueError("classes must be distinct names")
        if len(self.classes) > MAX_CLASSES:
            raise ValueError(f"there may be {MAX_CLASSES:,} classes, got {len(self.classes):,}")

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the batch-norm domains: "photo", then each canvas as text."""
        return (PHOTO, *(str(c) for c in self.canvases))


def config_from_dict(settings: dict[str, Any]) -> StudentConfig:
    """A `StudentConfig` from a card's JSON. Raises ValueError for unknown fields and wrong values."""
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
