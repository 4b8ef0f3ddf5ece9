"""Tables of students: the paper's table from stored rows, and the pilot study of accuracy against canvas size.

Runs that differ in their seed only are one line: the mean over seeds. Intervals are 95 % percentile intervals of a
bootstrap over photos (all sketches of a photo together) and, where there are several seeds, over seeds as well: each
resample draws photos and, for every line on its own, seeds. Seeds drawn from three are less spread than seeds are, by
about a third in variance, so with few seeds the seeds' part of an interval is too narrow. With one seed an interval is
that of the one trained network. All lines of a section see the same resamples of photos: differences are paired.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.evaluation import statistics
from agents.evaluation.statistics import FloatArray, Interval
from agents.experiments.compare import MAX_RESULT_BYTES, made_on
from agents.reports import tables as report
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.storage.files import read_json, write_json, write_text
from students.network.embedder import Student
from students.tables.evaluation import ROLES, StudentRow, evaluate_student, photo_ranks_of

HEADLINE = 256
"""Canvas of the first table, pixels: what the paper reports."""
SHOWN = (32, 64, 128, 256)
"""Canvases of the second table; the others are in the JSON."""
SMALL, LARGE = 64, 256
"""How much a distilled student loses on a small canvas is asked of these two."""
COMPARE_RESULTS = Path(__file__).parents[1] / "results"
"""Stored results of `sketchcanvas compare`: <name>/result.json."""

TITLES = {
    "baseline": "no learning",
    "teacher": "teacher",
    "direct": "student, trained directly",
    "distilled": "student, distilled",
}


@dataclass(frozen=True)
class Score:
    """One line at one canvas: means over seeds, shares in [0, 1].

    Attributes:
        gflops: 10^9 FLOPs (2 x MAC) per query.
        acc1: share of sketches whose true photo comes first.
        interval: 95 % interval of it.
        acc5: share with the true photo among the first five.
        acc10: share with it among the first ten.
        by_seed: acc@1 of each seed.
    """

    gflops: float
    acc1: float
    interval: Interval
    acc5: float
    acc10: float
    by_seed: tuple[float, ...]


@dataclass(frozen=True)
class Line:
    """One network, all its seeds: what it is, and a score for each canvas side.

    `losses` are those that it was trained by, as `losses_of` has them.
    """

    role: str
    name: str
    backbone: str
    seeds: tuple[int | None, ...]
    steps: int | None
    losses: str
    teacher: str | None
    params: int
    dim: int
    scores: dict[int, Score]

    def to_json(self) -> dict[str, Any]:
        """The line as JSON-able values."""
        values: dict[str, Any] = _jsonable(asdict(self))
        return values


@dataclass(frozen=True)
class SelectorLine:
    """A distilled student behind a selector that picks the canvas, from a stored result of `sketchcanvas compare`.

    Attributes:
        selector: name of the algorithm.
        name: the student's name.
        params: the student's parameters, the selector's not counted.
        score: mean over the selector's seeds; GFLOPs include the selector; the interval is over photos alone.
        file: the result, relative to the folder of results.
    """

    selector: str
    name: str
    params: int
    score: Score
    file: str


@dataclass(frozen=True)
class Difference:
    """acc@1 of one line minus that of another, by what is compared (a canvas, or two): value and 95 % interval."""

    what: str
    values: dict[str, tuple[float, Interval]]


@dataclass(frozen=True)
class Section:
    """All lines of one split of one data set; `notes` say what is left out and why."""

    dataset: str
    dataset_hash: str
    split: str
    sketches: int
    photos: int
    gallery: int
    lines: tuple[Line, ...]
    selectors: tuple[SelectorLine, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    provenance: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class StudentReport:
    """The whole report; `resamples` and `seed` are the bootstrap's."""

    sections: tuple[Section, ...]
    resamples: int
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """The report as JSON-able values."""
        values: dict[str, Any] = _jsonable(asdict(self))
        return values

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Write students.json and students.md into a folder, each atomically."""
        return _save(folder, "students", self.to_json(), markdown(self))


def build(
    rows: dict[Path, StudentRow],
    compare_results: Path = COMPARE_RESULTS,
    resamples: int = statistics.RESAMPLES,
) -> StudentReport:
    """The report on stored rows: a section for each split of each data set.

    Args:
        rows: rows by file (`students.tables.evaluation.read_rows`); the files are named in errors only.
        compare_results: folder with results of `sketchcanvas compare`, one folder each.
        resamples: of the bootstrap.

    Raises:
        ValueError: rows of one split made on different data, two rows of one seed, a damaged compare result.
    """
    places = sorted({(row.dataset, row.split) for row in rows.values()})
    sections = []
    for dataset, split in places:
        own = {file: row for file, row in rows.items() if (row.dataset, row.split) == (dataset, split)}
        _check_same_data(own)
        sections.append(_section(_groups(own), compare_results, resamples))
    return StudentReport(tuple(sections), resamples)


# ---- lines


_Group = tuple[StudentRow, ...]
"""Rows that differ in their seed only, by rising seed."""


def _check_same_data(rows: dict[Path, StudentRow]) -> None:
    files = list(rows)
    for file in files[1:]:
        for field in ("dataset_hash", "gallery", "sketch_ids", "photo_ids"):
            if getattr(rows[file], field) != getattr(rows[files[0]], field):
                raise ValueError(
                    f"{file} and {files[0]} differ in {field}: both are {rows[file].dataset} {rows[file].split}, but "
                    "made on different data. Evaluate the older one again"
                )


def _groups(rows: dict[Path, StudentRow]) -> list[_Group]:
    found: dict[tuple[Any, ...], dict[int | None, tuple[Path, StudentRow]]] = {}
    for file, row in rows.items():
        teacher = "" if row.teacher is None else row.teacher.name
        what = (row.name, row.backbone, row.steps or 0, losses_of(row), teacher, row.params, row.dim)
        key = (ROLES.index(row.role), *what)
        seeds = found.setdefault(key, {})
        if row.seed in seeds:
            raise ValueError(f"{file} and {seeds[row.seed][0]} are rows of the same run: same name, role and seed")
        seeds[row.seed] = (file, row)
    return [
        tuple(row for _, row in sorted(found[key].values(), key=lambda one: one[1].seed or 0)) for key in sorted(found)
    ]


def losses_of(row: StudentRow) -> str:
    """Losses that a student was trained by, "contrastive + mimic": the task's and the terms; "" where nobody says."""
    return " + ".join(_losses(row))


