"""Tables of folds, joined: each sketch's outcomes are those of the student that has not seen it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sketchcanvas_env.data import FOLDS, crossfitted, fold
from sketchcanvas_env.outcomes.finding import check_dataset
from sketchcanvas_env.outcomes.looks import LookTable
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.table_file import TableError
from students.tables.crossfit import joined, joined_looks, main
from students.tables.looks import build_looks
from students.tables.tabulate import tabulate
from tests.helpers import Pixels, toy_dataset


class Shifted(Pixels):
    """Another student for every fold."""

    def __init__(self, number: int) -> None:
        self.weights_hash = f"fold {number}"
        self._shift = number

    def embed(self, sketches, canvas, batch_size=64, progress=False):  # type: ignore[no-untyped-def]
        return super().embed(sketches, canvas * (1 + self._shift))


@pytest.fixture
def tables() -> list[OutcomeTable]:
    whole = toy_dataset()
    return [tabulate(Shifted(number), fold(whole, number)) for number in range(FOLDS)]


def test_rows_come_from_the_student_of_their_fold(tables: list[OutcomeTable], tmp_path: Path) -> None:
    whole = toy_dataset()
    turned = crossfitted(whole, 1)
    table = joined(tables, turned)
    check_dataset(table, turned)
    assert len(table) == len(turned) and table.meta["folds"] == ["fold 0", "fold 1", "fold 2"]
    for place, split in enumerate(("train", "val", "test")):
        part, source = table.select(split), tables[(1 + place) % FOLDS]
        where = [source.sketch_ids.tolist().index(name) for name in part.sketch_ids.tolist()]
        assert np.array_equal(part.ranks, source.ranks[where])
        assert np.array_equal(part.triplet, source.triplet[where])
        assert np.array_equal(part.photos[part.top], source.photos[source.top[where]])
        assert part.gallery_size[split] == source.gallery_size["val"]
    assert OutcomeTable.load(table.save(tmp_path / "joined.npz")).hash == table.hash


def test_tables_that_do_not_belong_together(tables: list[OutcomeTable]) -> None:
    turned = crossfitted(toy_dataset(), 0)
    with pytest.raises(TableError, match="once"):
        joined([tables[0], tables[1]], turned)
    with pytest.raises(TableError, match="once"):
        joined([*tables[:2], replace(tables[1], student_hash="fold 2")], turned)
    with pytest.raises(TableError, match="two of the tables are of one student"):
        joined([*tables[:2], replace(tables[2], student_hash="fold 0")], turned)
    with pytest.raises(TableError, match="different networks"):
        joined([replace(tables[0], student="another"), *tables[1:]], turned)


def test_looks_are_joined_like_their_tables(tables: list[OutcomeTable]) -> None:
    whole, turned = toy_dataset(), crossfitted(toy_dataset(), 2)
    looks = [build_looks(Shifted(k), fold(whole, k), table, (16, 32)) for k, table in enumerate(tables)]
    table = joined(tables, turned)
    found = joined_looks(looks, tables, table)
    for row, name in enumerate(table.sketch_ids.tolist()):
        number = next(k for k in range(FOLDS) if name in tables[k].sketch_ids.tolist())
        there = tables[number].sketch_ids.tolist().index(name)
        assert np.array_equal(found.distances[row], looks[number].distances[there])
        assert np.array_equal(found.fused_ranks[row], looks[number].fused_ranks[there])
        assert np.array_equal(found.sureness()[row], looks[number].sureness()[there])
    with pytest.raises(TableError, match="another outcome table"):
        joined_looks(looks[::-1], tables, table)


def test_the_command_joins_tables_and_looks(
    tables: list[OutcomeTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, turned = toy_dataset(), crossfitted(toy_dataset(), 0)
    monkeypatch.setattr("students.tables.crossfit.load", lambda name: turned)
    paths = []
    for number, table in enumerate(tables):
        paths.append(table.save(tmp_path / f"{number}.npz"))
        build_looks(Shifted(number), fold(whole, number), table, (16, 32)).save(LookTable.path_beside(paths[-1]))
    main(["--dataset", "toy_crossfit0", "--out", str(tmp_path / "all.npz"), *map(str, paths)])
    table = OutcomeTable.load(tmp_path / "all.npz")
    assert table.hash == joined(tables, turned).hash
    LookTable.load(tmp_path / "all.looks.npz").check_against(table)


def test_a_mistake_is_one_line(
    tables: list[OutcomeTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    turned = crossfitted(toy_dataset(), 0)
    monkeypatch.setattr("students.tables.crossfit.load", lambda name: turned)
    paths = [str(table.save(tmp_path / f"{number}.npz")) for number, table in enumerate(tables)]
    for given, message in ((paths[:2], "do not tell of every sketch"), ([*paths[:2], "nowhere.npz"], "nowhere.npz")):
        with pytest.raises(SystemExit) as stop:
            main(["--dataset", "toy_crossfit0", "--out", str(tmp_path / "all.npz"), *given])
        told = capsys.readouterr().err
        assert stop.value.code == 2 and message in told and len(told.splitlines()) == 1
    assert not (tmp_path / "all.npz").exists()
