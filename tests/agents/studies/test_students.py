"""The paper's table: means, intervals and paired differences by hand, and notes on what is left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.evaluation import bootstrap
from agents.reports import saving, tables
from agents.reports import students as shown
from agents.studies import pilot as pilot_study
from agents.studies.pilot import pilot
from agents.studies.students import build, line_of
from students.network.config import Head, StudentConfig
from students.network.embedder import Student
from students.tables.evaluation import StudentRow, Teacher, photo_ranks_of
from tests.helpers import toy_dataset

PHOTOS, EACH, SIDES = 20, 3, (32, 64, 256)
R = 400
TEACHER, STUDENT = "a" * 64, "b" * 64


def row(seed: int | None = 0, shift: float = 0.0, **changes: Any) -> StudentRow:
    """A row of a network trained directly; hits depend on the photo, and `shift` adds some."""
    easy = np.random.default_rng(3).uniform(0, 1, PHOTOS).repeat(EACH)
    draw = np.random.default_rng([seed or 0, 9]).uniform(0, 1, (len(SIDES), PHOTOS * EACH))
    right = draw < easy[None] + shift + 0.1 * np.arange(len(SIDES))[:, None]
    ranks = np.where(right, 1, 2 + (draw * 15).astype(int))
    values: dict[str, Any] = {
        "name": "small",
        "role": "direct",
        "backbone": "mobilenet_v2",
        "dataset": "toy",
        "dataset_hash": "1" * 64,
        "split": "test",
        "gallery": 20,
        "seed": seed,
        "steps": 100,
        "params": 2_000_000,
        "dim": 64,
        "gflops": {32: 0.01, 64: 0.05, 256: 0.8},
        "ranks": {side: tuple(ranks[k].tolist()) for k, side in enumerate(SIDES)},
        "sketch_ids": tuple(f"p{i}/{k}" for i in range(PHOTOS) for k in range(EACH)),
        "photo_ids": tuple(f"p{i}" for i in range(PHOTOS) for _ in range(EACH)),
        "weights_sha256": "c" * 64,
        "teacher": None,
        "training": {"commit": "abc"},
        "commit": "def",
        "versions": {"torch": "2"},
        "hardware": {"cpu": "a processor", "gpu": None, "threads": 1},
        "command": "sketchcanvas evaluate --student small",
        "date": "2026-01-01T00:00:00+00:00",
    }
    return StudentRow(**{**values, **changes})


def taught(seed: int = 0, shift: float = 0.2, **changes: Any) -> StudentRow:
    return row(seed, shift, **{"role": "distilled", "teacher": Teacher("big", TEACHER), **changes})


def teacher(**changes: Any) -> StudentRow:
    return row(0, 0.3, **{"role": "teacher", "name": "big", "backbone": "vgg16", "weights_sha256": TEACHER, **changes})


def files(*rows: StudentRow) -> dict[Path, StudentRow]:
    return {Path(f"{index}.json"): one for index, one in enumerate(rows)}


def nothing(folder: Path) -> Path:
    return folder / "no-results"


def test_lines_by_hand(tmp_path: Path) -> None:
    directs = [row(seed) for seed in (2, 0, 1)]
    hog = row(None, -0.3, role="baseline", name="hog", backbone="hog", steps=None, params=0, weights_sha256=None)
    section = build(files(*directs, taught(), teacher(), hog), nothing(tmp_path), R).sections[0]
    assert [line.role for line in section.lines] == ["baseline", "teacher", "direct", "distilled"]
    line = section.lines[2]
    assert line.seeds == (0, 1, 2)
    for side in SIDES:
        shares = [float(np.mean([rank == 1 for rank in row(seed).ranks[side]])) for seed in range(3)]
        assert line.scores[side].by_seed == pytest.approx(shares)
        assert line.scores[side].acc1 == pytest.approx(sum(shares) / 3)
        deep = [float(np.mean([rank <= 5 for rank in one.ranks[side]])) for one in directs]
        assert line.scores[side].acc5 == pytest.approx(sum(deep) / 3)
    assert (section.sketches, section.photos, section.gallery) == (60, 20, 20)
    # A single seed's interval is the plain bootstrap over photos.
    right = np.array([[rank == 1 for rank in teacher().ranks[256]]]).T
    expected = bootstrap.interval(bootstrap.resampled_means(right, teacher().photo_ids, R)[:, 0])
    assert section.lines[1].scores[256].interval == expected
    assert line_of(teacher(), R).scores[256].interval == expected
    text = saving.report_of(build(files(*directs, hog), nothing(tmp_path), R)).markdown
    low, high = line.scores[256].interval
    assert (
        f"| small | 3 | 100 | - | 256 | 2.00 M | 0.8000 | {100 * line.scores[256].acc1:.1f} [{100 * low:.1f}, " in text
    )
    assert f"{100 * high:.1f}] |" in text
    assert "| no learning | hog | - | - | - | 256 | - |" in text


def test_students_of_other_losses_are_other_students(tmp_path: Path) -> None:
    def by(loss: str, *terms: str) -> dict[str, Any]:
        return {"recipe": {"loss": loss, "terms": dict.fromkeys(terms, 1.0)}}

    rows = files(
        # Terms of a recipe have no effect without a teacher.
        *(row(seed, training=by("contrastive", "mimic")) for seed in (0, 1)),
        row(training=by("triplet")),
        taught(training=by("contrastive", "mimic")),
        taught(training=by("triplet", "relational_triplet")),
        teacher(),
    )
    section = build(rows, nothing(tmp_path), R).sections[0]
    assert [(line.role, line.losses, len(line.seeds)) for line in section.lines] == [
        ("teacher", "", 1),
        ("direct", "contrastive", 2),
        ("direct", "triplet", 1),
        ("distilled", "contrastive + mimic", 1),
        ("distilled", "triplet + relational_triplet", 1),
    ]
    assert [cells[4] for cells in shown.headline_table(section).rows] == [one.losses or "-" for one in section.lines]
    told = [one.what for one in section.differences if "minus small" in one.what]
    assert told == [
        "small, distilled (100 steps, contrastive + mimic, taught by big) minus small, direct (100 steps, contrastive)",
        "small, distilled (100 steps, triplet + relational_triplet, taught by big) minus small, direct (100 steps, "
        "triplet)",
    ]


def test_an_interval_covers_the_seeds() -> None:
    """One seed is always right and the other never, so the mean does not vary over photos, only over seeds."""
    good = row(0, ranks={256: (1,) * 60}, gflops={256: 0.8})
    bad = row(1, ranks={256: (2,) * 60}, gflops={256: 0.8})
    score = build(files(good, bad), Path("nowhere"), R).sections[0].lines[0].scores[256]
    assert score.acc1 == 0.5
    assert score.interval == (0.0, 1.0)


def test_differences_are_paired(tmp_path: Path) -> None:
    # The same hits: the paired difference has no spread.
    section = build(files(row(), taught(0, 0.0), teacher()), nothing(tmp_path), R).sections[0]
    by_what = {one.what: one.values for one in section.differences}
    mine = "small, distilled (100 steps, taught by big)"
    other = "small, direct (100 steps)"
    assert set(by_what) == {f"{mine} minus {other}", f"{mine} minus big, teacher (100 steps)", mine, other}
    for value, interval in by_what[f"{mine} minus small, direct (100 steps)"].values():
        assert (value, interval) == (0.0, (0.0, 0.0))
    assert section.lines[0].scores[256].interval != (0.0, 0.0)
    # By hand, with one seed each.
    ours, theirs = (np.array(one.ranks[64]) == 1 for one in (taught(0, 0.0), teacher()))
    difference = (ours.astype(float) - theirs)[:, None]
    value, interval = by_what[f"{mine} minus big, teacher (100 steps)"]["64 px"]
    assert value == pytest.approx(difference.mean())
    expected = bootstrap.interval(bootstrap.resampled_means(difference, row().photo_ids, R)[:, 0])
    assert interval == pytest.approx(expected)
    ours = {side: np.array(taught(0, 0.0).ranks[side]) == 1 for side in SIDES}
    value, interval = by_what[mine]["64 px minus 256 px"]
    assert value == pytest.approx(ours[64].mean() - ours[256].mean())
    change = (ours[64].astype(float) - ours[256])[:, None]
    assert interval == pytest.approx(bootstrap.interval(bootstrap.resampled_means(change, row().photo_ids, R)[:, 0]))


def test_every_network_is_compared_with_the_baseline(tmp_path: Path) -> None:
    hog = row(role="baseline", name="hog", backbone="hog", seed=None, steps=None, params=0)
    section = build(files(hog, row(), taught(), teacher()), nothing(tmp_path), R).sections[0]
    values = {one.what: one.values for one in section.differences if one.what.endswith("minus hog, baseline")}
    assert [what.split(" (")[0] for what in values] == ["big, teacher", "small, direct", "small, distilled"]
    mine = np.array(taught().ranks[64]) == 1
    value, _ = values["small, distilled (100 steps, taught by big) minus hog, baseline"]["64 px"]
    assert value == pytest.approx(mine.mean() - (np.array(hog.ranks[64]) == 1).mean())


def test_distillation_that_helps_is_told(tmp_path: Path) -> None:
    rows = [*(row(seed) for seed in range(3)), *(taught(seed) for seed in range(3))]
    section = build(files(*rows), nothing(tmp_path), R).sections[0]
    [values] = [one.values for one in section.differences if "minus small" in one.what]
    value, (low, high) = values["256 px"]
    assert 0 < low < value < high
    [note] = [note for note in section.notes if "not compared with teacher" in note]
    assert "there is no row of the teacher big: 'sketchcanvas evaluate --student WEIGHTS --role teacher" in note


def test_a_teacher_stored_as_direct_is_noticed(tmp_path: Path) -> None:
    """`evaluate --student TEACHER` without `--role teacher` stores the role "direct"."""
    section = build(files(teacher(role="direct"), taught()), nothing(tmp_path), R).sections[0]
    [note] = [note for note in section.notes if "not compared with teacher" in note]
    assert "the row of the teacher big has the role 'direct'" in note and "--role teacher" in note
    # This does not apply to another network that was trained directly.
    section = build(files(row(), taught()), nothing(tmp_path), R).sections[0]
    assert any("there is no row of the teacher big" in note for note in section.notes)


def test_only_the_same_network_trained_as_long_is_a_rival(tmp_path: Path) -> None:
    for other in (row(steps=90), row(backbone="vgg16"), row(dim=32)):
        section = build(files(other, taught()), nothing(tmp_path), R).sections[0]
        assert not [one.what for one in section.differences if "minus small" in one.what]
        assert any("not compared with direct" in note and "100 steps" in note for note in section.notes)
    # By hash if there is one, else by name.
    unlike = build(files(teacher(weights_sha256="d" * 64), taught()), nothing(tmp_path), R).sections[0]
    assert any("not compared with teacher" in note for note in unlike.notes)
    nameless = taught(teacher=Teacher("big", None))
    named = build(files(teacher(weights_sha256="d" * 64), nameless), nothing(tmp_path), R).sections[0]
    assert any("minus big, teacher" in one.what for one in named.differences)


def compare_result(folder: Path, name: str = "quick", **changes: Any) -> Path:
    made = {"dataset": "toy", "dataset_hash": "1" * 64, "split": "test", "student_hash": STUDENT, **changes}
    score = {"acc1": 0.5, "acc1_interval": [0.4, 0.6], "acc5": 0.7, "acc10": 0.8, "gflops": 0.03}
    rows = [
        {"name": "fixed 32", "kind": "fixed", **score, "seeds": []},
        {"name": "ppo", "kind": "agent", **score, "seeds": [{"acc1": 0.4}, {"acc1": 0.6}]},
    ]
    path = folder / name / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"rows": rows, "provenance": made}))
    return path


def test_of_many_selectors_the_chosen_one_is_shown(tmp_path: Path) -> None:
    path = compare_result(tmp_path)
    stored = json.loads(path.read_text())
    stored["rows"].append({**stored["rows"][1], "name": "chosen on val (ppo, seed 1)", "kind": "chosen", "seeds": []})
    path.write_text(json.dumps(stored))
    (one,) = build(files(taught(weights_sha256=STUDENT)), tmp_path, R).sections[0].selectors
    assert (one.selector, one.score.by_seed) == ("chosen on val (ppo, seed 1)", (0.5,))


def test_selectors_of_the_same_student(tmp_path: Path) -> None:
    compare_result(tmp_path)
    compare_result(tmp_path, "other-split", split="val", student_hash="e" * 64)
    result = build(files(taught(weights_sha256=STUDENT)), tmp_path, R)
    (one,) = result.sections[0].selectors
    assert (one.selector, one.file, one.score.by_seed) == ("ppo", "quick/result.json", (0.4, 0.6))
    assert (
        "| student, distilled, + ppo | small | 2 | - | - | any | 2.00 M | 0.0300 | 50.0 [40.0, 60.0] |"
        in saving.report_of(result).markdown
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"student_hash": "e" * 64}, "another student"), ({"dataset_hash": "2" * 64}, "another data set")],
)
def test_selectors_of_another_student_are_left_out(tmp_path: Path, changes: dict[str, str], told: str) -> None:
    compare_result(tmp_path, **changes)
    result = build(files(taught(weights_sha256=STUDENT)), tmp_path, R)
    assert result.sections[0].selectors == ()
    assert f"Selectors of quick/result.json are left out: made with {told}" in saving.report_of(result).markdown
    # Nor do they belong to the same network trained directly.
    direct = build(files(row(weights_sha256=STUDENT)), tmp_path, R)
    assert direct.sections[0].selectors == ()


def test_damaged_compare_result(tmp_path: Path) -> None:
    path = compare_result(tmp_path)
    path.write_text(json.dumps({"rows": []}))
    with pytest.raises(ValueError, match=r"result.json is no result of 'sketchcanvas compare': KeyError"):
        build(files(taught()), tmp_path, R)


def test_rows_that_do_not_belong_together(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"1.json and 0.json differ in dataset_hash"):
        build(files(row(), row(1, dataset_hash="2" * 64)), nothing(tmp_path), R)
    with pytest.raises(ValueError, match=r"1.json and 0.json are rows of the same run"):
        build(files(row(), row()), nothing(tmp_path), R)
    result = build(files(row(), row(dataset="other"), row(split="val")), nothing(tmp_path), R)
    assert [(one.dataset, one.split) for one in result.sections] == [("other", "test"), ("toy", "test"), ("toy", "val")]


def test_the_same_every_time(tmp_path: Path) -> None:
    rows = [row(), row(1), taught(), taught(1), teacher()]
    first, second = (
        saving.save(build(files(*some), nothing(tmp_path), R), tmp_path / "out") for some in (rows, rows[::-1])
    )
    assert first == second == (tmp_path / "out" / "students.json", tmp_path / "out" / "students.md")
    one = build(files(*rows), nothing(tmp_path), R)
    assert one.to_json() == build(files(*rows[::-1]), nothing(tmp_path), R).to_json()
    stored = json.loads(first[0].read_text())
    assert stored == json.loads(json.dumps(one.to_json()))
    section = stored["sections"][0]
    assert section["lines"][1]["scores"]["64"]["acc1"] == one.sections[0].lines[1].scores[64].acc1
    assert [origin["seed"] for origin in section["provenance"]] == [0, 0, 1, 0, 1]
    text = first[1].read_text()
    assert text == saving.report_of(one).markdown
    assert (
        "* small, direct, seed 1: weights cccccccccccc, trained at commit abc; evaluated 2026-01-01 at commit def"
        in text
    )


def test_canvases_that_a_row_lacks(tmp_path: Path) -> None:
    few = row(ranks={32: row().ranks[32]}, gflops={32: 0.01})
    section = build(files(few, taught()), nothing(tmp_path), R).sections[0]
    [values] = [one.values for one in section.differences if "minus small" in one.what]
    assert set(values) == {"32 px"}
    assert shown.headline_table(section).rows[0][5] == "32"
    assert shown.canvas_table(section).rows[0][5:] == ("-", "-", "-")


def test_pilot(tmp_path: Path) -> None:
    dataset = toy_dataset()
    student = Student(StudentConfig(heads=(Head(8, 2, 4, 1.0),), canvases=(16, 32, 48), photo_side=32)).eval()
    card = {"config": {"backbone": "mobilenet_v2"}, "recipe": {}}
    student.weights_hash = "f" * 64
    result = pilot(student, dataset, "test", (16, 32), card=card, resamples=R)
    assert [curve.queries for curve in result.curves] == [
        "sketches",
        *(f"sketches, level {level}" for level in range(3)),
        "photos",
    ]
    assert [curve.n for curve in result.curves] == [36, 12, 12, 12, 12]
    level = dataset.level[dataset.indices("test")]
    right = np.column_stack([result.row.right(16), result.row.right(32)])
    for curve, kept in zip(result.curves, [level >= 0, *(level == one for one in range(3))], strict=False):
        assert curve.acc1[16][0] == curve.right_small[0] == pytest.approx(right[kept, 0].mean())
        both = right[kept].all(axis=1).sum()
        of_large = both / right[kept, 1].sum() if right[kept, 1].any() else np.nan
        assert curve.right_small_of_large[0] == pytest.approx(of_large, nan_ok=True)
    photos = photo_ranks_of(student, dataset, "test", (16, 32))
    assert result.curves[-1].acc1[16][0] == pytest.approx((photos[:, 0] == 1).mean())
    assert result.photo_ranks[32] == tuple(photos[:, 1].tolist())
    as_json, as_text, as_picture = saving.save(result, tmp_path)
    assert json.loads(as_json.read_text())["curves"][0]["acc1"]["16"][0] == result.curves[0].acc1[16][0]
    assert as_text.read_text() == saving.report_of(result).markdown
    assert "| sketches, level 2 | 12 |" in as_text.read_text()
    from PIL import Image

    picture = np.asarray(Image.open(as_picture).convert("RGB"))
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 50


def test_shares_of_no_queries_are_nan() -> None:
    right = np.array([[False, True], [False, False], [True, False]])
    curve = pilot_study._curve("sketches", right, np.arange(3), (32, 64), R)
    assert curve.right_small_of_large[0] == 0.0
    never = pilot_study._curve("sketches", np.zeros((3, 2), dtype=bool), np.arange(3), (32, 64), R)
    assert np.isnan(never.right_small_of_large[0])
    assert tables.percent_text(*never.right_small_of_large) == "-"


def test_one_level_is_no_level(tmp_path: Path) -> None:
    dataset = toy_dataset()
    dataset = replace(dataset, level=np.zeros_like(dataset.level))
    student = Student(StudentConfig(heads=(Head(8, 2, 4, 1.0),), canvases=(16,), photo_side=16)).eval()
    student.weights_hash = "f" * 64
    result = pilot(student, dataset, "val", card={"config": {"backbone": "mobilenet_v2"}}, resamples=R)
    assert [curve.queries for curve in result.curves] == ["sketches", "photos"]
