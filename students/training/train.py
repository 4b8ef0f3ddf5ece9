"""Train a network to retrieve: sketches at every canvas against photos, with or without a teacher.

    sketchcanvas distill emoji-mobilenet_v2 --out runs/emoji

A step embeds one batch of photos and the matching sketches at two canvases, a small and a large one. Without a teacher
the loss is the task's alone (contrastive or triplet); this is also how a teacher is trained. With one it is

    mix * task + (1 - mix) * sum of weighted distillation terms,

the mean over the step's canvases (Sain et al., CVPR 2025). Every random choice of a step follows from (seed, step), so
a resumed run does what an uninterrupted one would have done.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import students
from sketchcanvas_env.data import SketchDataset, load
from sketchcanvas_env.sketches.raster import rasterise_batch
from sketchcanvas_env.storage.files import read_json
from students.backbones.switch_norm import PHOTO, parameter_groups
from students.network.embedder import Student, StudentConfig, config_from_dict
from students.store import checkpoint as checkpoints
from students.store import leakage as seen
from students.store.pretrained import calibrate_all, load_published
from students.store.provenance import commit, versions
from students.store.weights import load_card, load_student, save_student
from students.tables.evaluation import ranks_of
from students.training import losses
from students.training.augment import jittered, jittered_photos
from students.training.pairs import Pairs, PoolConfig, batch, make_pairs, training_rows
from students.training.renderings import read as read_renderings
from students.training.teacher import Knowledge, knowledge

CONFIGS_FOLDER = Path(__file__).parents[1] / "configs"
MAX_CONFIG_BYTES = 1 << 20


def configs() -> tuple[str, ...]:
    """Names of the configurations shipped with the package, as ``<dataset>-<backbone>``; "gpu/..." want a GPU."""
    files = CONFIGS_FOLDER.rglob("[!.]*.json")
    return tuple(sorted(file.relative_to(CONFIGS_FOLDER).with_suffix("").as_posix() for file in files))


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run."""

    dataset: str = "emoji"
    root: str | None = None
    """Folder of a data set that does not come with the package."""
    student: StudentConfig = field(default_factory=StudentConfig)
    pretrained: str | None = "mobilenet_v2"
    """Published start of the trunk (a name that `students.store.pretrained.weights_of` knows, or a path), or None."""
    start: str | None = None
    """A trained student of the same network to go on from (shipped name or path), instead of `pretrained`."""
    pool: PoolConfig = field(default_factory=PoolConfig)
    renderings: str | None = None
    """What `python -m students.training.renderings` wrote, or None for the data set alone."""
    outside: float = 0.0
    """Share of a batch that comes from outside the data set (needs `renderings`)."""
    steps: int = 1_600
    batch: int = 64
    """Sketch-photo pairs a step; each is a negative of all others."""
    small: dict[int, float] = field(default_factory=lambda: {32: 0.36, 48: 0.28, 64: 0.36})
    """Canvases of a step's first pass over the sketches, and how often each is drawn. May be empty."""
    large: dict[int, float] = field(default_factory=lambda: {96: 0.33, 128: 0.30, 160: 0.15, 192: 0.11, 256: 0.11})
    """Canvases of the second pass. Larger ones cost more and are drawn less often."""
    loss: str = "contrastive"
    """The task's loss: "contrastive" or "triplet"."""
    temperature: float = 0.06
    """Of the contrastive loss. Learned, it sharpens on the photos of the student split and generalises no better."""
    teacher: str | None = None
    """Trained network to distil from (shipped name or path); None trains directly."""
    teacher_canvases: tuple[int, ...] = (128,)
    """The teacher's embedding of a sketch is the mean over these."""
    mix: float = 0.5
    """Weight of the task's loss beside the teacher's terms; the paper's lambda."""
    terms: dict[str, float] = field(default_factory=lambda: {"relational_triplet": 1.0})
    """Weights of the distillation terms, names in `students.training.losses.TERMS`."""
    learning_rate: float = 1e-3
    warmup: int = 50
    weight_decay: float = 0.02
    average: float = 0.995
    """Decay per step of the running average of the weights, which is what is kept in the end."""
    seed: int = 0
    threads: int = 2
    checkpoint_every: int = 100
    evaluate_every: int = 200

    def __post_init__(self) -> None:
        """Check the fields against each other; ValueError says which is wrong and what is allowed."""
        canvases = set(self.small) | set(self.large)
        if odd := sorted(canvases ^ set(self.student.canvases)):
            raise ValueError(f"small, large and the student's canvases disagree on {odd}")
        if not self.large:
            raise ValueError("large needs at least one canvas")
        if self.loss not in ("contrastive", "triplet"):
            raise ValueError(f"loss must be 'contrastive' or 'triplet', got {self.loss!r}")
        if unknown := sorted(set(self.terms) - set(losses.TERMS)):
            raise ValueError(f"unknown distillation terms {unknown}; there are {list(losses.TERMS)}")
        if not 0.0 <= self.mix <= 1.0 or not 0.0 <= self.outside < 1.0:
            raise ValueError(f"mix and outside are shares, got {self.mix} and {self.outside}")
        if self.outside and self.renderings is None:
            raise ValueError("outside needs renderings: where else would the pairs come from?")

    @classmethod
    def read(cls, name_or_path: str | Path) -> TrainConfig:
        """Read a JSON file with some or all of the fields: a shipped one by its name, any other by its path.

        Raises:
            FileNotFoundError: no such file.
            ValueError: an unknown name (the message lists what exists), not a JSON object, a field that does not exist,
                or a value out of range.
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
            if "student" in values:
                values["student"] = config_from_dict(values["student"])
            if "pool" in values:
                values["pool"] = PoolConfig(**values["pool"])
            for name in ("small", "large"):
                if name in values:
                    values[name] = {int(canvas): float(share) for canvas, share in values[name].items()}
            if "teacher_canvases" in values:
                values["teacher_canvases"] = tuple(values["teacher_canvases"])
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None


@dataclass(frozen=True, eq=False)
class _Material:
    """What the steps of a run draw from."""

    pairs: Pairs
    known: Knowledge | None


def train(config: TrainConfig, out: Path, device: str | None = None) -> Student:
    """Train, or go on from the checkpoint in `out`, and return the running average of the student.

    Writes `checkpoint.safetensors`, `log.jsonl` and TensorBoard events into `out`, and what the teacher says of the
    pool into the folder above, where other seeds find it.

    Args:
        config: the run. `out` must not hold the checkpoint of another one.
        out: a folder, made when missing.
        device: a torch device; by default a GPU when there is one.

    Raises:
        ValueError: the checkpoint in `out` belongs to another configuration, or the configuration names a teacher, a
            start or data that do not fit it. What it names is found before anything is prepared or written.
        FileNotFoundError: it names a file that is not there.
        ImportError: it names weights in a package that is not installed.
    """
    from rich.console import Console
    from rich.progress import Progress
    from torch.utils.tensorboard import SummaryWriter

    torch.set_num_threads(config.threads)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    checkpoint = out / "checkpoint.safetensors"
    settings = json.loads(json.dumps(asdict(config)))
    resumed = checkpoints.load(checkpoint, settings) if checkpoint.is_file() else None
    first = resumed[1]["step"] if resumed else 0
    if resumed and first == config.steps:
        kept = Student(config.student)
        checkpoints.restore_module(kept, resumed[0], "average.module")
        return kept.to(device)
    teacher = _teacher(config)
    student = Student(config.student) if resumed else _started(config)
    if teacher is not None:
        _check_terms(config, student, teacher)
    dataset = load(config.dataset, config.root)
    _check_batch(config, dataset)
    renderings = read_renderings(config.renderings) if config.renderings is not None else None
    out.mkdir(parents=True, exist_ok=True)
    pairs = make_pairs(dataset, config.pool, config.student.photo_side, renderings)
    known = None
    if teacher is not None:
        known = knowledge(teacher, config.teacher_canvases, pairs, out.parent, device)
    material = _Material(pairs, known)
    if not resumed and config.start is None and config.pretrained is not None:
        _calibrate(student, pairs)
    student = student.to(device)
    decay = get_ema_multi_avg_fn(config.average)  # type: ignore[no-untyped-call]
    average = AveragedModel(student, multi_avg_fn=decay, use_buffers=True).requires_grad_(False)
    kept = cast("Student", average.module)
    optimiser = torch.optim.AdamW(
        parameter_groups(student, config.weight_decay), fused=True
    )  # ten times quicker on a CPU
    modules: dict[str, nn.Module] = {"student": student, "average": average}
    if resumed:
        for name, module in modules.items():
            checkpoints.restore_module(module, resumed[0], name)
        checkpoints.restore_optimiser(optimiser, resumed[0])

    watched = tuple(side for side in config.student.canvases if side <= 128)[::2]  # larger ones take long
    started = time.monotonic()
    with (
        SummaryWriter(str(out)) as writer,
        Progress(console=Console(stderr=True)) as progress,
        (out / "log.jsonl").open("a") as log,
    ):
        task = progress.add_task("training", total=config.steps, completed=first)
        for step in range(first, config.steps):
            for group in optimiser.param_groups:
                group["lr"] = _learning_rate(config, step)
            parts = _step(config, material, student, optimiser, step, device)
            average.update_parameters(student)
            progress.update(task, advance=1, description=f"training, loss {parts['loss']:.3f}")
            for name, value in parts.items():
                writer.add_scalar(f"train/{name}", value, step)
            done = step + 1
            if done % config.checkpoint_every == 0 or done == config.steps:
                tensors = checkpoints.optimiser_tensors(optimiser)
                for name, module in modules.items():
                    tensors |= checkpoints.module_tensors(module, name)
                checkpoints.save(checkpoint, tensors, {"config": settings, "step": done})
            if done % config.evaluate_every == 0 or done == config.steps:
                acc = val_scores(kept, dataset, watched)
                for canvas, score in acc.items():
                    writer.add_scalar(f"val/acc1_at_{canvas}", score, done)
                row = {"step": done, **parts, "val_acc1": acc, "seconds": time.monotonic() - started}
                log.write(json.dumps(row) + "\n")
                log.flush()
                progress.console.print(row)
    # The statistics stay as averaged in training: recomputed on clean drawings they cost 1 to 4 points of acc@1 on val.
    return kept


def _teacher(config: TrainConfig) -> Student | None:
    """Whom to distil from; None for direct training."""
    if config.teacher is None:
        return None
    teacher = students.load(config.teacher)
    if lacking := sorted(set(config.teacher_canvases) - set(teacher.canvases)):
        raise ValueError(f"the teacher {config.teacher} has no canvases {lacking}; it has {list(teacher.canvases)}")
    return teacher


def _started(config: TrainConfig) -> Student:
    """The student before the first step, but for norms that `_calibrate` still has to fit to the data."""
    torch.manual_seed(config.seed)  # right here, so that runs with and without a teacher start alike
    student = Student(config.student)
    if config.start is not None:
        start = students.load(config.start)
        ours, theirs = asdict(config.student), asdict(start.config)
        if differing := [f"{name} {theirs[name]}, not {ours[name]}" for name in ours if ours[name] != theirs[name]]:
            raise ValueError(
                f"the start {config.start} is another network than the one to be trained: it has {'; '.join(differing)}"
            )
        student.load_state_dict(start.state_dict())
    elif config.pretrained is not None:
        load_published(student, config.pretrained)
    return student


def _check_terms(config: TrainConfig, student: Student, teacher: Student) -> None:
    """Each term on made-up embeddings; ValueError where it cannot compare such a student with such a teacher."""
    (ours, theirs), negative = (torch.ones(3, one.dim) for one in (student, teacher)), np.array([1, 2, 0])
    for name in config.terms:
        _term(name, (ours, ours), (theirs, theirs), negative)


def _trained_on(dataset: SketchDataset) -> set[str]:
    """The photos with sketches to train on."""
    return set(dataset.photo_ids[training_rows(dataset)].tolist())


def _check_batch(config: TrainConfig, dataset: SketchDataset) -> None:
    """ValueError for a batch that the photos to train on cannot fill."""
    own = len(_trained_on(dataset))
    if own < config.batch * (1.0 - config.outside):
        raise ValueError(
            f"a batch of {config.batch} needs more than the {own} photos with sketches in the student split: "
            "put a smaller 'batch' into the configuration"
        )


def _calibrate(student: Student, pairs: Pairs) -> None:
    """Fit the norms of published weights to the data: where they are folded, they normalise nothing before."""
    identities = np.arange(0, pairs.own, max(1, pairs.own // 128))
    calibrate_all(student, {domain: [_inputs(student, pairs, identities, domain)] for domain in student.config.domains})


def _inputs(student: Student, pairs: Pairs, identities: NDArray[np.int64], domain: str) -> Tensor:
    """Network inputs of some identities' sketches (variants in turn) or photos, without augmentation."""
    if domain == PHOTO:
        rows = [pairs.photo_rows[identity][0] for identity in identities]
        return student.photo_tensor(pairs.photos[rows].permute(0, 2, 3, 1).contiguous())
    rows = [pairs.sketch_rows[identity][k % len(pairs.sketch_rows[identity])] for k, identity in enumerate(identities)]
    return student.sketch_tensor(rasterise_batch([pairs.sketches[row] for row in rows], int(domain)))