def _losses(row: StudentRow) -> list[str]:
    """The task's loss, then the terms."""
    recipe = row.training.get("recipe")
    if not isinstance(recipe, dict) or "loss" not in recipe:
        return []
    # Without a teacher a recipe's terms are idle.
    terms = sorted(recipe.get("terms", {})) if row.role == "distilled" else []
    return list(map(str, [recipe["loss"], *terms]))


def _canvases(group: _Group) -> tuple[int, ...]:
    return tuple(side for side in group[0].canvases if all(side in row.ranks for row in group))


def _samples(group: _Group, resamples: int) -> dict[int, FloatArray]:
    """acc@1 in bootstrap resamples of photos and of the group's seeds, by canvas, (R,) each."""
    sides, n_seeds = _canvases(group), len(group)
    right = np.column_stack([row.right(side) for row in group for side in sides])
    means = statistics.resampled_means(right, np.array(group[0].photo_ids), resamples)
    means = means.reshape(resamples, n_seeds, len(sides))
    # Seeded by the group's name: a line's seeds are drawn alike for each canvas, and apart from other lines' seeds.
    generator = np.random.default_rng(zlib.crc32(_title(group).encode()))
    drawn = generator.integers(0, n_seeds, (resamples, n_seeds, 1))
    averaged = np.take_along_axis(means, drawn, axis=1).mean(axis=1)
    return dict(zip(sides, averaged.T, strict=True))


