"""The paper's table of students, from stored rows.

Runs that differ in their seed only are one line: the mean over seeds. Intervals are 95 % percentile intervals of a
bootstrap over photos (all sketches of a photo together) and, where there are several seeds, over seeds as well: each
resample draws photos and, for every line on its own, seeds. Seeds drawn from three are less spread than seeds are, by
about a third in variance, so with few seeds the seeds' part of an interval is too narrow. With one seed an interval is
that of the one trained network. All lines of a section see the same resamples of photos: differences are paired.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.evaluation import bootstrap
from agents.evaluation.bootstrap import FloatArray, Interval
from agents.evaluation.evaluate import jsonable
from agents.experiments.results import made_on
from agents.experiments.stored import MAX_RESULT_BYTES
from sketchcanvas_env.storage.files import read_json
from students.tables.evaluation import ROLES, StudentRow

SMALL, LARGE = 64, 256
"""What a student loses on a small canvas is the difference between these two, pixels."""
COMPARE_RESULTS = Path(__file__).parents[1] / "results"
"""Stored results of `sketchcanvas compare`: <name>/result.json."""


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
    """One network with all its seeds: its description, and a score for each canvas side.

    `losses` names the training losses, as `losses_of`.
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
        values: dict[str, Any] = jsonable(asdict(self))
        return values


@dataclass(frozen=True)
class SelectorLine:
    """A student behind a selector that picks the canvas, from a stored result of `sketchcanvas compare`.

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
    """acc@1 of one line minus that of another, value and 95 % interval, by canvas (or pair of canvases)."""

    what: str
    values: dict[str, tuple[float, Interval]]


@dataclass(frozen=True)
class Section:
    """All lines of one split of one data set; `notes` say what was left out and why."""

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
        values: dict[str, Any] = jsonable(asdict(self))
        return values


def build(
    rows: dict[Path, StudentRow],
    compare_results: Path = COMPARE_RESULTS,
    resamples: int = bootstrap.RESAMPLES,
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
    """Training losses, such as "contrastive + mimic": the task's loss and the terms; "" if unknown."""
    return " + ".join(_losses(row))


def _losses(row: StudentRow) -> list[str]:
    """The task's loss, then the terms of distillation."""
    recipe = row.training.get("recipe")
    if not isinstance(recipe, dict) or "loss" not in recipe:
        return []
    # Terms have no effect without a teacher.
    terms = sorted(recipe.get("terms", {})) if row.role == "distilled" else []
    return list(map(str, [recipe["loss"], *terms]))


def _canvases(group: _Group) -> tuple[int, ...]:
    return tuple(side for side in group[0].canvases if all(side in row.ranks for row in group))


def _samples(group: _Group, resamples: int) -> dict[int, FloatArray]:
    """acc@1 in bootstrap resamples of photos and of the group's seeds, by canvas, (R,) each."""
    sides, n_seeds = _canvases(group), len(group)
    right = np.column_stack([row.right(side) for row in group for side in sides])
    means = bootstrap.resampled_means(right, np.array(group[0].photo_ids), resamples)
    means = means.reshape(resamples, n_seeds, len(sides))
    # Seeded by the group's name: the same draws for each canvas, independent of other lines.
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
                interval=bootstrap.interval(samples[side]),
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
        provenance=tuple(origin_of(row) for group in groups for row in group),
    )


def origin_of(row: StudentRow) -> dict[str, Any]:
    """The origin of a row: weights, commits, versions, machine and command."""
    kept = ("name", "role", "seed", "weights_sha256", "commit", "versions", "hardware", "command", "date", "training")
    return {
        **{field: getattr(row, field) for field in kept},
        "teacher": None if row.teacher is None else asdict(row.teacher),
    }


def line_of(row: StudentRow, resamples: int = bootstrap.RESAMPLES) -> Line:
    """The line of a single row, with bootstrap intervals over photos."""
    return _line((row,), _samples((row,), resamples))


# ---- differences


