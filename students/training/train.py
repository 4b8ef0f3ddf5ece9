"""Train a network to retrieve: sketches at every canvas against photos, with or without a teacher.

    sketchcanvas distill emoji-mobilenet_v2 --out runs/emoji

A step embeds one batch of photos and the matching sketches at two canvases or more, small ones and a large one. Without
a teacher the loss is the task's alone (contrastive or triplet); this is also how a teacher is trained. With one it is

    mix * task + (1 - mix) * sum of weighted distillation terms,

the mean over the step's canvases (Sain et al., CVPR 2025). What a teacher says of a freehand variant drawn at the step
is what it says of the drawing. Every random choice of a step follows from (seed, step), so a resumed run does what an
uninterrupted one would have done.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import students
from sketchcanvas_env.data import RECOGNITION, SketchDataset, load, recognition
from sketchcanvas_env.sketches.raster import rasterise_batch
from students.backbones.switch_norm import PHOTO, parameter_groups
from students.network.embedder import Student
from students.store import checkpoint as checkpoints
from students.store import leakage as seen
from students.store.pretrained import calibrate_all, load_published
from students.store.provenance import commit, versions
from students.store.weights import load_card, load_student, save_student
from students.tables.evaluation import ranks_of
from students.training import losses, recognise
from students.training.config import CONFIGS_FOLDER, MAX_CONFIG_BYTES, TrainConfig, configs
from students.training.pool import doodles as people
from students.training.pool.augment import jittered, jittered_photos
from students.training.pool.doodles import Doodles
from students.training.pool.pairs import Near, Pairs, batch, make_pairs, neighbours, training_rows
from students.training.pool.renderings import Renderings
from students.training.pool.renderings import read as read_renderings
from students.training.recognise import Classes, Recognition, begun_proxies, empty_proxies, make_classes
from students.training.teacher import Knowledge, combined, knowledge

__all__ = ["CONFIGS_FOLDER", "MAX_CONFIG_BYTES", "TrainConfig", "configs", "publish", "run", "train", "val_scores"]

WATCHED = (32, 48, 64, 96, 128, 256)
"""Canvases at which val is measured during a run, as far as the student has them."""
DOODLES_WATCHED = (32, 64, 128)
NEIGHBOURS = 8
"""Identities of a neighbourhood in a batch of hard negatives."""


@dataclass(eq=False)
class _Material:
    """What the steps of a run draw from."""

    pairs: Pairs
    known: Mapping[int, Knowledge] | None
    """What the teacher says, by the student's canvas."""
    doodled: Recognition | None = None
    near: Near | None = None


@dataclass(frozen=True)
class _Data:
    """What a configuration names, read before anything is prepared."""

    dataset: SketchDataset
    renderings: Renderings | None
    doodles: Mapping[str, Doodles]


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
    teachers = _teachers(config)
    student = Student(config.student) if resumed else _started(config)
    if teachers:
        _check_terms(config, student, teachers)
    data = _read(config)
    out.mkdir(parents=True, exist_ok=True)
    material: _Material | Recognition
    if data.dataset.task == RECOGNITION:
        material = _classes(config, make_classes(data.dataset), student, resumed is not None)
    else:
        material = _pairs(config, data, student, teachers, out.parent, device, resumed is not None)
    student = student.to(device)
    decay = get_ema_multi_avg_fn(config.average)  # type: ignore[no-untyped-call]
    average = AveragedModel(student, multi_avg_fn=decay, use_buffers=True).requires_grad_(False)
    kept = cast("Student", average.module)
    modules: dict[str, nn.Module] = {"student": student, "average": average}
    groups = parameter_groups(student, config.weight_decay)
    if (apart := material if isinstance(material, Recognition) else material.doodled) is not None:
        modules["proxies"] = apart.proxies.to(device)
        groups += parameter_groups(apart.proxies, 0.0)[:1]
    optimiser = torch.optim.AdamW(groups, fused=True)  # ten times quicker on a CPU
    if resumed:
        for name, module in modules.items():
            checkpoints.restore_module(module, resumed[0], name)
        checkpoints.restore_optimiser(optimiser, resumed[0])

    _look_for_neighbours(config, material, kept)
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
            # Measured before the checkpoint is written: a run that is stopped in between measures again.
            if done % config.evaluate_every == 0 or done == config.steps:
                row = {"step": done, **parts, **_measured(kept, data, material)}
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
                _look_for_neighbours(config, material, kept)
    # The statistics stay as averaged in training: recomputed on clean drawings they cost 1 to 4 points of acc@1 on val.
    return kept