def _line(group: _Group, samples: dict[int, FloatArray]) -> Line:
    first = group[0]

    def acc(side: int, k: int) -> tuple[float, ...]:
        return tuple(float(row.right(side, k).mean()) for row in group)

    return Line(
        role=first.role,
        name=first.name,
        backbone=first.backbone,
        seeds=tuple(row.seed for row in group),
        steps=first.steps,
        losses=losses_of(first),
        teacher=None if first.teacher is None else first.teacher.name,
        params=first.params,
        dim=first.dim,
        scores={
            side: Score(
                gflops=first.gflops[side],
                acc1=float(np.mean(acc(side, 1))),
                interval=statistics.interval(samples[side]),
                acc5=float(np.mean(acc(side, 5))),
                acc10=float(np.mean(acc(side, 10))),
                by_seed=acc(side, 1),
            )
            for side in samples
        },
    )


def _section(groups: list[_Group], compare_results: Path, resamples: int) -> Section:
    first = groups[0][0]
    samples = [_samples(group, resamples) for group in groups]
    lines = [_line(group, drawn) for group, drawn in zip(groups, samples, strict=True)]
    differences, notes = _differences(groups, lines, samples)
    selectors, left_out = _selectors(groups, compare_results)
    return Section(
        dataset=first.dataset,
        dataset_hash=first.dataset_hash,
        split=first.split,
        sketches=len(first.sketch_ids),
        photos=len(set(first.photo_ids)),
        gallery=first.gallery,
        lines=tuple(lines),
        selectors=tuple(selectors),
        differences=tuple(differences),
        notes=(*notes, *left_out),
        provenance=tuple(_provenance(row) for group in groups for row in group),
    )


def _provenance(row: StudentRow) -> dict[str, Any]:
    kept = ("name", "role", "seed", "weights_sha256", "commit", "versions", "hardware", "command", "date", "training")
    return {
        **{field: getattr(row, field) for field in kept},
        "teacher": None if row.teacher is None else asdict(row.teacher),
    }


def line_of(row: StudentRow, resamples: int = statistics.RESAMPLES) -> Line:
    """One row by itself, with bootstrap intervals over photos."""
    return _line((row,), _samples((row,), resamples))


# ---- differences


def _differences(
    groups: list[_Group], lines: list[Line], samples: list[dict[int, FloatArray]]
) -> tuple[list[Difference], list[str]]:
    """Distilled minus direct, distilled minus teacher, small minus large canvas; and what could not be compared."""
    found, notes = [], []
    for mine, group in enumerate(groups):
        row = group[0]
        if row.role != "distilled":
            continue
        title = _title(group)
        for role, fits in (("direct", _is_rival), ("teacher", _taught)):
            others = [i for i, other in enumerate(groups) if other[0].role == role and fits(other, group)]
            if not others:
                lacking = _no_teacher(groups, group) if role == "teacher" else _no_rival(row)
                notes.append(f"{title}: not compared with {role}, {lacking}.")
            for other in others:
                values = {
                    f"{side} px": (
                        lines[mine].scores[side].acc1 - lines[other].scores[side].acc1,
                        statistics.interval(samples[mine][side] - samples[other][side]),
                    )
                    for side in samples[mine]
                    if side in samples[other]
                }
                found.append(Difference(f"{title} minus {_title(groups[other])}", values))
        own, scores = samples[mine], lines[mine].scores
        if SMALL in own and LARGE in own:
            value = scores[SMALL].acc1 - scores[LARGE].acc1, statistics.interval(own[SMALL] - own[LARGE])
            found.append(Difference(title, {f"{SMALL} px minus {LARGE} px": value}))
    return found, notes


def _is_rival(other: _Group, group: _Group) -> bool:
    """Is `other` the same network, trained directly by the same loss of the task for as many steps?"""
    mine, theirs = ((row.backbone, row.dim, row.steps, _losses(row)[:1]) for row in (group[0], other[0]))
    return mine == theirs