def _step(
    config: TrainConfig,
    material: _Material,
    student: Student,
    optimiser: torch.optim.Optimizer,
    step: int,
    device: str,
) -> dict[str, float]:
    """One update; gives the loss and its parts."""
    student.train()
    pairs, known = material.pairs, material.known
    rng = np.random.RandomState([config.seed, 2, step])
    identities = batch(pairs, config.batch, config.outside, config.seed, step)
    flip = rng.rand(len(identities)) < 0.5
    photo_rows = _drawn(pairs.photo_rows, pairs.photo_shares, identities, rng)
    pixels = jittered_photos(pairs.photos[photo_rows].to(device).float(), config.student.photo_side, rng, flip)
    photos = student(student.normalised(pixels), PHOTO)
    # The photos' graph is walked once, after every canvas has left its gradient on a detached copy.
    leaf = photos.detach().requires_grad_()
    negative = np.roll(np.arange(len(identities)), rng.randint(1, len(identities)))
    passes = [shares for shares in (config.small, config.large) if shares]
    parts: dict[str, float] = {}
    for shares in passes:
        canvas = int(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
        sketch_rows = _drawn(pairs.sketch_rows, pairs.sketch_shares, identities, rng)
        sketches = [jittered(pairs.sketches[r], rng, bool(f)) for r, f in zip(sketch_rows, flip, strict=True)]
        embedded = student(student.sketch_tensor(rasterise_batch(sketches, canvas)), str(canvas))
        terms = {"task": _task(config, embedded, leaf, negative)}
        weights = {"task": 1.0}
        if known is not None:
            theirs = known.of_sketches(sketch_rows, flip), known.of_photos(photo_rows, flip)
            weights = {"task": config.mix} | {n: (1.0 - config.mix) * w for n, w in config.terms.items()}
            for name in config.terms:
                terms[name] = _term(name, (embedded, leaf), theirs, negative)
        loss = torch.stack([weights[name] * value for name, value in terms.items()]).sum() / len(passes)
        loss.backward()  # type: ignore[no-untyped-call]
        parts["loss"] = parts.get("loss", 0.0) + float(loss.detach())
        for name, value in terms.items():
            parts[name] = parts.get(name, 0.0) + float(value.detach()) / len(passes)
    photos.backward(leaf.grad)
    nn.utils.clip_grad_norm_(student.parameters(), 5.0)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return parts


def _drawn(
    rows: tuple[NDArray[np.int64], ...],
    shares: tuple[NDArray[np.float64], ...],
    identities: NDArray[np.int64],
    rng: np.random.RandomState,
) -> NDArray[np.int64]:
    """One row for each identity, drawn by its shares."""
    return np.array([rng.choice(rows[identity], p=shares[identity]) for identity in identities])


def _task(config: TrainConfig, sketches: Tensor, photos: Tensor, negative: NDArray[np.int64]) -> Tensor:
    if config.loss == "triplet":
        return losses.triplet(sketches, photos, photos[negative])
    return losses.contrastive(sketches, photos, config.temperature)


def _term(name: str, ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor], negative: NDArray[np.int64]) -> Tensor:
    if name == "relational_triplet":
        return losses.relational_triplet(*ours, ours[1][negative], *theirs, theirs[1][negative])
    return losses.PAIR_TERMS[name](*ours, *theirs)


