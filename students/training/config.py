"""Settings of a training run, all checked when they are read.

A configuration is a JSON object with some or all fields of `TrainConfig`; the shipped ones are in `students/configs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sketchcanvas_env.storage.files import read_json
from students.network.config import StudentConfig, config_from_dict
from students.training import losses
from students.training.pool.augment import AugmentConfig
from students.training.pool.checks import check_choice, check_number, check_text, check_whole
from students.training.pool.doodles import DoodleConfig
from students.training.pool.pairs import PoolConfig

CONFIGS_FOLDER = Path(__file__).parents[1] / "configs"
MAX_CONFIG_BYTES = 1 << 20
MAX_STEPS = 10_000_000
MAX_BATCH = 65_536
MAX_SEED = 2**32 - 1
"""Largest seed of NumPy's generator."""


def configs() -> tuple[str, ...]:
    """Names of the shipped configurations, as ``<dataset>-<backbone>``; those named "gpu/..." are meant for a GPU."""
    files = CONFIGS_FOLDER.rglob("[!.]*.json")
    return tuple(sorted(file.relative_to(CONFIGS_FOLDER).with_suffix("").as_posix() for file in files))


@dataclass(frozen=True)
class TrainConfig:
    """All settings that determine a training run."""

    dataset: str = "emoji"
    root: str | None = None
    """Folder of a data set that does not come with the package."""
    student: StudentConfig = field(default_factory=StudentConfig)
    pretrained: str | None = "mobilenet_v2"
    """Published weights for the trunk, by name (`students.store.pretrained.weights_of`) or path; None: random ones."""
    start: str | None = None
    """A trained student of the same network to start from (shipped name or path), instead of `pretrained`."""
    pool: PoolConfig = field(default_factory=PoolConfig)
    renderings: str | None = None
    """File written by `python -m students.training.pool.renderings`; None: the data set alone."""
    outside: float = 0.0
    """Share of a batch from outside the data set (needs `renderings`)."""
    doodles: DoodleConfig | None = None
    """People's doodles of the photos: scored beside val, and trained on as `pool.doodles` says."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    steps: int = 1_600
    batch: int = 64
    """Sketch-photo pairs per step; each pair's photo is a negative of all other pairs."""
    small: dict[int, float] = field(default_factory=lambda: {32: 0.36, 48: 0.28, 64: 0.36})
    """Canvases of a step's first passes over the sketches, with the probability of each. May be empty."""
    small_passes: int = 1
    """Passes over the sketches at a small canvas. They cost little beside the photos' pass, which they share."""
    large: dict[int, float] = field(default_factory=lambda: {96: 0.33, 128: 0.30, 160: 0.15, 192: 0.11, 256: 0.11})
    """Canvases of the last pass, with the probability of each; the larger, the more costly and the rarer."""
    most_pixels: int | None = None
    """Most pixels of all sketches in a pass: at larger canvases only some of the batch's sketches are embedded."""
    hard: float = 0.0
    """Share of steps with hard negatives: batches of neighbours in the averaged student's space at the checkpoint."""
    loss: str = "contrastive"
    """Loss of the task: "contrastive" or "triplet"."""
    temperature: float = 0.06
    """Temperature of the contrastive loss. A learnt one fits the training photos better and generalises no better."""
    teacher: str | None = None
    """Trained network to distil from (shipped name or path); None trains directly."""
    more_teachers: tuple[str, ...] = ()
    """Further teachers; distances are then those of all teachers' concatenated embeddings."""
    teacher_canvases: tuple[int, ...] = (128,)
    """Canvases over which the teacher's embeddings of a sketch are averaged."""
    teacher_canvases_at: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """`teacher_canvases` for some of the student's canvases: targets from 128 px may be out of reach at 32 px."""
    mix: float = 0.5
    """Weight of the task's loss against the distillation terms; the paper's lambda."""
    terms: dict[str, float] = field(default_factory=lambda: {"relational_triplet": 1.0})
    """Weights of the distillation terms by name (`students.training.losses.TERMS`)."""
    learning_rate: float = 1e-3
    warmup: int = 50
    """Steps in which the learning rate rises to `learning_rate`; it then falls to 0 along a cosine."""
    weight_decay: float = 0.02
    average: float = 0.995
    """Decay per step of the running average of the weights, which is the result of the run."""
    seed: int = 0
    threads: int = 2
    checkpoint_every: int = 100
    evaluate_every: int = 200

    def __post_init__(self) -> None:
        """Check all fields, alone and together; ValueError names the wrong one and what is allowed."""
        check_text("dataset", self.dataset)
        for name in ("root", "pretrained", "start", "renderings", "teacher"):
            check_text(name, getattr(self, name), optional=True)
        self._check_teachers()
        check_whole("steps", self.steps, 1, MAX_STEPS)
        check_whole("batch", self.batch, 2, MAX_BATCH)
        check_whole("small_passes", self.small_passes, 1, 8)
        check_whole("warmup", self.warmup, 0, MAX_STEPS)
        check_whole("seed", self.seed, 0, MAX_SEED)
        check_whole("threads", self.threads, 1, 1024)
        check_whole("checkpoint_every", self.checkpoint_every, 1, MAX_STEPS)
        check_whole("evaluate_every", self.evaluate_every, 1, MAX_STEPS)
        check_number("temperature", self.temperature, 1e-4, 1e4)
        check_number("learning_rate", self.learning_rate, 0.0, 10.0, above=True)
        check_number("weight_decay", self.weight_decay, 0.0, 1.0)
        for name in ("mix", "hard"):
            check_number(name, getattr(self, name), 0.0, 1.0)
        check_number("average", self.average, 0.0, 1.0)
        check_number("outside", self.outside, 0.0, 0.99)
        check_choice("loss", self.loss, ("contrastive", "triplet"))
        self._check_canvases()
        _check_shares("terms", self.terms, empty=False)
        if unknown := sorted(set(self.terms) - set(losses.TERMS)):
            raise ValueError(f"terms: unknown distillation terms {unknown}; there are {list(losses.TERMS)}")
        if self.outside and self.renderings is None:
            raise ValueError("outside needs renderings: the file with pairs from outside the data set")
        if self.pool.doodles and self.doodles is None:
            raise ValueError("pool.doodles needs doodles: their folder and the file of names")

    def _check_teachers(self) -> None:
        """Raise ValueError unless `more_teachers` is a list of texts; make it a tuple."""
        if not isinstance(self.more_teachers, (list, tuple)):
            raise ValueError(f"more_teachers must be a list of texts, got {self.more_teachers!r}")
        for number, name in enumerate(self.more_teachers):
            check_text(f"more_teachers[{number}]", name)
        object.__setattr__(self, "more_teachers", tuple(self.more_teachers))

    @property
    def teachers(self) -> tuple[str, ...]:
        """Names of all teachers; empty for direct training (`teacher` None)."""
        return () if self.teacher is None else (self.teacher, *self.more_teachers)

    @property
    def passes(self) -> list[dict[int, float]]:
        """Probabilities of the canvases in each pass over a step's sketches: the small passes, then the large one."""
        return [*([self.small] * self.small_passes if self.small else []), self.large]

    def _check_canvases(self) -> None:
        """Raise ValueError unless both passes have the student's canvases, and the teacher's canvases are in range."""
        _check_shares("small", self.small, empty=True)
        _check_shares("large", self.large, empty=False)
        if odd := sorted((set(self.small) | set(self.large)) ^ set(self.student.canvases)):
            raise ValueError(f"small, large and student.canvases disagree on {odd}")
        if self.most_pixels is not None:
            check_whole("most_pixels", self.most_pixels, 2 * max(self.student.canvases) ** 2, 2**40)
        object.__setattr__(self, "teacher_canvases", _checked_sides("teacher_canvases", self.teacher_canvases))
        if odd := sorted(set(self.teacher_canvases_at) - set(self.student.canvases)):
            raise ValueError(f"teacher_canvases_at names {odd}, which student.canvases lack")
        at = {k: _checked_sides(f"teacher_canvases_at[{k}]", sides) for k, sides in self.teacher_canvases_at.items()}
        object.__setattr__(self, "teacher_canvases_at", at)

    def taught_at(self, canvas: int) -> tuple[int, ...]:
        """Canvases over which the teacher's embeddings are averaged for the target at a canvas of the student."""
        return self.teacher_canvases_at.get(canvas, self.teacher_canvases)

    @classmethod
    def read(cls, name_or_path: str | Path) -> TrainConfig:
        """Read a JSON file with some or all of the fields, by shipped name or by path.

        Raises:
            FileNotFoundError: no such file.
            ValueError: an unknown name (the message lists the shipped ones), not a JSON object, an unknown field, or a
                value out of range.
        """
        text, path = str(name_or_path), Path(name_or_path)
        if text in configs():
            path = CONFIGS_FOLDER / f"{text}.json"
        elif path.suffix != ".json" and not path.exists():
            raise ValueError(f"unknown configuration {text!r}; shipped: {', '.join(configs())}; or give a path")
        values = read_json(path, MAX_CONFIG_BYTES)
        if not isinstance(values, dict):
            raise ValueError(f"{path} must be a JSON object with the fields of TrainConfig")
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise ValueError(f"{path}: unknown fields {unknown}; there are {sorted(cls.__dataclass_fields__)}")
        try:
            return cls(**{name: _parsed(name, value) for name, value in values.items()})
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None