def _taught(other: _Group, group: _Group) -> bool:
    """Did `other` teach `group`? By the weights' hash where the row knows it, else by name."""
    teachers = [row.teacher for row in group if row.teacher is not None]
    hashes = {row.weights_sha256 for row in other}
    return all(t.sha256 in hashes if t.sha256 is not None else t.name == other[0].name for t in teachers)


def _no_rival(row: StudentRow) -> str:
    told = f"{row.steps} steps by the same loss" if _losses(row) else f"{row.steps} steps"
    return f"there is no row of {row.backbone} trained directly for {told}"


def _no_teacher(groups: list[_Group], group: _Group) -> str:
    """Why there is no teacher to compare with, and how to make its row: a student's card cannot know whom it taught."""
    name = "" if group[0].teacher is None else group[0].teacher.name
    if any(other[0].role == "direct" and _taught(other, group) for other in groups):
        return (
            f"the row of the teacher {name} calls it trained directly: make that row anew with 'sketchcanvas evaluate "
            "--role teacher'"
        )
    return (
        f"there is no row of the teacher {name}: 'sketchcanvas evaluate --student WEIGHTS --role teacher --out ROW' "
        "makes it"
    )


# ---- selectors


def _selectors(groups: list[_Group], folder: Path) -> tuple[list[SelectorLine], list[str]]:
    """Agents of stored comparisons that stand on the outcomes of a distilled student of this section."""
    first = groups[0][0]
    students = {row.weights_sha256: row for group in groups for row in group if row.role == "distilled"}
    found, notes = [], []
    for file in sorted(folder.glob("*/result.json")):
        try:
            result = read_json(file, MAX_RESULT_BYTES)
            made = result["provenance"]
            if (made["dataset"], made["split"]) != (first.dataset, first.split):
                continue
            name = f"{file.parent.name}/{file.name}"
            student = students.get(made["student_hash"])
            if student is None or made["dataset_hash"] != first.dataset_hash:
                what = "student" if student is None else "data set"
                digest = made["student_hash"] if student is None else made["dataset_hash"]
                notes.append(
                    f"Selectors of {name} are left out: made with another {what} (sha256 {digest[:12]}) than the "
                    "distilled rows here."
                )
                continue
            # Of many selectors the one that was chosen among them on val; an old result names none. On val it says so.
            chosen = [row for row in result["rows"] if row["kind"] == "chosen"]
            found += [
                SelectorLine(_named(row, first.split), student.name, student.params, _agent_score(row), name)
                for row in chosen or [row for row in result["rows"] if row["kind"] == "agent"]
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file} is no result of 'sketchcanvas compare': {error!r}") from None
    if students and not found and not notes:
        notes.append("No selector: there is no stored result of 'sketchcanvas compare' on this split.")
    return found, notes


def _named(row: dict[str, Any], split: str) -> str:
    made = made_on(row["kind"], split)
    return f"{row['name']}, {made}" if made else str(row["name"])


def _agent_score(row: dict[str, Any]) -> Score:
    return Score(
        gflops=row["gflops"],
        acc1=row["acc1"],
        interval=Interval(*row["acc1_interval"]),
        acc5=row["acc5"],
        acc10=row["acc10"],
        by_seed=tuple(seed["acc1"] for seed in row["seeds"]) or (row["acc1"],),
    )


# ---- for people


SCORE_COLUMNS = ("canvas", "GFLOPs", "acc@1", "acc@5", "acc@10")


def score_cells(line: Line) -> list[tuple[str, ...]]:
    """One line at each of its canvases, `SCORE_COLUMNS` as text."""
    return [(str(side), *_cost_and_score(line, score)[1:]) for side, score in line.scores.items()]


COLUMNS = ("row", "network", "seeds", "steps", "losses", "canvas", "params", "GFLOPs", "acc@1", "acc@5", "acc@10")


