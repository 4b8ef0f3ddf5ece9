"""A student's ranks on a split, as a row that can be stored, read back, compared and replayed.

A row keeps the rank of every sketch at every canvas and not only the accuracies, so that any two rows of one split
can be compared sketch by sketch, and says how it came to be: weights, seed, teacher, commit, versions, hardware.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

import students
from sketchcanvas_env.data import SPLITS, SketchDataset
from sketchcanvas_env.outcomes.reward import rank_of_true
from sketchcanvas_env.storage.files import read_json, write_text
from students.backbones.switch_norm import PHOTO
from students.network.embedder import Student
from students.network.hog import HogRetriever
from students.network.modes import evaluating
from students.network.protocol import Embedder, batch_of
from students.store.provenance import commit, versions
from students.store.weights import load_card
from students.tables.gallery import embed_gallery
from students.tables.latency import machine
from students.tables.ranking import euclidean

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = 1
ROLES = ("baseline", "teacher", "direct", "distilled")
"""`baseline` learns nothing; `direct` is trained without a teacher; `teacher` likewise, for others to learn from."""
RESULTS_FOLDER = Path(__file__).parents[1] / "results"
"""Stored rows: <data set>/<anything>.json."""
MAX_ROW_BYTES = 64 << 20
"""Largest row that is read; those of a thousand sketches at eight canvases have some 50 KB."""


@dataclass(frozen=True)
class Teacher:
    """The teacher of a distilled student."""

    name: str
    sha256: str | None  # of the teacher's weights; None where the student's card does not say


@dataclass(frozen=True)
class StudentRow:
    """One student on one split.

    Attributes:
        name: what to call it; equal for runs that differ in their seed only.
        role: one of `ROLES`.
        backbone: name of its trunk, "hog" for HOG.
        dataset: name of the data set.
        dataset_hash: sha256 of the data.
        split: which split's sketches were ranked.
        gallery: number of photos they were ranked among.
        seed: of the training run, None where nothing is trained.
        steps: training steps, None where nothing is trained.
        params: parameters in use for one query.
        dim: length of an embedding.
        gflops: by canvas side in pixels, 10^9 FLOPs (2 x MAC) of embedding one sketch.
        ranks: by canvas side, the rank of the true photo of every sketch, 1 is best.
        sketch_ids: the sketches, in the order of `ranks`.
        photo_ids: their true photos, the units of a bootstrap.
        weights_sha256: of the weights' file, None where there are no weights.
        teacher: of a distilled student, else None.
        training: what the card says of the training run (commit, command, versions ...), {} where it says nothing.
        commit: of the code that made this row, "unknown" outside a checkout.
        versions: of Python and of the packages an embedding depends on.
        hardware: "cpu", "cores", "system", "gpu" (None if unused) and "threads" of torch.
        command: that makes this row again, "" if it was made from Python.
        date: when, UTC, ISO 8601.
    """

    name: str
    role: str
    backbone: str
    dataset: str
    dataset_hash: str
    split: str
    gallery: int
    seed: int | None
    steps: int | None
    params: int
    dim: int
    gflops: dict[int, float]
    ranks: dict[int, tuple[int, ...]]
    sketch_ids: tuple[str, ...]
    photo_ids: tuple[str, ...]
    weights_sha256: str | None
    teacher: Teacher | None
    training: dict[str, Any]
    commit: str
    versions: dict[str, str]
    hardware: dict[str, Any]
    command: str
    date: str

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ValueError: naming the field, what it must be and what it is.
        """
        texts = ("name", "backbone", "dataset", "dataset_hash", "commit", "command", "date")
        for field in texts:
            self._require(isinstance(getattr(self, field), str), field, "must be text")
        for field in ("name", "backbone", "dataset", "dataset_hash"):
            self._require(bool(getattr(self, field)), field, "must not be empty")
        self._require(self.role in ROLES, "role", f"must be one of {', '.join(ROLES)}")
        self._require(self.split in SPLITS, "split", f"must be one of {', '.join(SPLITS)}")
        for field, least in (("gallery", 1), ("params", 0), ("dim", 1)):
            self._require(_is_whole(getattr(self, field), least), field, f"must be a whole number from {least}")
        for field in ("seed", "steps"):
            value = getattr(self, field)
            self._require(value is None or _is_whole(value, 0), field, "must be a whole number from 0, or null")
        for field in ("sketch_ids", "photo_ids"):
            value = getattr(self, field)
            self._require(
                isinstance(value, tuple) and bool(value) and all(isinstance(one, str) for one in value),
                field,
                "must be a list of at least one text",
            )
        n = len(self.sketch_ids)
        self._require(len(set(self.sketch_ids)) == n, "sketch_ids", "must be unique")
        self._require(len(self.photo_ids) == n, "photo_ids", f"must have {n} entries, as sketch_ids")
        self._check_canvases(n)
        digest = self.weights_sha256
        self._require(
            digest is None or (isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) is not None),
            "weights_sha256",
            "must be 64 hexadecimal digits, or null",
        )
        self._require(self.teacher is None or isinstance(self.teacher, Teacher), "teacher", "must be a Teacher or null")
        self._require((self.role == "distilled") == (self.teacher is not None), "teacher", "goes with role 'distilled'")
        for field in ("training", "versions", "hardware"):
            self._require(isinstance(getattr(self, field), dict), field, "must be an object")

    def _check_canvases(self, n: int) -> None:
        ranks, gflops = self.ranks, self.gflops
        self._require(isinstance(ranks, dict) and bool(ranks), "ranks", "must have a list for each canvas")
        self._require(list(ranks) == sorted(ranks), "ranks", "must have rising canvas sides")
        for side, row in ranks.items():
            self._require(
                isinstance(row, tuple)
                and len(row) == n
                and all(_is_whole(rank, 1) and rank <= self.gallery for rank in row),
                "ranks",
                f"at {side} px must be {n} whole numbers from 1 to the gallery's {self.gallery}",
                row,
            )
        self._require(
            isinstance(gflops, dict)
            and list(gflops) == list(ranks)
            and all(isinstance(g, int | float) and np.isfinite(g) and g > 0 for g in gflops.values()),
            "gflops",
            f"must be a finite number above 0 for each of the canvases {list(ranks)}",
        )

    def _require(self, ok: bool, field: str, rule: str, value: Any = None) -> None:
        if not ok:
            shown = repr(getattr(self, field) if value is None else value)
            raise ValueError(f"{field} {rule}, got {shown if len(shown) <= 80 else shown[:77] + '...'}")

    @property
    def canvases(self) -> tuple[int, ...]:
        """Canvas sides, pixels, rising."""
        return tuple(self.ranks)

    def right(self, canvas: int, k: int = 1) -> NDArray[np.bool_]:
        """(N,) bool: whose true photo is among the first `k` at that canvas.

        Raises:
            KeyError: the row has no such canvas.
        """
        return np.array(self.ranks[canvas]) <= k

    def write(self, path: str | Path) -> Path:
        """Write the row as JSON, one field or canvas a line, atomically."""
        values = {"format": FORMAT, **asdict(self)}
        write_text(path, _lines(values) + "\n")
        return Path(path)