def _read(config: TrainConfig) -> _Data:
    """The data that a configuration names.

    Raises:
        FileNotFoundError: something is not there.
        ValueError: something is not what it should be, or does not fit the rest.
    """
    dataset = load(config.dataset, config.root)
    if dataset.task == RECOGNITION:
        named = ("teacher", "renderings", "doodles")
        if odd := [name for name in named if getattr(config, name) is not None]:
            raise ValueError(f"{', '.join(odd)}: of no use for {config.dataset}, which has classes and no photos")
        if not len(dataset.indices("student")):
            raise ValueError(f"data set {dataset.name!r} has no sketches in the split 'student' to train on")
        return _Data(dataset, None, {})
    _check_batch(config, dataset)
    return _Data(
        dataset,
        read_renderings(config.renderings) if config.renderings is not None else None,
        people.read(config.doodles, dataset) if config.doodles is not None else {},
    )


def _classes(config: TrainConfig, classes: Classes, student: Student, resumed: bool) -> Recognition:
    """What a run for recognition draws from."""
    if resumed:
        return Recognition(classes, empty_proxies(student, classes))
    if config.start is None and config.pretrained is not None:
        sides = config.student.canvases
        few = classes.sketches[:: max(1, len(classes.sketches) // 128)]
        calibrate_all(student, {str(side): [student.sketch_tensor(rasterise_batch(few, side))] for side in sides})
    return Recognition(classes, begun_proxies(student, classes))


def _pairs(
    config: TrainConfig,
    data: _Data,
    student: Student,
    teachers: Sequence[Student],
    shared: Path,
    device: str,
    resumed: bool,
) -> _Material:
    """What a run for retrieval draws from; what the teachers say of it is kept in the folder `shared`."""
    pairs = make_pairs(
        data.dataset,
        config.pool,
        config.student.photo_side,
        data.renderings,
        config.threads,
        data.doodles.get("student"),
    )
    known = None
    if teachers:
        wanted = {side: config.taught_at(side) for side in config.student.canvases}
        told = {
            sides: combined([knowledge(teacher, sides, pairs, shared, device) for teacher in teachers])
            for sides in dict.fromkeys(wanted.values())
        }
        known = {side: told[sides] for side, sides in wanted.items()}
    if not resumed and config.start is None and config.pretrained is not None:
        _calibrate(student, pairs)
    doodled = None
    if config.doodles is not None and config.doodles.classes:
        drawings = recognition(load("quickdraw", config.doodles.root))
        classes = make_classes(drawings, people.held_out(config.doodles, data.dataset))
        doodled = Recognition(classes, empty_proxies(student, classes) if resumed else begun_proxies(student, classes))
    return _Material(pairs, known, doodled)


def _measured(student: Student, data: _Data, material: _Material | Recognition) -> dict[str, Any]:
    """What goes into the log beside the losses: val, and doodles where there are some."""
    sides = student.canvases
    watched = tuple(side for side in WATCHED if side in sides) or sides[:1]
    if isinstance(material, Recognition):
        return {"val_acc1": recognise.scores(student, material, data.dataset, watched)}
    row: dict[str, Any] = {"val_acc1": val_scores(student, data.dataset, watched)}
    if data.doodles:
        watched = tuple(side for side in DOODLES_WATCHED if side in sides) or sides[:1]
        row["doodles_acc1_5_10"] = people.scores(student, data.dataset, data.doodles, watched)
    return row


def _look_for_neighbours(config: TrainConfig, material: _Material | Recognition, student: Student) -> None:
    """For hard negatives: neighbourhoods of the data set's identities, by the embeddings of their own photos."""
    if not config.hard or isinstance(material, Recognition):
        return
    pairs = material.pairs
    rows = [int(pairs.photo_rows[identity][0]) for identity in range(pairs.own)]
    images = pairs.photos[rows].permute(0, 2, 3, 1).contiguous().numpy()
    material.near = neighbours(student.embed_photos(images), NEIGHBOURS)


def _teachers(config: TrainConfig) -> list[Student]:
    """Whom to distil from; nobody for direct training."""
    wanted = {side for canvas in config.student.canvases for side in config.taught_at(canvas)}
    teachers = []
    for name in config.teachers:
        teacher = students.load(name)
        if lacking := sorted(wanted - set(teacher.canvases)):
            raise ValueError(f"the teacher {name} has no canvases {lacking}; it has {list(teacher.canvases)}")
        teachers.append(teacher)
    return teachers


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


def _check_terms(config: TrainConfig, student: Student, teachers: Sequence[Student]) -> None:
    """Each term on made-up embeddings; ValueError where it cannot compare such a student with such teachers."""
    theirs, ours = torch.ones(3, sum(teacher.dim for teacher in teachers)), torch.ones(3, student.dim)
    for name in config.terms:
        _term(name, (ours, ours), (theirs, theirs), np.arange(3), np.array([1, 2, 0]))


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
    material: _Material | Recognition,
    student: Student,
    optimiser: torch.optim.Optimizer,
    step: int,
    device: str,
) -> dict[str, float]:
    """One update; gives the loss and its parts."""
    student.train()
    if isinstance(material, Recognition):
        loss = recognise.backward(config, material, student, step, recognise.all_passes(config))
        parts = {"loss": loss, "task": loss}
    else:
        parts = _backward(config, material, student, step, device)
    nn.utils.clip_grad_norm_(student.parameters(), 5.0)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return parts


def _backward(config: TrainConfig, material: _Material, student: Student, step: int, device: str) -> dict[str, float]:
    """Leave the gradient of one step on the student; gives the loss and its parts."""
    pairs, known = material.pairs, material.known
    rng = np.random.RandomState([config.seed, 2, step])
    hard = bool(config.hard) and np.random.RandomState([config.seed, 6, step]).rand() < config.hard
    share = config.doodles.people if config.doodles is not None else 0.0
    identities = batch(pairs, config.batch, config.outside, config.seed, step, share, material.near if hard else None)
    flip = rng.rand(len(identities)) < 0.5
    photo_rows = _drawn(pairs.photo_rows, pairs.photo_shares, identities, rng)
    pixels = jittered_photos(
        pairs.photos[photo_rows].to(device).float(),
        config.student.photo_side,
        rng,
        flip,
        config.augment,
        pairs.subjects[photo_rows].to(device),
        pairs.photos,
    )
    photos = student(student.normalised(pixels), PHOTO)
    # The photos' graph is walked once, after every canvas has left its gradient on a detached copy.
    leaf = photos.detach().requires_grad_()
    negative = np.roll(np.arange(len(identities)), rng.randint(1, len(identities)))
    passes = [config.small] * config.small_passes if config.small else []
    passes.append(config.large)
    parts: dict[str, float] = {}
    for shares in passes:
        canvas = int(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
        chosen = _within(config.most_pixels, canvas, len(identities), rng)
        sketch_rows = _drawn(pairs.sketch_rows, pairs.sketch_shares, identities[chosen], rng)
        drawings = [pairs.sketch(int(row), config.pool.levels, rng) for row in sketch_rows]
        sketches = [jittered(one, rng, bool(f), config.augment) for one, f in zip(drawings, flip[chosen], strict=True)]
        embedded = student(student.sketch_tensor(rasterise_batch(sketches, canvas)), str(canvas))
        terms = {"task": _task(config, embedded, leaf, chosen, negative)}
        weights = {"task": 1.0}
        if known is not None:
            theirs = known[canvas].of_sketches(sketch_rows, flip[chosen]), known[canvas].of_photos(photo_rows, flip)
            weights = {"task": config.mix} | {n: (1.0 - config.mix) * w for n, w in config.terms.items()}
            for name in config.terms:
                terms[name] = _term(name, (embedded, leaf), theirs, chosen, negative)
        loss = torch.stack([weights[name] * value for name, value in terms.items()]).sum() / len(passes)
        loss.backward()  # type: ignore[no-untyped-call]
        parts["loss"] = parts.get("loss", 0.0) + float(loss.detach())
        for name, value in terms.items():
            parts[name] = parts.get(name, 0.0) + float(value.detach()) / len(passes)
    photos.backward(leaf.grad)
    if material.doodled is not None and config.doodles is not None:
        beside = recognise.one_pass(config, step)
        parts["classes"] = recognise.backward(config, material.doodled, student, step, beside, config.doodles.classes)
        parts["loss"] += parts["classes"]
    return parts


def _within(most_pixels: int | None, canvas: int, count: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """Places in the batch whose sketches are embedded at a canvas: all, or as many random ones as pixels allow."""
    if most_pixels is None or count * canvas**2 <= most_pixels:
        return np.arange(count)
    return np.sort(rng.permutation(count)[: most_pixels // canvas**2])


def _drawn(
    rows: tuple[NDArray[np.int64], ...],
    shares: tuple[NDArray[np.float64], ...],
    identities: NDArray[np.int64],
    rng: np.random.RandomState,
) -> NDArray[np.int64]:
    """One row for each identity, drawn by its shares."""
    return np.array([rng.choice(rows[identity], p=shares[identity]) for identity in identities])


def _task(
    config: TrainConfig,
    sketches: Tensor,
    photos: Tensor,
    chosen: NDArray[np.int64],
    negative: NDArray[np.int64],
) -> Tensor:
    """The task's loss of sketches (b, D) of the identities at the places `chosen`, against all photos (B, D)."""
    if config.loss == "triplet":
        return losses.triplet(sketches, photos[chosen], photos[negative[chosen]])
    return losses.contrastive(sketches, photos, config.temperature, chosen)


def _term(
    name: str,
    ours: tuple[Tensor, Tensor],
    theirs: tuple[Tensor, Tensor],
    chosen: NDArray[np.int64],
    negative: NDArray[np.int64],
) -> Tensor:
    """A distillation term over sketches (b, D) and photos (B, D), the student's and the teacher's."""
    photos, known = ours[1][chosen], theirs[1][chosen]
    if name == "relational_triplet":
        return losses.relational_triplet(
            ours[0], photos, ours[1][negative[chosen]], theirs[0], known, theirs[1][negative[chosen]]
        )
    return losses.PAIR_TERMS[name](ours[0], photos, theirs[0], known)


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
    if config.doodles is not None:
        recipe["doodles"] = {"people": config.doodles.people, "classes": config.doodles.classes}
    path = save or out / "student.safetensors"
    publish(student, load(config.dataset, config.root), path, recipe, command)
    return path


def _card_of_teachers(names: Sequence[str]) -> dict[str, str] | None:
    """Names and hashes of the teachers, joined by a plus sign."""
    if not names:
        return None
    teachers = [students.load(name) for name in names]
    return {
        "name": " + ".join(teacher.name for teacher in teachers),
        "sha256": "+".join(teacher.weights_hash for teacher in teachers),
    }


def _seen(dataset: SketchDataset, start: str | None) -> set[str]:
    """Fingerprints of the photos trained on, here and before, as far as the start's card tells of them."""
    own: set[str] = set()
    if dataset.task != RECOGNITION:  # which has no photos
        own = seen.fingerprints(dataset, _trained_on(dataset))
    if start is not None:
        with suppress(OSError, ValueError):  # gone since the run began
            own |= seen.of_card(load_card(students.find(start)))
    return own


def publish(student: Student, dataset: SketchDataset, path: Path, recipe: dict[str, Any], command: str) -> None:
    """Save a trained student with a card that says where it comes from and what it scores on val.

    Weights are saved in half precision. The test split is not touched here: `students.tables.evaluation` does that.
    """
    card = {
        "name": student.config.backbone,
        "dataset": dataset.name,
        "dataset_hash": dataset.hash,
        "trained_on": "split 'student'",
        "seen": seen.on_card(_seen(dataset, recipe.get("start"))),
        "teacher": _card_of_teachers(
            [recipe["teacher"], *recipe.get("more_teachers", ())] if recipe.get("teacher") is not None else []
        ),
        "recipe": recipe,
        "command": command,
        "commit": commit(),
        "versions": versions(),
    }
    save_student(student, path, card, half=True)
    # Measured on what was saved, not on what was in memory.
    measured = val_scores(load_student(path), dataset, student.canvases)
    save_student(student, path, {**card, "measured": {"val": {str(side): acc for side, acc in measured.items()}}}, True)