def headline_cells(section: Section) -> list[tuple[str, ...]]:
    """The paper's table, `COLUMNS` as text: every line at 256 px (its largest canvas where it lacks that one)."""
    cells = []
    for line in section.lines:
        side = HEADLINE if HEADLINE in line.scores else max(line.scores)
        seeds = "-" if line.seeds == (None,) else str(len(line.seeds))
        what = (TITLES[line.role], line.name, seeds, *_training(line))
        cells.append((*what, str(side), *_cost_and_score(line, line.scores[side])))
    for one in section.selectors:
        title = f"{TITLES['distilled']}, + {one.selector}"
        cells.append((title, one.name, str(len(one.score.by_seed)), "-", "-", "any", *_cost_and_score(one, one.score)))
    return cells


def canvas_columns() -> tuple[str, ...]:
    """Columns of the table by canvas."""
    return ("row", "network", "steps", "losses", *(f"{side} px" for side in SHOWN))


def canvas_cells(section: Section) -> list[tuple[str, ...]]:
    """Every line at every shown canvas: acc@1 with its interval / acc@5 / acc@10."""
    return [
        (
            TITLES[line.role],
            line.name,
            *_training(line),
            *(
                f"{_share(s.acc1, s.interval)} / {100 * s.acc5:.1f} / {100 * s.acc10:.1f}" if s is not None else "-"
                for s in (line.scores.get(side) for side in SHOWN)
            ),
        )
        for line in section.lines
    ]


def difference_cells(section: Section) -> list[tuple[str, ...]]:
    """Differences in points of acc@1 with their intervals: (what, where, points)."""
    shown = {f"{side} px" for side in SHOWN} | {f"{SMALL} px minus {LARGE} px"}
    return [
        (one.what, where, _share(value, interval, signed=True))
        for one in section.differences
        for where, (value, interval) in one.values.items()
        if where in shown
    ]


def place(row: StudentRow) -> str:
    """Data set, split and sizes."""
    return _place(row.dataset, row.split, len(row.sketch_ids), len(set(row.photo_ids)), row.gallery)


def section_title(section: Section) -> str:
    """Data set, split and sizes."""
    return _place(section.dataset, section.split, section.sketches, section.photos, section.gallery)


DIFFERENCE_COLUMNS = ("difference of acc@1", "at", "points")


def markdown(result: StudentReport) -> str:
    """The report as Markdown, without headings, so that it can stand between a README's own."""
    parts = []
    for section in result.sections:
        parts += [f"**{section_title(section)}**", report.markdown(COLUMNS, headline_cells(section))]
        parts += [
            "By canvas, acc@1 / acc@5 / acc@10:",
            report.markdown(canvas_columns(), canvas_cells(section)),
        ]
        if section.differences:
            parts.append(report.markdown(DIFFERENCE_COLUMNS, difference_cells(section)))
        if section.notes:
            parts.append(_bullets(section.notes))
        parts += ["Where these rows come from:", _bullets(_origin(one) for one in section.provenance)]
    parts.append(
        f"Percent and points; GFLOPs are 2 x MAC per query. Several seeds: the mean. Brackets: 95 % intervals, "
        f"{result.resamples:,} bootstrap resamples of photos and, where there are several, of seeds; differences are "
        "paired by sketch."
    )
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _training(line: Line) -> tuple[str, str]:
    return "-" if line.steps is None else f"{line.steps:,}", line.losses or "-"


def _cost_and_score(line: Line | SelectorLine, score: Score) -> tuple[str, ...]:
    return (
        "-" if line.params == 0 else f"{line.params / 1e6:.2f} M",
        f"{score.gflops:.4f}",
        _share(score.acc1, score.interval),
        f"{100 * score.acc5:.1f}",
        f"{100 * score.acc10:.1f}",
    )


def _title(group: _Group) -> str:
    """What a difference calls a group; steps, losses and teacher tell apart groups of one name."""
    row = group[0]
    told = [f"{row.steps:,} steps"] if row.steps is not None else []
    told += [losses] if (losses := losses_of(row)) else []
    told += [f"taught by {row.teacher.name}"] if row.teacher is not None else []
    return f"{row.name}, {row.role}" + (f" ({', '.join(told)})" if told else "")