def read_row(path: str | Path) -> StudentRow:
    """Read a stored row.

    Raises:
        FileNotFoundError: there is none.
        ValueError: too large, not JSON, or a field that is missing, unknown or wrong; the message names file and field.
    """
    path = Path(path)
    values = read_json(path, MAX_ROW_BYTES)
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise ValueError(f"{path}: format must be {FORMAT}: it is no student's row of this version")
    known = {field.name for field in fields(StudentRow)}
    if wrong := sorted(known ^ set(values)):
        raise ValueError(f"{path}: fields {wrong} are missing or unknown")
    try:
        for field in ("sketch_ids", "photo_ids"):
            values[field] = _tuple(values[field])
        for field in ("ranks", "gflops"):
            if not isinstance(values[field], dict) or not all(side.isdecimal() for side in values[field]):
                raise ValueError(f"{field} must be an object with canvas sides in pixels as names")
            values[field] = {int(side): _tuple(value) for side, value in values[field].items()}
        if values["teacher"] is not None:
            values["teacher"] = _teacher_from(values["teacher"])
        return StudentRow(**values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_rows(folder: str | Path) -> dict[Path, StudentRow]:
    """All rows stored under a folder, by file, in the order of their paths.

    Raises:
        FileNotFoundError: no such folder, or no row in it.
        ValueError: as `read_row`.
    """
    files = sorted(Path(folder).rglob("*.json"))
    if not files:
        raise FileNotFoundError(
            f"no rows under {folder}: make one with 'sketchcanvas evaluate --student NAME --out {folder}/NAME.json'"
        )
    return {file: read_row(file) for file in files}


# ---- making rows


def open_student(name_or_path: str, dataset: str) -> tuple[Embedder, dict[str, Any] | None]:
    """A frozen student, on the GPU when there is one, and its card.

    Args:
        name_or_path: "hog", a shipped name ("emoji-mobilenet_v2", or "mobilenet_v2" given `dataset` "emoji"), or the
            path of weights.
        dataset: name of the data set it is for.

    Returns:
        The embedder and its card, None for HOG.

    Raises:
        ValueError: an unknown name (the message lists what exists) or a damaged file.
        FileNotFoundError: a path where nothing lies.
    """
    if name_or_path == "hog":
        return HogRetriever(), None
    within = f"{dataset}-{name_or_path}"
    path = students.find(within if within in students.available() else name_or_path)
    student = students.load(path)
    return student.to("cuda" if torch.cuda.is_available() else "cpu"), load_card(path)


def evaluate_student(
    embedder: Embedder,
    dataset: SketchDataset,
    split: str,
    canvases: Sequence[int] | None = None,
    *,
    card: dict[str, Any] | None = None,
    role: str | None = None,
    command: str = "",
    progress: bool = False,
) -> StudentRow:
    """Rank the true photo of every sketch of a split, at every canvas.

    Args:
        embedder: frozen.
        dataset: sketches and photos; the gallery is the split's.
        split: its name.
        canvases: sides, rising; all of the embedder's when None.
        card: what is known of its training (`students.store.weights.load_card`); None for what learned nothing.
        role: one of `ROLES`; None: "baseline" without a card, else "distilled" or "direct" by whether it had a
            teacher. A card cannot know that others learned from its student, so a teacher has to be called one.
        command: that makes the row again.
        progress: show a progress bar on standard error.

    Raises:
        ValueError: a split without sketches, a canvas that the embedder lacks, an unknown role.
    """
    sides = check_canvases(embedder, canvases)
    rows = _rows_of(dataset, split)
    recipe = {} if card is None else card.get("recipe", {})
    teacher = None if card is None else _teacher_of(card)
    if role is None:
        role = "baseline" if card is None else "distilled" if teacher is not None else "direct"
    table, dim = ranks_of(embedder, dataset, split, sides, progress)
    return StudentRow(
        name=embedder.name,
        role=role,
        backbone=embedder.name if card is None else str(card["config"]["backbone"]),
        dataset=dataset.name,
        dataset_hash=dataset.hash,
        split=split,
        gallery=len(dataset.gallery(split)),
        seed=recipe.get("seed"),
        steps=recipe.get("steps"),
        # What learned nothing has no parameters, and no property that says so.
        params=int(getattr(embedder, "params", 0)),
        dim=dim,
        gflops={side: embedder.flops(side) / 1e9 for side in sides},
        ranks={side: tuple(table[:, k].tolist()) for k, side in enumerate(sides)},
        sketch_ids=tuple(dataset.sketch_ids[rows].tolist()),
        photo_ids=tuple(dataset.photo_ids[rows].tolist()),
        weights_sha256=None if card is None else embedder.weights_hash,
        teacher=teacher if role == "distilled" else None,
        training={} if card is None else _training_of(card),
        commit=commit(),
        versions=versions(),
        hardware=_hardware(embedder),
        command=command,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def ranks_of(
    embedder: Embedder, dataset: SketchDataset, split: str, canvases: Sequence[int], progress: bool = False
) -> tuple[NDArray[np.int64], int]:
    """Rank of the true photo of each of a split's sketches at each canvas, and the length of an embedding.

    Returns:
        (n, K) int64, sketches in the order of `dataset.indices(split)`, and the dimension.

    Raises:
        ValueError: the split has no sketches.
    """
    rows = _rows_of(dataset, split)
    photos = embed_gallery(embedder, dataset, dataset.gallery(split).tolist())
    sketches = [dataset.sketch(int(row)) for row in rows]
    true = _columns(dataset, split, dataset.photo_ids[rows])
    columns = [
        rank_of_true(euclidean(embedder.embed(sketches, side), photos), true)
        for side in _watched(canvases, f"{embedder.name}, sketches", progress)
    ]
    return np.stack(columns, axis=1), photos.shape[1]


def photo_ranks_of(
    student: Student, dataset: SketchDataset, split: str, canvases: Sequence[int], progress: bool = False
) -> NDArray[np.int64]:
    """Rank of each photo of a split's gallery when it is itself the query, shrunk to the canvas.

    The gallery is embedded as ever. Where the canvas is the side that the student sees photos at, query and gallery
    picture are the same and every rank is 1 unless two photos are alike.

    Args:
        student: frozen. Only a network can be asked: HOG treats sketches and photos by different rules.
        dataset: has the photos.
        split: whose gallery.
        canvases: sides in pixels.
        progress: show a progress bar on standard error.

    Returns:
        (G, K) int64, photos in the order of `dataset.gallery(split)`.
    """
    images = _gallery_images(dataset, split)
    photos, true = student.embed_photos(images), np.arange(len(images))
    columns = [
        rank_of_true(euclidean(embed_photo_queries(student, images, side), photos), true)
        for side in _watched(canvases, f"{student.name}, photos", progress)
    ]
    return np.stack(columns, axis=1)


def embed_photo_queries(
    student: Student, images: NDArray[np.uint8], canvas: int, batch_size: int | None = None
) -> NDArray[np.float32]:
    """Embed photos shrunk (antialiased, bilinear) to `canvas` pixels a side instead of the student's photo side.

    They go through the statistics of the photo domain, which were gathered at the photo side: the student was never
    taught to read photos at other sides.

    Args:
        student: frozen.
        images: (n, H, W, 3) uint8.
        canvas: side in pixels.
        batch_size: photos at a time; None: as `Student.embed` does it.

    Returns:
        (n, dim) float32, L2-normalised.
    """
    pieces = []
    size = batch_size or student.batch or batch_of(canvas)
    with evaluating(student), torch.inference_mode():
        for start in range(0, len(images), size):
            pixels = torch.from_numpy(images[start : start + size]).to(student.device)
            pixels = pixels.permute(0, 3, 1, 2).float()
            if pixels.shape[2:] != (canvas, canvas):
                pixels = F.interpolate(pixels, (canvas, canvas), mode="bilinear", antialias=True, align_corners=False)
            pieces.append(student(student.normalised(pixels), PHOTO).float().cpu().numpy())
    return np.concatenate(pieces)


def check_canvases(embedder: Embedder, canvases: Sequence[int] | None) -> tuple[int, ...]:
    """The sides asked for, all of the embedder's when None.

    Raises:
        ValueError: none, not rising, or one that the embedder lacks.
    """
    sides = tuple(embedder.canvases if canvases is None else canvases)
    if not sides or list(sides) != sorted(set(sides)) or set(sides) - set(embedder.canvases):
        raise ValueError(f"canvases must be some of {list(embedder.canvases)}, rising; got {list(sides)}")
    return sides


# ---- parts


_OF_TRAINING = ("trained_on", "dataset", "dataset_hash", "commit", "command", "versions", "hardware", "recipe")


def _rows_of(dataset: SketchDataset, split: str) -> NDArray[np.int64]:
    rows = dataset.indices(split)
    if not len(rows):
        there = ", ".join(name for name in SPLITS if len(dataset.indices(name)))
        raise ValueError(
            f"data set {dataset.name!r} has no sketches in split {split!r}, only in {there or 'none'}. The official "
            "test part of a published data set is there when the folder given as --root holds it"
        )
    return rows


def _columns(dataset: SketchDataset, split: str, photo_ids: NDArray[np.str_]) -> NDArray[np.int64]:
    place = {photo: column for column, photo in enumerate(dataset.gallery(split).tolist())}
    return np.array([place[photo] for photo in photo_ids.tolist()])


def _gallery_images(dataset: SketchDataset, split: str) -> NDArray[np.uint8]:
    return np.stack([dataset.photo(photo) for photo in dataset.gallery(split).tolist()])


def _watched(canvases: Sequence[int], title: str, progress: bool) -> Iterator[int]:
    from rich.console import Console
    from rich.progress import track

    yield from track(canvases, title, console=Console(stderr=True), disable=not progress)


def _training_of(card: dict[str, Any]) -> dict[str, Any]:
    """The card's fields on the training run, without the path of the data set."""
    told = {key: card[key] for key in _OF_TRAINING if key in card}
    if "recipe" in told:
        told["recipe"] = {key: value for key, value in told["recipe"].items() if key != "root"}
    return told


def _teacher_of(card: dict[str, Any]) -> Teacher | None:
    """The teacher on a student's card.

    Its card says so under "teacher"; one trained directly has None there.
    """
    return None if card.get("teacher") is None else _teacher_from(card["teacher"])


def _teacher_from(value: Any) -> Teacher:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value["name"]:
        raise ValueError(f"teacher must be an object with a name, got {value!r}")
    digest = value.get("sha256")
    if digest is not None and not isinstance(digest, str):
        raise ValueError(f"teacher's sha256 must be text or null, got {digest!r}")
    return Teacher(value["name"], digest)


def _hardware(embedder: Embedder) -> dict[str, Any]:
    device = getattr(embedder, "device", torch.device("cpu"))
    return {
        **{key: value for key, value in machine().items() if key != "versions"},
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
    }


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _lines(values: dict[str, Any], indent: str = "") -> str:
    """JSON with one field a line, without spaces inside; the canvases of `ranks` get a line each."""
    lines = []
    for key, value in values.items():
        nested = key == "ranks" and not indent
        text = _lines(value, " ") if nested else json.dumps(value, separators=(",", ":"), allow_nan=False)
        lines.append(f'{indent} "{key}": {text}')
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
