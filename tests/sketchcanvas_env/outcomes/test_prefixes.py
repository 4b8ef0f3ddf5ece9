"""The table of prefixes: its checks, its file, and its outcome table."""

from __future__ import annotations

import doctest
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchcanvas_env import load_table
from sketchcanvas_env.data import load
from sketchcanvas_env.outcomes import prefixes as module
from sketchcanvas_env.outcomes.finding import available_tables
from sketchcanvas_env.outcomes.prefixes import MAX_STEPS, PrefixTable, drawing_steps, strokes_drawn
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.table_file import TableError
from tests.helpers import toy_dataset, toy_prefixes, toy_sketch, toy_table

ARRAYS = ("canvases", "strokes", "ranks", "triplet", "top", "distances")


@pytest.fixture(scope="module")
def table() -> OutcomeTable:
    return toy_table()


@pytest.fixture(scope="module")
def made(table: OutcomeTable) -> PrefixTable:
    return toy_prefixes(table)


def changed(array: np.ndarray, where: Any, value: Any) -> np.ndarray:
    other = array.copy()
    other[where] = value
    return other


# ---------------------------------------------------------------- steps


@given(st.integers(1, 3000))
def test_steps_are_equal_as_far_as_whole_strokes_allow(n_strokes: int) -> None:
    drawn = strokes_drawn(n_strokes)
    assert len(drawn) == min(MAX_STEPS, n_strokes)
    assert drawn[-1] == n_strokes
    sizes = np.diff(np.append(0, drawn))
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1


def test_steps_are_first_strokes() -> None:
    sketch = toy_sketch(3)
    steps = drawing_steps(sketch)
    assert [each.n_strokes for each in steps] == list(range(1, sketch.n_strokes + 1))
    for each in steps:
        assert all(mine is theirs for mine, theirs in zip(each.strokes, sketch.strokes, strict=False))


def test_rows_shares_and_steps(made: PrefixTable) -> None:
    dataset = toy_dataset()
    rows = np.flatnonzero(dataset.split != "student")
    at = 0
    for i, row in enumerate(rows.tolist()):
        count = dataset.sketch(row).n_strokes
        assert (made.strokes[i], made.steps[i], made.first[i]) == (count, min(count, MAX_STEPS), at)
        for step, drawn in enumerate(strokes_drawn(count)):
            assert made.share[at + step] == drawn / count
        at += int(made.steps[i])
    assert at == len(made.ranks)


# ---------------------------------------------------------------- files


def test_its_repr_is_one_line(made: PrefixTable) -> None:
    assert repr(made).startswith("<PrefixTable beside outcomes ")
    assert f"ranks {made.ranks.shape}" in repr(made)
    assert len(repr(made).splitlines()) == 1


def test_a_file_keeps_everything(made: PrefixTable, tmp_path: Path) -> None:
    path = made.save(tmp_path / "new" / "a.prefixes.npz")
    again = PrefixTable.load(path)
    for name in ARRAYS:
        mine, theirs = getattr(made, name), getattr(again, name)
        assert mine.dtype == theirs.dtype
        assert (mine == theirs).all()
        assert not theirs.flags.writeable
    assert (again.outcomes_hash, again.meta) == (made.outcomes_hash, made.meta)
    assert again.save(tmp_path / "b.npz").read_bytes() == path.read_bytes()


def test_arrays_are_copies(table: OutcomeTable, made: PrefixTable) -> None:
    ranks = made.ranks.copy()
    other = replace(made, ranks=ranks)
    ranks[:] = 1
    assert (other.ranks == made.ranks).all()


def test_a_broken_file_is_named(made: PrefixTable, tmp_path: Path) -> None:
    path = made.save(tmp_path / "a.prefixes.npz")
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(TableError, match=r"a\.prefixes\.npz: not a usable table of prefixes"):
            PrefixTable.load(path)
    np.savez(path, header=np.array("{}"), **{name: getattr(made, name) for name in ARRAYS})
    with pytest.raises(TableError, match="format None"):
        PrefixTable.load(path)
    np.savez(path, header=np.array("{}"), ranks=made.ranks)
    with pytest.raises(TableError, match="missing, unknown or repeated member"):
        PrefixTable.load(path)