def _origin(one: dict[str, Any]) -> str:
    hardware, seed = one["hardware"], "" if one["seed"] is None else f", seed {one['seed']}"
    weights = "no weights" if one["weights_sha256"] is None else f"weights {one['weights_sha256'][:12]}"
    trained = one["training"].get("commit")
    versions = ", ".join(f"{name} {version}" for name, version in one["versions"].items())
    machine = f"{hardware.get('gpu') or hardware.get('cpu')}, torch threads: {hardware.get('threads')}"
    return (
        f"{one['name']}, {one['role']}{seed}: {weights}"
        + ("" if trained is None else f", trained at commit {trained}")
        + f"; evaluated {one['date'][:10]} at commit {one['commit']} on {machine}; {versions}"
        + (f"; `{one['command']}`" if one["command"] else "")
    )


# ---- the pilot study


@dataclass(frozen=True)
class Curve:
    """Accuracy of one kind of query against canvas size.

    Attributes:
        queries: what was asked with: "sketches", "sketches, level 2", "photos".
        n: number of queries.
        acc1: by canvas side, share of queries whose true photo comes first, with its 95 % interval over photos.
        right_small: share right at the smallest canvas, with interval.
        right_small_of_large: share right at the smallest among those right at the largest, with interval; nan if none
            is right there.
    """

    queries: str
    n: int
    acc1: dict[int, tuple[float, Interval]]
    right_small: tuple[float, Interval]
    right_small_of_large: tuple[float, Interval]


@dataclass(frozen=True)
class PilotResult:
    """Accuracy of one student against canvas size, for sketches and for photos as queries.

    Attributes:
        row: the sketches' ranks, and where they come from; not part of the JSON but for its origin.
        photo_side: side that the gallery's photos are embedded at, pixels.
        photo_ranks: by canvas side, the rank of every gallery photo that is itself the query; not part of the JSON.
        curves: of all sketches, of each level where there are several, of photos.
    """

    row: StudentRow
    photo_side: int
    photo_ranks: dict[int, tuple[int, ...]]
    curves: tuple[Curve, ...]

    def to_json(self) -> dict[str, Any]:
        """What was asked, the curves, and where they come from, as JSON-able values."""
        row = self.row
        values: dict[str, Any] = _jsonable(
            {
                "dataset": row.dataset,
                "dataset_hash": row.dataset_hash,
                "split": row.split,
                "gallery": row.gallery,
                "photo_side": self.photo_side,
                "curves": [asdict(curve) for curve in self.curves],
                "provenance": _provenance(row),
            }
        )
        return values

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Write pilot.json and pilot.md into a folder, each atomically."""
        return _save(folder, "pilot", self.to_json(), pilot_markdown(self))


def pilot(
    student: Student,
    dataset: SketchDataset,
    split: str,
    canvases: Sequence[int] | None = None,
    *,
    card: dict[str, Any],
    resamples: int = statistics.RESAMPLES,
    command: str = "",
    progress: bool = False,
) -> PilotResult:
    """Ask a student with sketches and with photos at every canvas.

    Args:
        student: frozen.
        dataset: sketches and photos.
        split: which; the photos are all of its gallery.
        canvases: sides, rising; all of the student's when None.
        card: the student's.
        resamples: of the bootstrap.
        command: that makes the study again.
        progress: show progress bars on standard error.

    Raises:
        ValueError: as `students.tables.evaluation.evaluate_student`.
    """
    row = evaluate_student(student, dataset, split, canvases, card=card, command=command, progress=progress)
    photo_ranks = photo_ranks_of(student, dataset, split, row.canvases, progress)
    ranks = np.column_stack([row.ranks[side] for side in row.canvases])
    photos, level = np.array(row.photo_ids), dataset.level[dataset.indices(split)]
    levels = np.unique(level).tolist()

    def curve(queries: str, own_ranks: npt.NDArray[Any], clusters: npt.NDArray[Any]) -> Curve:
        return _curve(queries, own_ranks == 1, clusters, row.canvases, resamples)

    return PilotResult(
        row=row,
        photo_side=student.config.photo_side,
        photo_ranks={side: tuple(photo_ranks[:, k].tolist()) for k, side in enumerate(row.canvases)},
        curves=(
            curve("sketches", ranks, photos),
            *(
                curve(f"sketches, level {one}", ranks[level == one], photos[level == one])
                for one in (levels if len(levels) > 1 else [])
            ),
            curve("photos", photo_ranks, dataset.gallery(split)),
        ),
    )


def _curve(
    queries: str,
    right: npt.NDArray[np.bool_],
    clusters: npt.NDArray[Any],
    canvases: tuple[int, ...],
    resamples: int,
) -> Curve:
    """The curve of (n, K) hits."""
    both = right[:, :1] & right[:, -1:]
    columns = np.column_stack([right, both]).astype(np.float64)
    sampled = statistics.resampled_means(columns, clusters, resamples)
    means = columns.mean(axis=0)
    acc1 = {side: (float(means[k]), statistics.interval(sampled[:, k])) for k, side in enumerate(canvases)}
    of_large = float(_ratio(means[-1], means[-2])), statistics.interval(_ratio(sampled[:, -1], sampled[:, -2]))
    return Curve(queries, len(right), acc1, acc1[canvases[0]], of_large)


def _ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> FloatArray:
    """part / whole; nan where the whole is 0."""
    whole = np.asarray(whole, dtype=np.float64)
    return np.where(whole > 0, np.asarray(part) / np.where(whole > 0, whole, 1.0), np.nan)


def pilot_columns(result: PilotResult) -> tuple[str, ...]:
    """Columns of the pilot study's table."""
    sides = result.row.canvases
    return (
        "queries",
        "n",
        *(f"{side} px" for side in sides),
        f"right at {sides[0]} of those right at {sides[-1]}",
    )


