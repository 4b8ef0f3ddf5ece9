"""Train a network for retrieval or recognition, by a teacher or directly.

    sketchcanvas distill emoji-mobilenet_v2 --out runs/emoji

`students.training.prepare` makes the data of the run, `retrieval` and `recognition` the gradient of a step, `publish`
the card of the result. Every random choice of a step follows from (seed, step), so that a resumed run equals an
uninterrupted one.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sketchcanvas_env.data import RECOGNITION, load
from students.backbones.switch_norm import parameter_groups
from students.network.embedder import Student
from students.store import checkpoint as checkpoints
from students.training import recognition, retrieval
from students.training.config import TrainConfig
from students.training.pool import doodles as people
from students.training.prepare import (
    Sources,
    check_terms,
    initial_student,
    load_teachers,
    prepare_recognition,
    prepare_retrieval,
    read_sources,
)
from students.training.publish import publish, val_scores
from students.training.recognition import RecognitionMaterial
from students.training.retrieval import RetrievalMaterial, update_neighbours

SCORED_CANVASES = (32, 48, 64, 96, 128, 256)
"""Canvases at which val is scored during a run, as far as the student has them."""
DOODLE_CANVASES = (32, 64, 128)
"""Canvases at which doodles are scored during a run, as far as the student has them."""
MAX_GRADIENT_NORM = 5.0


def run(config: TrainConfig, out: Path, save: Path | None, command: str) -> Path:
    """Train as `train` does, save weights and card, and return the path of their file.

    Args:
        config: the run's settings.
        out: folder for checkpoint, log and TensorBoard events.
        save: the file to write; by default `student.safetensors` in `out`.
        command: the command line, for the card.
    """
    student = train(config, out)
    recipe = asdict(config)
    del recipe["student"]  # the card has it as "config"
    del recipe["root"]  # a path on this machine; the card has the data's hash instead
    if config.doodles is not None:
        recipe["doodles"] = {"people": config.doodles.people, "classes": config.doodles.classes}
    path = save or out / "student.safetensors"
    publish(student, load(config.dataset, config.root), path, recipe, command)
    return path


def train(config: TrainConfig, out: Path, device: str | None = None) -> Student:
    """Train, or resume from the checkpoint in `out`, and return the running average of the student.

    Writes `checkpoint.safetensors`, `log.jsonl` and TensorBoard events into `out`, and the teachers' embeddings of the
    pool into the folder above, where runs with other seeds find them.

    Args:
        config: the run's settings; must be those of the checkpoint in `out`, if there is one.
        out: a folder, made when missing.
        device: a torch device; by default a GPU when there is one.

    Raises:
        ValueError: the checkpoint in `out` has other settings, or the teacher, the start or the data do not fit. Raised
            before anything is prepared or written, as are the next two.
        FileNotFoundError: a file that the settings name is missing.
        ImportError: a package with published weights is not installed.
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
    if resumed and first == config.steps and (config.doodles is not None or "proxies.weight" not in resumed[0]):
        finished = Student(config.student)
        checkpoints.restore_module(finished, resumed[0], "average.module")
        return finished.to(device)
    teachers = load_teachers(config)
    student = Student(config.student) if resumed else initial_student(config)
    if teachers:
        check_terms(config, student, teachers)
    sources = read_sources(config)
    out.mkdir(parents=True, exist_ok=True)
    material: RetrievalMaterial | RecognitionMaterial
    with_proxies: RecognitionMaterial | None
    if sources.dataset.task == RECOGNITION:
        material = with_proxies = prepare_recognition(config, sources, student, resumed is not None)
    else:
        material = prepare_retrieval(config, sources, student, teachers, out.parent, device, resumed is not None)
        with_proxies = material.doodle_classes
    student = student.to(device)
    decay = get_ema_multi_avg_fn(config.average)  # type: ignore[no-untyped-call]
    average = AveragedModel(student, multi_avg_fn=decay, use_buffers=True).requires_grad_(False)
    averaged = cast("Student", average.module)
    modules: dict[str, nn.Module] = {"student": student, "average": average}
    groups = parameter_groups(student, config.weight_decay)
    if with_proxies is not None:
        modules["proxies"] = with_proxies.proxies.to(device)
        groups += parameter_groups(with_proxies.proxies, 0.0)[:1]
    optimiser = torch.optim.AdamW(groups, fused=True)  # ten times quicker on a CPU
    if resumed:
        for name, module in modules.items():
            checkpoints.restore_module(module, resumed[0], name)
        checkpoints.restore_optimiser(optimiser, resumed[0])
    if isinstance(material, RetrievalMaterial):
        update_neighbours(config, material, averaged)

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
            # Scores are logged before the checkpoint is written: a run stopped in between scores that step again.
            if done % config.evaluate_every == 0 or done == config.steps:
                row = {"step": done, **parts, **_scores(averaged, sources, material)}
                row["seconds"] = time.monotonic() - started
                for canvas, score in row["val_acc1"].items():
                    writer.add_scalar(f"val/acc1_at_{canvas}", score, done)
                log.write(json.dumps(row) + "\n")
                log.flush()
                progress.console.print(row)
            if done % config.checkpoint_every == 0 or done == config.steps:
                tensors = checkpoints.optimiser_tensors(optimiser)
                for name, module in modules.items():
                    tensors |= checkpoints.module_tensors(module, name)
                checkpoints.save(checkpoint, tensors, {"config": settings, "step": done})
                if isinstance(material, RetrievalMaterial):
                    update_neighbours(config, material, averaged)
    # Batch-norm statistics stay as averaged in training: recomputed on clean drawings they cost 1 to 4 points of acc@1
    # on val.
    return averaged if isinstance(material, RetrievalMaterial) else recognition.with_classes(averaged, material)


def _step(
    config: TrainConfig,
    material: RetrievalMaterial | RecognitionMaterial,
    student: Student,
    optimiser: torch.optim.Optimizer,
    step: int,
    device: str,
) -> dict[str, float]:
    """Update the student once; returns the loss and its parts by name."""
    student.train()
    if isinstance(material, RecognitionMaterial):
        loss = recognition.backward(config, material, student, step, config.passes)
        parts = {"loss": loss, "task": loss}
    else:
        parts = retrieval.backward(config, material, student, step, device)
    nn.utils.clip_grad_norm_(student.parameters(), MAX_GRADIENT_NORM)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return parts


def _learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to 0."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * (0.5 + 0.5 * math.cos(math.pi * progress))


def _scores(student: Student, sources: Sources, material: RetrievalMaterial | RecognitionMaterial) -> dict[str, Any]:
    """Scores for a row of the log: acc@1 on val by canvas, and acc@1, 5 and 10 of doodles where there are some."""
    canvases = tuple(side for side in SCORED_CANVASES if side in student.canvases) or student.canvases[:1]
    if isinstance(material, RecognitionMaterial):
        return {"val_acc1": recognition.scores(student, material, sources.dataset, canvases)}
    row: dict[str, Any] = {"val_acc1": val_scores(student, sources.dataset, canvases)}
    if sources.doodles:
        canvases = tuple(side for side in DOODLE_CANVASES if side in student.canvases) or student.canvases[:1]
        row["doodles_acc1_5_10"] = people.scores(student, sources.dataset, sources.doodles, canvases)
    return row