def _differences(
    groups: list[_Group], lines: list[Line], samples: list[dict[int, FloatArray]]
) -> tuple[list[Difference], list[str]]:
    """What is compared, and what could not be.

    Every network minus the baseline that learns nothing; a student's small canvas minus its large one; a distilled
    student minus those trained directly and minus its teacher.
    """
    found, notes = [], []

    def minus(mine: int, other: int) -> Difference:
        values = {
            f"{side} px": (
                lines[mine].scores[side].acc1 - lines[other].scores[side].acc1,
                bootstrap.interval(samples[mine][side] - samples[other][side]),
            )
            for side in samples[mine]
            if side in samples[other]
        }
        return Difference(f"{_title(groups[mine])} minus {_title(groups[other])}", values)

    baselines = [i for i, group in enumerate(groups) if group[0].role == "baseline"]
    for mine, group in enumerate(groups):
        row = group[0]
        if row.role == "baseline":
            continue
        found += [minus(mine, other) for other in baselines]
        own, scores = samples[mine], lines[mine].scores
        if row.role != "teacher" and SMALL in own and LARGE in own:
            value = scores[SMALL].acc1 - scores[LARGE].acc1, bootstrap.interval(own[SMALL] - own[LARGE])
            found.append(Difference(_title(group), {f"{SMALL} px minus {LARGE} px": value}))
        if row.role != "distilled":
            continue
        for role, fits in (("direct", _is_rival), ("teacher", _taught)):
            others = [i for i, other in enumerate(groups) if other[0].role == role and fits(other, group)]
            if not others:
                lacking = _no_teacher(groups, group) if role == "teacher" else _no_rival(row)
                notes.append(f"{_title(group)}: not compared with {role}, {lacking}.")
            found += [minus(mine, other) for other in others]
    return found, notes


def _is_rival(other: _Group, group: _Group) -> bool:
    """Whether both are the same network, trained for as many steps by the same loss of the task."""
    mine, theirs = ((row.backbone, row.dim, row.steps, _losses(row)[:1]) for row in (group[0], other[0]))
    return mine == theirs


def _taught(other: _Group, group: _Group) -> bool:
    """Whether `other` is the teacher of `group`, by the weights' hash or, where it is unknown, by name."""
    teachers = [row.teacher for row in group if row.teacher is not None]
    hashes = {row.weights_sha256 for row in other}
    return all(t.sha256 in hashes if t.sha256 is not None else t.name == other[0].name for t in teachers)


def _no_rival(row: StudentRow) -> str:
    told = f"{row.steps} steps by the same loss" if _losses(row) else f"{row.steps} steps"
    return f"there is no row of {row.backbone} trained directly for {told}"


def _no_teacher(groups: list[_Group], group: _Group) -> str:
    """Why there is no teacher to compare with, and how to make its row."""
    name = "" if group[0].teacher is None else group[0].teacher.name
    if any(other[0].role == "direct" and _taught(other, group) for other in groups):
        return (
            f"the row of the teacher {name} has the role 'direct': make it again with 'sketchcanvas evaluate --role "
            "teacher'"
        )
    return (
        f"there is no row of the teacher {name}: 'sketchcanvas evaluate --student WEIGHTS --role teacher --out ROW' "
        "makes it"
    )


# ---- selectors


def _selectors(groups: list[_Group], folder: Path) -> tuple[list[SelectorLine], list[str]]:
    """Selectors of stored comparisons on the outcomes of a student of this section; and notes on those left out."""
    first = groups[0][0]
    students = {row.weights_sha256: row for group in groups for row in group if row.role in ("distilled", "direct")}
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
                    "rows here."
                )
                continue
            # The selector chosen on val; results without one show all agents.
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


def _title(group: _Group) -> str:
    """The group's name in differences, with steps, losses and teacher."""
    row = group[0]
    told = [f"{row.steps:,} steps"] if row.steps is not None else []
    told += [losses] if (losses := losses_of(row)) else []
    told += [f"taught by {row.teacher.name}"] if row.teacher is not None else []
    return f"{row.name}, {row.role}" + (f" ({', '.join(told)})" if told else "")