def pilot_cells(result: PilotResult) -> list[tuple[str, ...]]:
    """acc@1 with its interval for each kind of query, `pilot_columns` as text."""
    return [
        (
            curve.queries,
            str(curve.n),
            *(_share(value, interval) for value, interval in curve.acc1.values()),
            _share(*curve.right_small_of_large),
        )
        for curve in result.curves
    ]


def pilot_markdown(result: PilotResult) -> str:
    """The pilot study as Markdown."""
    row, small = result.row, result.row.canvases[0]
    sketches = result.curves[0]
    parts = [
        f"**{row.name} on {row.dataset}, split {row.split}: acc@1 against canvas size, gallery of {row.gallery}**",
        report.markdown(pilot_columns(result), pilot_cells(result)),
        f"At {small} px {_share(*sketches.right_small)} % of the sketches are right already, and "
        f"{_share(*sketches.right_small_of_large)} % of those that are right at {row.canvases[-1]} px. Photos as "
        f"queries: each photo of the gallery, shrunk to the canvas, looks for itself among the gallery at "
        f"{result.photo_side} px (at {result.photo_side} px the two are the same picture); the student was taught to "
        f"read photos at {result.photo_side} px only. Brackets: 95 % bootstrap over photos.",
        _bullets([_origin(_provenance(row))]),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


# ---- parts


def _place(dataset: str, split: str, sketches: int, photos: int, gallery: int) -> str:
    return f"{dataset}, split {split}: {sketches} sketches of {photos} photos, gallery of {gallery}"


def _share(value: float, interval: Interval, signed: bool = False) -> str:
    """A share or a difference of shares in percent, with its interval; "-" where it is undefined."""
    if math.isnan(value):
        return "-"
    form = "+.1f" if signed else ".1f"
    low, high = (100 * bound for bound in interval)
    return f"{100 * value:{form}}" + ("" if math.isnan(low) else f" [{low:{form}}, {high:{form}}]")


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)


def _save(folder: str | Path, name: str, values: dict[str, Any], text: str) -> tuple[Path, Path]:
    as_json, as_text = Path(folder) / f"{name}.json", Path(folder) / f"{name}.md"
    write_json(as_json, values)
    write_text(as_text, text)
    return as_json, as_text


def _jsonable(value: Any) -> Any:
    """JSON has no nan and no numbers as names."""
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