def _learning_rate(config: TrainConfig, step: int) -> float:
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * (0.5 + 0.5 * math.cos(math.pi * progress))


def val_scores(student: Student, dataset: SketchDataset, canvases: tuple[int, ...]) -> dict[int, float]:
    """acc@1 (share of sketches) on the val split at some canvases, all levels together; empty without such a split."""
    if not len(dataset.indices("val")):
        return {}
    ranks, _ = ranks_of(student, dataset, "val", canvases)
    return {side: float(share) for side, share in zip(canvases, (ranks == 1).mean(axis=0), strict=True)}


def run(config: TrainConfig, out: Path, save: Path | None, command: str) -> Path:
    """Train, resuming from the checkpoint in `out` when there is one; save weights and card; return the weights' path.

    Args:
        config: the run.
        out: folder for checkpoint, log and TensorBoard events.
        save: the weights' file; by default `student.safetensors` in `out`.
        command: what was typed, for the card.
    """
    student = train(config, out)
    recipe = asdict(config)
    del recipe["student"]  # the card's own "config"
    del recipe["root"]  # where somebody keeps the data decides nothing: the card has their hash
    path = save or out / "student.safetensors"
    publish(student, load(config.dataset, config.root), path, recipe, command)
    return path


def _card_of_teacher(name: str | None) -> dict[str, str] | None:
    if name is None:
        return None
    teacher = students.load(name)
    return {"name": teacher.name, "sha256": teacher.weights_hash}