def _parsed(name: str, value: Any) -> Any:
    """The value of a field as read from JSON, converted to its type in `TrainConfig`."""
    parts: dict[str, Callable[[dict[str, Any]], Any]] = {
        "student": _student,
        "pool": lambda fields: _dataclass_of(PoolConfig, name, fields),
        "augment": lambda fields: _dataclass_of(AugmentConfig, name, fields),
        "doodles": lambda fields: _dataclass_of(DoodleConfig, name, fields),
        "small": lambda shares: _integer_keys(name, shares),
        "large": lambda shares: _integer_keys(name, shares),
        "teacher_canvases_at": lambda sides: _integer_keys(name, sides),
    }
    if name not in parts or (name == "doodles" and value is None):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a JSON object, got {value!r}")
    return parts[name](value)


def _student(fields: dict[str, Any]) -> StudentConfig:
    try:
        return config_from_dict(fields)
    except (TypeError, ValueError) as error:
        raise ValueError(f"student: {error}") from None


def _dataclass_of(kind: type, name: str, fields: dict[str, Any]) -> Any:
    known = sorted(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    if unknown := sorted(set(fields) - set(known)):
        raise ValueError(f"{name}: unknown fields {unknown}; there are {known}")
    return kind(**fields)


def _integer_keys(name: str, shares: dict[str, Any]) -> dict[int, Any]:
    try:
        return {int(canvas): share for canvas, share in shares.items()}
    except ValueError:
        raise ValueError(f"{name} must have canvas sides in pixels as its keys, got {list(shares)}") from None


def _checked_sides(field: str, sides: Any) -> tuple[int, ...]:
    """Canvas sides as a tuple; ValueError for anything else."""
    if not isinstance(sides, (list, tuple)) or not sides:
        raise ValueError(f"{field} must be a list of canvas sides, got {sides!r}")
    for side in sides:
        check_whole(field, side, 8, 512)
    return tuple(sides)


def _check_shares(field: str, shares: Any, empty: bool) -> None:
    """Raise ValueError unless `shares` maps to numbers of 0 or more, one of them above 0; `empty` allows no entries."""
    if not isinstance(shares, Mapping):
        raise ValueError(f"{field} must be a JSON object, got {shares!r}")
    for key, share in shares.items():
        check_number(f"{field}[{key}]", share, 0.0, 1e6)
    if (shares or not empty) and not sum(shares.values()) > 0.0:
        raise ValueError(f"{field} needs at least one number above 0")
