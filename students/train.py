"""Train a student to retrieve: sketches at every canvas against photos, by an in-batch contrastive loss.

    python -m students.train students/configs/emoji-mobilenet_v2.json --out runs/emoji

A step embeds one batch of photos and the matching sketches at two canvases, a small and a large one. Every random
choice of a step follows from (seed, step), so a resumed run does what an uninterrupted one would have done.
"""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sketchcanvas_env.data import SketchDataset, load
from sketchcanvas_env.raster import rasterise_batch
from sketchcanvas_env.reward import rank_of_true
from students import checkpoint as checkpoints
from students.augment import freehand_pool, jittered, jittered_photos
from students.embedder import Student, StudentConfig, config_from_dict
from students.losses import contrastive
from students.pretrained import PRETRAINED, start_from_pretrained
from students.provenance import versions
from students.switch_norm import PHOTO, parameter_groups
from students.tabulate import euclidean, scores, tabulate
from students.weights import load_student, save_student


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run."""

    dataset: str = "emoji"
    student: StudentConfig = field(default_factory=StudentConfig)
    pretrained: str | None = "mobilenet_v2"
    """Published start (a name in `students.pretrained.PRETRAINED` or a path), or None for random weights."""
    steps: int = 1_600
    batch: int = 64
    """Sketch-photo pairs a step; each is a negative of all others."""
    small: dict[int, float] = field(default_factory=lambda: {32: 0.36, 48: 0.28, 64: 0.36})
    """Canvases of a step's first pass over the sketches, and how often each is drawn."""
    large: dict[int, float] = field(default_factory=lambda: {96: 0.33, 128: 0.30, 160: 0.15, 192: 0.11, 256: 0.11})
    """Canvases of the second pass. Larger ones cost more and are drawn less often."""
    variants: int = 6
    """Fresh freehand variants of each drawing at each level above 0."""
    learning_rate: float = 1e-3
    warmup: int = 50
    weight_decay: float = 0.02
    temperature: float = 0.06
    """Of the contrastive loss. Learned, it sharpens on the photos of the student split and generalises no better."""
    average: float = 0.995
    """Decay per step of the running average of the weights, which is what is kept in the end."""
    seed: int = 0
    threads: int = 2
    checkpoint_every: int = 100
    evaluate_every: int = 200

    @classmethod
    def read(cls, path: str | Path) -> TrainConfig:
        """Read a JSON file with some or all of the fields.

        Raises:
            ValueError: a field that does not exist, or a value out of range.
        """
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise ValueError(f"{path}: unknown fields {unknown}; there are {sorted(cls.__dataclass_fields__)}")
        if "student" in values:
            values["student"] = config_from_dict(values["student"])
        for name in ("small", "large"):
            if name in values:
                values[name] = {int(canvas): float(share) for canvas, share in values[name].items()}
        config = cls(**values)
        missing = sorted((set(config.small) | set(config.large)) ^ set(config.student.canvases))
        if missing:
            raise ValueError(f"{path}: small, large and the student's canvases disagree on {missing}")
        return config


class _Data:
    """The student split in memory: clean drawings with their variants, and photos at a little over the photo side."""

    def __init__(self, config: TrainConfig) -> None:
        dataset = load(config.dataset)
        rows = dataset.indices("student")
        self.rows = rows[dataset.level[rows] == 0]
        self.pool = freehand_pool(dataset, self.rows, config.variants)
        side = round(config.student.photo_side * 1.125)
        photos = np.stack([dataset.photo(dataset.photo_ids[row]) for row in self.rows])
        scaled = torch.nn.functional.interpolate(
            torch.from_numpy(photos).permute(0, 3, 1, 2).float(),
            (side, side),
            mode="bilinear",
            antialias=True,
        )
        self.photos = scaled.round().to(torch.uint8)

    def batch_rows(self, config: TrainConfig, step: int) -> NDArray[np.int64]:
        """The step's drawings: epochs of a fresh shuffle each, the odd rest left out."""
        per_epoch = len(self.rows) // config.batch
        epoch, place = divmod(step, per_epoch)
        order = np.random.RandomState([config.seed, 1, epoch]).permutation(len(self.rows))
        return order[place * config.batch : (place + 1) * config.batch]


def train(config: TrainConfig, out: Path, device: str | None = None) -> Student:
    """Train, or go on from the checkpoint in `out`, and return the running average of the student.

    Writes `checkpoint.safetensors`, `log.jsonl` and TensorBoard events into `out`.

    Args:
        config: the run. `out` must not hold the checkpoint of another one.
        out: a folder, made when missing.
        device: a torch device; by default a GPU when there is one.

    Raises:
        ValueError: the checkpoint in `out` belongs to another configuration.
    """
    from rich.console import Console
    from rich.progress import Progress
    from torch.utils.tensorboard import SummaryWriter

    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dataset = load(config.dataset)
    data = _Data(config)
    student = _started(config, data).to(device)
    decay = get_ema_multi_avg_fn(config.average)  # type: ignore[no-untyped-call]
    average = AveragedModel(student, multi_avg_fn=decay, use_buffers=True).requires_grad_(False)
    kept = cast("Student", average.module)
    optimiser = torch.optim.AdamW(parameter_groups(student, config.weight_decay))
    modules: dict[str, nn.Module] = {"student": student, "average": average}
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.safetensors"
    settings = json.loads(json.dumps(asdict(config)))
    first = 0
    if checkpoint.is_file():
        tensors, state = checkpoints.load(checkpoint, settings)
        for name, module in modules.items():
            checkpoints.restore_module(module, tensors, name)
        checkpoints.restore_optimiser(optimiser, tensors)
        first = state["step"]

    watched = tuple(side for side in config.student.canvases if side <= 128)[::2]  # larger ones take long
    started = time.monotonic()
    with (
        SummaryWriter(str(out)) as writer,
        Progress(console=Console(stderr=True)) as progress,
        (out / "log.jsonl").open("a") as log,
    ):
        task = progress.add_task("training the student", total=config.steps, completed=first)
        for step in range(first, config.steps):
            for group in optimiser.param_groups:
                group["lr"] = _learning_rate(config, step)
            loss = _step(config, data, student, optimiser, step, device)
            average.update_parameters(student)
            progress.update(task, advance=1, description=f"training the student, loss {loss:.3f}")
            writer.add_scalar("train/loss", loss, step)
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
                row = {"step": done, "loss": loss, "val_acc1": acc, "seconds": time.monotonic() - started}
                log.write(json.dumps(row) + "\n")
                log.flush()
                progress.console.print(row)
    # The statistics stay as averaged in training: recomputed on clean drawings they cost 1 to 4 points of acc@1 on val.
    return kept