def _seen(dataset: SketchDataset, start: str | None) -> set[str]:
    """Fingerprints of the photos trained on, here and before, as far as the start's card tells of them."""
    own = seen.fingerprints(dataset, _trained_on(dataset))
    if start is not None:
        with suppress(OSError, ValueError):  # gone since the run began
            own |= seen.of_card(load_card(students.find(start)))
    return own


def publish(student: Student, dataset: SketchDataset, path: Path, recipe: dict[str, Any], command: str) -> None:
    """Save a trained student with a card that says where it comes from and what it scores on val.

    Kernels are saved in half precision. The test split is not touched here: `students.tables.evaluation` does that.
    """
    card = {
        "name": student.config.backbone,
        "dataset": dataset.name,
        "dataset_hash": dataset.hash,
        "trained_on": "split 'student'",
        "seen": seen.on_card(_seen(dataset, recipe.get("start"))),
        "teacher": _card_of_teacher(recipe.get("teacher")),
        "recipe": recipe,
        "command": command,
        "commit": commit(),
        "versions": versions(),
    }
    save_student(student, path, card, half=True)
    # Measured on what was saved, not on what was in memory.
    measured = val_scores(load_student(path), dataset, student.canvases)
    save_student(student, path, {**card, "measured": {"val": {str(side): acc for side, acc in measured.items()}}}, True)