def test_a_missing_file_says_how_to_make_it(table: OutcomeTable, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no prefixes at .*students\.tables\.prefixes"):
        PrefixTable.load_beside(table, tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError, match=r"toy-made_up\.prefixes\.npz.*students\.tables\.prefixes"):
        PrefixTable.load_beside(table)


def test_a_file_is_read_once_and_anew_when_it_changes(table: OutcomeTable, made: PrefixTable, tmp_path: Path) -> None:
    path = made.save(tmp_path / "a.npz")
    first = PrefixTable.load_beside(table, path)
    assert PrefixTable.load_beside(table, path) is first
    replace(made, meta={"made_by": "somebody else"}).save(path)
    assert PrefixTable.load_beside(table, path).meta == {"made_by": "somebody else"}


def test_prefixes_are_not_listed_as_tables(made: PrefixTable, table: OutcomeTable, tmp_path: Path) -> None:
    path = table.save(tmp_path / "toy-made_up.npz")
    made.save(PrefixTable.path_beside(path))
    assert available_tables(tmp_path) == {"toy": ["made_up"]}


# ---------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("outcomes_hash", lambda _: "", "outcomes_hash"),
        ("strokes", lambda a: changed(a, 0, 0), "strokes must be"),
        ("strokes", lambda a: changed(a, 0, a[0] + 1), "must have shape"),
        ("strokes", lambda a: a[:0], "strokes must be"),
        ("canvases", lambda a: a[::-1], "rise"),
        ("canvases", lambda a: a[:3], "must have shape"),
        ("ranks", lambda a: changed(a, (0, 0), 0), "ranks must not be below 1"),
        ("ranks", lambda a: a[:-1], "must have shape"),
        ("ranks", lambda a: a.astype(float), "integers"),
        ("triplet", lambda a: changed(a, (3, 1), np.nan), "triplet must be finite"),
        ("triplet", lambda a: changed(a, (3, 1), -0.1), "triplet must be finite"),
        ("distances", lambda a: changed(a, (2, 0, 4), 2.1), "lie in"),
        ("distances", lambda a: changed(a, (2, 0, 4), np.inf), "finite"),
        ("distances", lambda a: changed(a, (2, 0, 0), 1.99), "must not fall"),
        ("top", lambda a: changed(a, (2, 0, 4), -1), "where the gallery has no photo"),
        ("top", lambda a: a[..., :4], "must have shape"),
        ("meta", lambda _: {"x": float("nan")}, "JSON"),
    ],
)  # fmt: skip
def test_invalid_prefixes_are_refused(made: PrefixTable, name: str, change: Any, message: str) -> None:
    with pytest.raises(TableError, match=message):
        replace(made, **{name: change(getattr(made, name))})


def test_prefixes_of_another_table_are_refused(table: OutcomeTable, made: PrefixTable) -> None:
    made.check_against(table)
    with pytest.raises(TableError, match="made for another outcome table"):
        made.check_against(toy_table(seed=1))
    part = table.select("val")
    with pytest.raises(TableError, match=f"prefixes of {len(table)} sketches for a table of {len(part)}"):
        replace(made, outcomes_hash=part.hash).check_against(part)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("canvases", lambda a, whole: changed(a, 0, 8), "no outcomes at canvas 8"),
        ("ranks", lambda a, whole: changed(a, (whole, 0), 3 - (a[whole, 0] == 3)), "the ranks of whole drawings"),
        ("triplet", lambda a, whole: changed(a, (whole, 0), 0.123), "the triplet of whole drawings"),
        ("top", lambda a, whole: changed(a, (whole, 0), a[whole, 0, ::-1]), "the top of whole drawings"),
        ("ranks", lambda a, whole: changed(a, (whole + 1, 0), 13), "size of the split's gallery"),
        ("triplet", lambda a, whole: changed(a, (whole + 1, 0), 2.4), "triplet must not be above"),
        ("top", lambda a, whole: changed(a, (whole + 1, 0, 2), 31), "indices into the table's photos"),
        ("top", lambda a, whole: changed(a, (whole + 1, 0, 2), -2), "where the gallery has no photo"),
        ("ranks", lambda a, whole: changed(a, (slice(whole + 1, whole + 3), slice(None)), 1), "contradict each other"),
    ],
)  # fmt: skip
def test_prefixes_that_contradict_their_table_are_refused(
    table: OutcomeTable, made: PrefixTable, name: str, change: Any, message: str
) -> None:
    # A drawing of several steps whose next one has more than three, so that the row after its last is no whole drawing.
    sketch = next(i for i in range(len(made) - 1) if made.steps[i] > 1 and made.steps[i + 1] > 3)
    whole = int(made.first[sketch] + made.steps[sketch] - 1)
    with pytest.raises(TableError, match=message):
        replace(made, **{name: change(getattr(made, name), whole)}).check_against(table)


# ---------------------------------------------------------------- the shipped file


def test_the_shipped_prefixes_belong_to_the_shipped_table_and_drawings() -> None:
    table, dataset = load_table("emoji"), load("emoji")
    shipped = PrefixTable.load_beside(table)
    assert shipped.canvases.tolist() == [32, 64, 128, 256]
    row_of = {name: row for row, name in enumerate(dataset.sketch_ids.tolist())}
    for i in range(0, len(table), 41):
        assert shipped.strokes[i] == dataset.sketch(row_of[str(table.sketch_ids[i])]).n_strokes
    whole = shipped.first + shipped.steps - 1
    assert (shipped.ranks[whole] == table.ranks[:, table.columns(shipped.canvases.tolist())]).all()


def test_examples_in_the_docstrings() -> None:
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted > 0