def _started(config: TrainConfig, data: _Data) -> Student:
    student = Student(config.student)
    if config.pretrained is not None:
        rows = np.arange(0, len(data.rows), max(1, len(data.rows) // 128))
        calibration = {domain: [_inputs(student, data, rows, domain)] for domain in config.student.domains}
        start_from_pretrained(student, calibration, PRETRAINED.get(config.pretrained, Path(config.pretrained)))
    return student


def _inputs(student: Student, data: _Data, rows: NDArray[np.int64], domain: str) -> Tensor:
    """Network inputs of some drawings (levels in turn) or photos, without augmentation."""
    if domain == PHOTO:
        return student.photo_tensor(data.photos[rows].permute(0, 2, 3, 1).contiguous())
    sketches = [data.pool[row][level % 4][0] for level, row in enumerate(rows)]
    return student.sketch_tensor(rasterise_batch(sketches, int(domain)))


def _step(
    config: TrainConfig,
    data: _Data,
    student: Student,
    optimiser: torch.optim.Optimizer,
    step: int,
    device: str,
) -> float:
    student.train()
    rng = np.random.RandomState([config.seed, 2, step])
    rows = data.batch_rows(config, step)
    flip = rng.rand(len(rows)) < 0.5
    pixels = jittered_photos(data.photos[rows].to(device).float(), config.student.photo_side, rng, flip)
    photos = student(student.normalised(pixels), PHOTO)
    # The photos' graph is walked once, after both canvases have left their gradients on a detached copy.
    leaf = photos.detach().requires_grad_()
    total = 0.0
    for shares in (config.small, config.large):
        canvas = int(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
        levels = rng.randint(0, 4, len(rows))
        sketches = []
        for row, level, mirrored in zip(rows, levels, flip, strict=True):
            variants = data.pool[row][level]
            sketches.append(jittered(variants[rng.randint(len(variants))], rng, bool(mirrored)))
        embedded = student(student.sketch_tensor(rasterise_batch(sketches, canvas)), str(canvas))
        loss = contrastive(embedded, leaf, config.temperature) / 2
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    photos.backward(leaf.grad)
    nn.utils.clip_grad_norm_(student.parameters(), 5.0)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return total


def _learning_rate(config: TrainConfig, step: int) -> float:
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * (0.5 + 0.5 * math.cos(math.pi * progress))


def val_scores(student: Student, dataset: SketchDataset, canvases: tuple[int, ...]) -> dict[int, float]:
    """acc@1 (share of sketches) on the val split at some canvases, all levels together."""
    gallery = dataset.gallery("val")
    rows = dataset.indices("val")
    place = {photo: i for i, photo in enumerate(gallery)}
    truth = np.array([place[photo] for photo in dataset.photo_ids[rows]])
    photos = student.embed_photos(np.stack([dataset.photo(photo) for photo in gallery]))
    sketches = [dataset.sketch(int(row)) for row in rows]
    shares = {}
    for canvas in canvases:
        ranks = rank_of_true(euclidean(student.embed(sketches, canvas), photos), truth)
        shares[canvas] = float((ranks == 1).mean())
    return shares


def main(
    config: Annotated[Path, typer.Argument(help="JSON file with the fields of TrainConfig.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, log and TensorBoard events.")],
    save: Annotated[
        Path | None, typer.Option(help="Where to put the weights; default: <out>/student.safetensors.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Override the number of steps (for a trial).")] = None,
) -> None:
    """Train a student, resuming from the checkpoint in OUT when there is one, and write weights and card."""
    run = TrainConfig.read(config)
    if steps is not None:
        run = replace(run, steps=steps)
    student = train(run, out)
    recipe = asdict(run)
    del recipe["student"]  # the card's own "config"
    command = "python -m students.train " + " ".join(sys.argv[1:])
    publish(student, load(run.dataset), save or out / "student.safetensors", recipe, command)


def publish(student: Student, dataset: SketchDataset, path: Path, recipe: dict[str, Any], command: str) -> None:
    """Save a trained student with a card that says where it comes from and what it scores on val and test."""
    card = {
        "name": student.config.backbone,
        "dataset": dataset.name,
        "dataset_hash": dataset.hash,
        "trained_on": "split 'student'",
        "recipe": recipe,
        "command": command,
        "commit": _commit(),
        "versions": versions(),
    }
    save_student(student, path, card)
    # Measured on what was saved, not on what was in memory.
    measured = scores(tabulate(load_student(path), dataset, progress=True))
    save_student(student, path, {**card, "measured": {split: measured[split] for split in ("val", "test")}})


def _commit() -> str:
    """The commit of the working tree, or "unknown" outside a checkout."""
    import subprocess

    folder = Path(__file__).parent
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=folder, capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or "unknown"


if __name__ == "__main__":
    typer.run(main)
