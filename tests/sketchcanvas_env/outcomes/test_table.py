"""The outcome table: what it computes, against brute force, and what it refuses."""

from __future__ import annotations

import io
import itertools
import json
import mmap
import os
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchcanvas_env.outcomes import finding
from sketchcanvas_env.outcomes.columns import ROWS
from sketchcanvas_env.outcomes.finding import available_tables, load_table
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage import names, npz
from sketchcanvas_env.storage.npz import Rows
from sketchcanvas_env.storage.table_file import TableError
from tests.helpers import TOY_CANVASES, TOY_FLOPS, TOY_LATENCY, TOY_MILLISECONDS, Toy, table_of, toy_table

few_ranks = st.sampled_from([1, 1, 2, 7, 1000])
costs = st.sampled_from(["flops", "latency"])


@st.composite
def small_tables(draw: st.DrawFn, max_n: int = 6, max_k: int = 4) -> OutcomeTable:
    """Small tables; costs may be equal and latencies in any order."""
    n, k = draw(st.integers(1, max_n)), draw(st.integers(1, max_k))
    ranks = draw(st.lists(st.lists(few_ranks, min_size=k, max_size=k), min_size=n, max_size=n))
    steps = draw(st.lists(st.integers(0, 5), min_size=k, max_size=k))
    times = draw(st.lists(st.sampled_from([0.5, 2.0, 2.0, 3.0, 8.0]), min_size=k, max_size=k))
    return table_of(ranks, flops=np.cumsum(steps) + 1.0, milliseconds=np.array(times), meta={"latency": TOY_LATENCY})


# ---------------------------------------------------------------- what choices are worth


def test_accuracy_is_the_share_of_small_ranks() -> None:
    table = table_of([[1, 2], [5, 1], [7, 1], [2, 11]])
    assert table.acc().tolist() == [0.25, 0.5]
    assert table.acc(5).tolist() == [0.75, 0.75]
    with pytest.raises(ValueError, match="at least 1"):
        table.acc(0)


@pytest.mark.parametrize("cost", ["flops", "latency"])
def test_rewards_equal_plain_python(cost: str) -> None:
    # The same figures charged: 1 and 5.
    charged, other = np.array([1.0, 5.0]), np.array([2.0, 3.0])
    flops, milliseconds = (charged, other) if cost == "flops" else (other, charged)
    table = table_of(
        [[2, 1], [4, 10]],
        flops=flops,
        milliseconds=milliseconds,
        meta={"latency": TOY_LATENCY},
        triplet=np.array([[0.5, 0.25], [1.0, 2.0]]),
    )
    expected = [
        [0.3 * (-1 / 4) + 0.7 * (2 / 2 - 0.5 * 0.5), 0.3 * (-5 / 4) + 0.7 * (2 / 1 - 0.5 * 0.25)],
        [0.3 * (-1 / 4) + 0.7 * (2 / 4 - 0.5 * 1.0), 0.3 * (-5 / 4) + 0.7 * (2 / 10 - 0.5 * 2.0)],
    ]
    assert table.rewards(0.3, rank_weight=2.0, triplet_weight=0.5, cost=cost) == pytest.approx(np.array(expected))
    other_cost = {"flops": "latency", "latency": "flops"}[cost]
    assert not np.allclose(table.rewards(0.3, 2.0, 0.5, other_cost), expected)


def test_costs_of_canvases() -> None:
    table = toy_table()
    assert table.costs().tolist() == list(TOY_FLOPS)
    assert table.costs("latency").tolist() == list(TOY_MILLISECONDS)
    with pytest.raises(ValueError, match="unknown cost 'joules': there are flops, latency"):
        table.costs("joules")
    without = toy_table(milliseconds=None)
    assert without.costs("flops").tolist() == list(TOY_FLOPS)
    for ask in (without.costs, without.hull, without.pareto_front, lambda cost: without.oracle(cost=cost)):
        with pytest.raises(ValueError, match=r"'made_up' on 'toy' has no latency.*sketchcanvas latency"):
            ask("latency")


@given(small_tables(), st.floats(0, 1), st.floats(0, 2), st.floats(0, 2), costs)
def test_the_oracle_is_never_worse_than_any_choice(
    table: OutcomeTable, tradeoff: float, w_rank: float, w_tri: float, cost: str
) -> None:
    rewards = table.rewards(tradeoff, w_rank, w_tri, cost)
    oracle = table.oracle(tradeoff, w_rank, w_tri, cost)
    charged = table.costs(cost).tolist()
    for row, column in enumerate(oracle.tolist()):
        best = max(rewards[row].tolist())
        assert rewards[row, column] == best
        # The cheapest of equals, and of equally cheap ones the smallest.
        before = [j for j in range(len(charged)) if (charged[j], j) < (charged[column], column)]
        assert all(rewards[row, j] < best for j in before)
    reached = rewards[np.arange(len(table)), oracle].mean()
    fixed = table.best_fixed(tradeoff, w_rank, w_tri, cost)
    assert rewards.mean(axis=0).max() == rewards.mean(axis=0)[fixed] <= reached + 1e-12


def test_equal_rewards_go_to_the_cheaper_canvas() -> None:
    # With no weight on cost, ranks alone count, and they tie.
    table = table_of([[3, 3, 3], [2, 1, 1]])
    assert table.oracle(0.0).tolist() == [0, 1]
    assert table_of([[3, 3], [1, 1]]).best_fixed(0.0) == 0
    # By latency the second canvas is the quickest.
    timed = toy_table(ranks=np.full((93, 4), 7), top=np.full((93, 4, 5), -1), triplet=np.zeros((93, 4)))
    assert set(timed.oracle(0.0).tolist()) == {timed.best_fixed(0.0)} == {0}
    assert set(timed.oracle(0.0, cost="latency").tolist()) == {timed.best_fixed(0.0, cost="latency")} == {1}


@given(small_tables(max_n=8, max_k=5), st.floats(0, 1), costs)
def test_the_hull_is_the_best_mixture_of_two_canvases(table: OutcomeTable, place: float, charged: str) -> None:
    flops, acc, hull = table.costs(charged).tolist(), table.acc().tolist(), table.hull(charged)
    assert hull[0, 0] == min(flops)
    assert hull[-1, 1] == max(acc)
    # Rising, concave, and made of fixed canvases.
    assert (np.diff(hull, axis=0) > 0).all()
    slopes = np.diff(hull[:, 1]) / np.diff(hull[:, 0])
    assert (np.diff(slopes) < 0).all()
    assert {tuple(v) for v in hull.tolist()} <= set(zip(flops, acc, strict=True))
    # At any cost up to the dearest, the best mixture that costs no more.
    cost = min(flops) + place * (max(flops) - min(flops))
    best = max(a for f, a in zip(flops, acc, strict=True) if f <= cost)
    for (f1, a1), (f2, a2) in itertools.permutations(zip(flops, acc, strict=True), 2):
        if f1 <= cost < f2:
            best = max(best, a1 + (a2 - a1) * (cost - f1) / (f2 - f1))
    assert table.hull_acc(cost, charged) == pytest.approx(best, abs=1e-9)


def test_the_hull_is_flat_outside() -> None:
    table = table_of([[2, 1], [1, 1]], flops=[10.0, 20.0])
    assert table.hull_acc(5.0) == 0.5
    assert table.hull_acc(100.0) == 1.0
    assert table.hull_acc([5.0, 15.0, 20.0]).tolist() == [0.5, 0.75, 1.0]
    assert isinstance(table.hull_acc(15.0), float)


def test_the_hull_passes_over_canvases_below_a_mixture() -> None:
    # acc@1 of 1/4, 1/4, 2/4 and 3/4 at costs 1, 3, 4 and 5: a toss between the outermost beats the others.
    table = table_of([[1, 1, 1, 1], [2, 2, 1, 1], [2, 2, 2, 1], [2, 2, 2, 2]], flops=[1.0, 3.0, 4.0, 5.0])
    assert table.acc().tolist() == [0.25, 0.25, 0.5, 0.75]
    assert table.hull().tolist() == [[1.0, 0.25], [5.0, 0.75]]
    assert table.hull_acc(3.0) == 0.5


def test_the_hull_ends_at_the_most_accurate_canvas() -> None:
    # The second of three is the best; the third costs more for less.
    assert table_of([[2, 1, 2], [2, 1, 1]], flops=[1.0, 2.0, 3.0]).hull().tolist() == [[1.0, 0.0], [2.0, 1.0]]
    # The cheapest is the best: the hull is a point.
    assert table_of([[1, 2]]).hull().tolist() == [[1.0, 1.0]]


@settings(max_examples=60, deadline=None)
@given(small_tables(max_n=4, max_k=3), costs)
def test_the_front_is_that_of_all_choices(table: OutcomeTable, cost: str) -> None:
    n, k = table.ranks.shape
    charged = table.costs(cost).tolist()
    reachable = {
        (
            sum(charged[j] for j in choice) / n,
            sum(int(table.ranks[i, j] == 1) for i, j in enumerate(choice)) / n,
        )
        for choice in itertools.product(range(k), repeat=n)
    }
    front = table.pareto_front(cost)
    assert (np.diff(front, axis=0) > 0).all()
    slopes = np.diff(front[:, 1]) / np.diff(front[:, 0])
    assert (np.diff(slopes) < 1e-12).all()
    # Each vertex is some choice, no choice lies above, and it goes from the cheapest to the most accurate.
    for vertex in front:
        assert min(np.abs(np.array(point) - vertex).max() for point in reachable) < 1e-9
    for flops, acc in reachable:
        assert acc <= np.interp(flops, front[:, 0], front[:, 1]) + 1e-9
    cheapest, best = min(f for f, _ in reachable), max(a for _, a in reachable)
    assert front[0, 0] == pytest.approx(cheapest)
    assert front[-1, 1] == pytest.approx(best)
    assert front[-1, 0] == pytest.approx(min(f for f, a in reachable if a == best))


@given(small_tables(max_n=8, max_k=5), costs)
def test_the_front_is_nowhere_below_the_hull(table: OutcomeTable, cost: str) -> None:
    front = table.pareto_front(cost)
    for flops, acc in table.hull(cost):
        assert np.interp(flops, front[:, 0], front[:, 1]) >= acc - 1e-12


# ---------------------------------------------------------------- selections


def test_selecting_rows_and_columns() -> None:
    table = toy_table()
    part = table.select("val", (32, 128))
    rows = np.flatnonzero(table.split == "val")
    assert part.canvases.tolist() == [32, 128]
    assert part.flops.tolist() == [TOY_FLOPS[1], TOY_FLOPS[3]]
    assert part.costs("latency").tolist() == [TOY_MILLISECONDS[1], TOY_MILLISECONDS[3]]
    assert part.meta["latency"] == TOY_LATENCY
    assert toy_table(milliseconds=None).select("val", (32, 128)).milliseconds is None
    for name in ("ranks", "distances", "triplet", "top"):
        assert np.array_equal(getattr(part, name), getattr(table, name)[rows][:, [1, 3]])
    for name in ("sketch_ids", "photo_ids", "level"):
        assert np.array_equal(getattr(part, name), getattr(table, name)[rows])
    assert part.splits == ("val",)
    assert part.gallery_size == {"val": table.gallery_size["val"]}
    assert table.splits == ("train", "val", "test")
    whole = table.select()
    assert whole.hash == table.hash


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "unknown split 'dev'.*train, val, test"),
        ({"split": "student"}, "unknown split 'student'.*train, val, test"),
        ({"canvases": (16, 48)}, "canvas 48.*has 16, 32, 64, 128"),
        ({"canvases": ()}, "empty"),
        ({"canvases": (32, 16)}, "rise"),
        ({"canvases": (32, 32)}, "rise"),
        ({"canvases": (-1, 32)}, "above zero"),
        ({"canvases": (32.0, 64.0)}, "integers"),
        ({"canvases": (True, 64)}, "integers"),
        ({"canvases": "32"}, "integers"),
        ({"canvases": 32}, "sequence"),
    ],
)
def test_selecting_unknown_splits_and_canvases_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toy_table().select(**arguments)


@pytest.mark.parametrize(
    ("dataset", "way"),
    [
        ("chairv2", "take chairv2_crossfit0, chairv2_crossfit1, chairv2_crossfit2, made of the same photos"),
        ("chairv2_fold1", "take chairv2_crossfit0, chairv2_crossfit1, chairv2_crossfit2, made of the same photos"),
        ("folder", "list photos that have some under 'train' in splits.json"),
        (
            "shoev2",
            "write it as a folder of yours with 'sketchcanvas data import', and list photos that have some under",
        ),
    ],
)
def test_the_message_for_a_missing_split_says_what_to_do(dataset: str, way: str) -> None:
    table = replace(toy_table().select("val"), dataset=dataset)
    message = f"unknown split 'train': the table of {dataset} has val; no selector can be trained without .*: {way}"
    with pytest.raises(ValueError, match=message):
        table.select("train")
    with pytest.raises(ValueError, match=r"has val$"):
        table.select("test")


def test_its_repr_is_one_line() -> None:
    table = toy_table()
    splits = ", ".join(f"{name} {len(table.select(name))}" for name in table.splits)
    assert repr(table) == f"<OutcomeTable of made_up on toy: {len(table)} sketches ({splits}) at 16, 32, 64, 128 px>"


def test_tables_are_immutable() -> None:
    ranks = np.array([[1, 2]])
    table = table_of(ranks)
    ranks[0, 0] = 99
    assert table.ranks[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        table.ranks[0, 0] = 5


# ---------------------------------------------------------------- what cannot be


def change(name: str, **at: Any) -> Callable[[OutcomeTable], dict[str, Any]]:
    """A change of one element of a column."""

    def make(table: OutcomeTable) -> dict[str, Any]:
        array = np.array(getattr(table, name))
        array[at["at"]] = at["to"]
        return {name: array}

    return make


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda t: {"flops": t.flops[:-1]}, r"flops must have shape \(4\)"),
        (lambda t: {"ranks": t.ranks[:-1]}, "must have shape"),
        (lambda t: {"ranks": t.ranks[0]}, "must have shape"),
        (lambda t: {"top": t.top[..., :4]}, "must have shape"),
        (lambda t: {"level": t.level[:-1]}, "must have shape"),
        (lambda t: {"ranks": t.ranks.astype(float)}, "ranks must be integers"),
        (lambda t: {"sketch_ids": np.arange(len(t))}, "sketch_ids must be strings"),
        (lambda t: {"level": t.level.astype(int) + 300}, "does not fit"),
        (lambda t: {"canvases": t.canvases[::-1]}, "rise"),
        (lambda t: {"flops": t.flops[::-1]}, "flops must not fall"),
        (lambda t: {"flops": t.flops * 0}, "above zero"),
        (change("flops", at=0, to=np.nan), "finite"),
        (change("milliseconds", at=0, to=np.nan), "milliseconds must be finite"),
        (change("milliseconds", at=3, to=np.inf), "milliseconds must be finite"),
        (change("milliseconds", at=1, to=0.0), "above zero"),
        (lambda t: {"milliseconds": t.milliseconds[:-1]}, r"milliseconds must have shape \(4\)"),
        (lambda t: {"milliseconds": [["1", "2"]]}, "milliseconds must be numbers"),
        (lambda t: {"meta": {}}, "description of the machine"),
        (lambda t: {"meta": {"latency": {"machine": {}}}}, "description of the machine"),
        (lambda t: {"meta": {"latency": "quick"}}, "description of the machine"),
        (change("ranks", at=(0, 0), to=0), "ranks must lie"),
        (change("ranks", at=(0, 0), to=13), "ranks must lie"),
        (change("distances", at=(0, 0), to=np.nan), "distances must be finite"),
        (change("distances", at=(0, 0), to=2.1), r"lie in \[0, 2\]"),
        (change("triplet", at=(0, 0), to=-0.1), "triplet must be finite"),
        (change("triplet", at=(0, 0), to=2.4), r"lie in \[0, 2.3\]"),
        (change("top", at=(0, 0, 4), to=9999), "indices into photos"),
        (change("top", at=(0, 0, 4), to=-2), "indices into photos"),
        (change("sketch_ids", at=0, to="test-1/0"), "must not repeat"),
        (lambda t: {"photos": np.concatenate([t.photos, t.photos[:1]])}, "must not repeat"),
        (change("photo_ids", at=0, to="nobody"), "'nobody', which is not among photos"),
        (change("split", at=0, to="dev"), "unknown split 'dev'"),
        (change("level", at=0, to=-1), "level"),
        (lambda t: {"gallery_size": {"train": 12, "val": 7}}, "gallery_size.*'test'"),
        (lambda t: {"gallery_size": {"train": 12, "val": 7, "test": 0}}, "gallery_size.*'test'"),
        (lambda t: {"student": ""}, "student must be a string"),
        (lambda t: {"student_hash": None}, "student_hash must be a string"),
        (lambda t: {"meta": {**t.meta, "when": object()}}, "JSON"),
        (lambda t: {"meta": {**t.meta, "loss": float("nan")}}, "JSON"),
        (lambda t: {"meta": {**t.meta, "triplet_margin": -1}}, "triplet_margin"),
        # Columns that were put together in another order contradict each other.
        (lambda t: {"top": t.top[::-1]}, "contradict"),
        (lambda t: {"photo_ids": np.roll(t.photo_ids, 1)}, "contradict"),
    ],
)  # fmt: skip
def test_an_invalid_table_is_refused(changes: Callable[[OutcomeTable], dict[str, Any]], message: str) -> None:
    with pytest.raises(TableError, match=message):
        toy_table(**changes(toy_table()))


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(TableError, match="empty"):
        table_of(np.zeros((0, 2), dtype=int))


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("changes", [{}, {"milliseconds": None, "meta": {"triplet_margin": 0.4}}])
def test_a_table_is_read_as_it_was_written(tmp_path: Path, changes: dict[str, Any]) -> None:
    meta = {"versions": {"numpy": "2"}, "triplet_margin": 0.5, "latency": TOY_LATENCY}
    table = toy_table(**{"meta": meta, **changes})
    loaded = OutcomeTable.load(table.save(tmp_path / "t.npz"))
    assert (loaded.milliseconds is None) == bool(changes)
    for name in table._arrays():
        ours, theirs = getattr(table, name), getattr(loaded, name)
        assert np.array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
        assert not theirs.flags.writeable
    for name in (
        "dataset",
        "dataset_hash",
        "student",
        "student_hash",
        "gallery_size",
        "meta",
        "hash",
        "margin",
    ):
        assert getattr(table, name) == getattr(loaded, name)
    # Plain NumPy reads it as well, without pickles.
    with np.load(tmp_path / "t.npz", allow_pickle=False) as archive:
        assert np.array_equal(archive["ranks"], table.ranks)
        assert ("milliseconds" in archive) == (not changes)


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    first = toy_table().save(tmp_path / "a.npz").read_bytes()
    os.utime(tmp_path / "a.npz", (0, 0))
    assert toy_table().save(tmp_path / "b.npz").read_bytes() == first
    assert toy_table(seed=1).save(tmp_path / "c.npz").read_bytes() != first


@pytest.mark.parametrize(
    "changes",
    [
        {"student": "other"},
        {"meta": {"a": 1, "latency": TOY_LATENCY}},
        {"milliseconds": np.array(TOY_MILLISECONDS) * 2},
        {"milliseconds": None},
        {"gallery_size": {"train": 13, "val": 7, "test": 12}},
        {"flops": np.array(TOY_FLOPS) * 2},
        {"level": np.zeros(93, dtype=np.int8)},
    ],
)
def test_the_hash_depends_on_every_field(changes: dict[str, Any]) -> None:
    assert toy_table(**changes).hash != toy_table().hash


def test_without_latency_the_hash_equals_the_recorded_one() -> None:
    # Results name the table they came from by this hash.
    assert table_of([[1, 2], [3, 1]]).hash == "6794765aa85e4997af67e20560a32ae4e0fa0be44ea63df2a8f9aa55c1ab3396"


def test_the_hash_does_not_depend_on_how_strings_are_stored() -> None:
    table = toy_table()
    assert toy_table(photos=table.photos.astype("U99")).hash == table.hash
    assert toy_table(photos=table.photos.astype(object)).hash == table.hash


def rewrite(path: Path, members: dict[str, bytes | None]) -> None:
    """Replace, add or (None) remove members of an archive."""
    with zipfile.ZipFile(path) as archive:
        bodies: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in {**bodies, **members}.items():
            if body is not None:
                archive.writestr(name, body)


def npy(array: Any, **kwargs: Any) -> bytes:
    body = io.BytesIO()
    np.lib.format.write_array(body, np.asarray(array), **kwargs)
    return body.getvalue()


def lying_npy(shape: str, dtype: str = "<i4") -> bytes:
    """An array whose header does not match its data."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def header_with(**changes: Any) -> bytes:
    return npy(np.array(json.dumps({**json.loads(toy_table()._header()), **changes})))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"ranks.npy": None}, "'ranks.npy'"),
        ({"evil.npy": b"x"}, "'evil.npy'"),
        ({"milliseconds.npy": npy(np.ones(4, dtype=np.float32), version=(3, 0))}, "version"),
        ({"milliseconds.npy": npy(np.ones(4, dtype=np.int64))}, "dtype int64"),
        ({"milliseconds.npy": npy(np.ones(3))}, "must have shape"),
        ({"milliseconds.npy": npy(-np.ones(4))}, "above zero"),
        ({"ranks.npy": b"not an array"}, "magic"),
        ({"ranks.npy": b""}, "magic|EOF"),
        ({"ranks.npy": lying_npy("(1000000000000, 4)")}, "bytes follow"),
        ({"ranks.npy": lying_npy("(-1, 4)")}, "not a usable"),
        ({"photos.npy": lying_npy("(1000000000000,)", "<U0")}, "bytes follow"),
        ({"ranks.npy": lying_npy("(" + "1," * 5000 + ")")}, "not a usable"),
        ({"ranks.npy": npy(np.array([[{}]], dtype=object), allow_pickle=True)}, "dtype object"),
        ({"photos.npy": npy(np.array(["a"], dtype=object), allow_pickle=True)}, "dtype object"),
        ({"ranks.npy": npy(np.ones((93, 4), dtype=np.float64))}, "dtype float64"),
        ({"ranks.npy": npy(np.ones((92, 4), dtype=np.int32))}, "must have shape"),
        ({"header.npy": npy(np.array("{"))}, "JSON"),
        ({"header.npy": npy(np.array('{"format": 1, "format": 1}'))}, "two fields of one name"),
        ({"header.npy": npy(np.array("[]"))}, "format None"),
        ({"header.npy": header_with(format=2)}, "format 2"),
        ({"header.npy": header_with(extra=1)}, "header must have"),
        ({"header.npy": header_with(meta=[])}, "objects"),
    ],
)
def test_an_invalid_file_is_refused_by_name(tmp_path: Path, members: dict[str, bytes | None], message: str) -> None:
    path = toy_table().save(tmp_path / "t.npz")
    rewrite(path, members)
    with pytest.raises(TableError, match=message) as caught:
        OutcomeTable.load(path)
    assert str(path) in str(caught.value)


def test_a_cut_or_flipped_file_is_refused(tmp_path: Path) -> None:
    path = toy_table().save(tmp_path / "t.npz")
    body = path.read_bytes()
    for broken in (b"", body[: len(body) // 2], b"PK" + bytes(100)):
        path.write_bytes(broken)
        with pytest.raises(TableError, match=str(path)):
            OutcomeTable.load(path)
    # Every flipped byte is noticed, or changes nothing.
    expected = toy_table().hash
    for at in range(0, len(body), 97):
        path.write_bytes(body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :])
        try:
            assert OutcomeTable.load(path).hash == expected
        except TableError as error:
            named = str(path) in str(error)
            assert named


# ---------------------------------------------------------------- tables that lie on the disk


def ordered(table: OutcomeTable) -> np.ndarray:
    """Row order by split, as in tabulated tables."""
    return np.concatenate([np.flatnonzero(table.split == split) for split in ("train", "val", "test")])


def is_mapped(array: np.ndarray) -> bool:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> OutcomeTable:
    """The toy table ordered by split; tables of its size count as large."""
    table = toy_table()
    rows = ordered(table)
    table = replace(table, **{name: getattr(table, name)[rows] for name in ROWS})
    members = [np.array(table._header()), *table._arrays().values()]
    monkeypatch.setattr(npz, "MAPPED_FROM", sum(array.nbytes for array in members))
    return table


def test_a_large_table_is_mapped_and_equal(
    tmp_path: Path, large: OutcomeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = large.save(tmp_path / "t.npz")
    mapped = OutcomeTable.load(path)
    assert all(is_mapped(array) for array in mapped._arrays().values())
    assert mapped.hash == large.hash
    assert mapped.save(path) == path  # over the file that it is mapped from
    assert OutcomeTable.load(path).hash == mapped.hash == large.hash
    monkeypatch.setattr(npz, "MAPPED_FROM", npz.MAPPED_FROM + 1)
    small = OutcomeTable.load(mapped.save(tmp_path / "s.npz"))
    assert not any(is_mapped(array) for array in small._arrays().values())
    assert small.hash == large.hash
    for name in large._arrays():
        assert np.array_equal(getattr(mapped, name), getattr(large, name))


def test_selecting_from_a_mapped_table_does_not_copy(tmp_path: Path, large: OutcomeTable) -> None:
    mapped = OutcomeTable.load(large.save(tmp_path / "t.npz"))
    for split in mapped.splits:
        part = mapped.select(split)
        assert all(is_mapped(getattr(part, name)) for name in ROWS)
        assert part.hash == large.select(split).hash
        some = mapped.select(split, (32, 128))
        assert some.hash == large.select(split, (32, 128)).hash
        assert is_mapped(some.sketch_ids) and not is_mapped(some.ranks)
    assert all(np.shares_memory(getattr(large.select("val"), name), getattr(large, name)) for name in ROWS)
    mixed = replace(mapped, **{name: getattr(mapped, name)[::-1] for name in ROWS})
    assert mixed.select("val").sketch_ids.tolist() == mapped.select("val").sketch_ids.tolist()[::-1]


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_table_is_written_from_blocks(
    tmp_path: Path, large: OutcomeTable, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(names, "BLOCK", block)
    others = {
        name: getattr(large, name)
        for name in (*large._arrays(), *OutcomeTable.TEXTS, *OutcomeTable.OBJECTS)
        if name not in ROWS
    }

    def rows(**changed: np.ndarray) -> dict[str, Rows]:
        arrays = {name: changed.get(name, getattr(large, name)) for name in ROWS}
        return {
            name: Rows(
                array.dtype, array.shape, [array[start : start + block] for start in range(0, len(array), block)]
            )
            for name, array in arrays.items()
        }

    written = OutcomeTable.write(tmp_path / "a.npz", rows(), **others)
    assert written.hash == large.hash
    assert (tmp_path / "a.npz").read_bytes() == large.save(tmp_path / "b.npz").read_bytes()
    without = OutcomeTable.write(tmp_path / "a.npz", rows(), **{**others, "milliseconds": None})
    assert without.milliseconds is None and without.hash == replace(large, milliseconds=None).hash
    wrong = np.array(large.ranks)
    wrong[-1, -1] = 0
    with pytest.raises(TableError, match="ranks must lie"):
        OutcomeTable.write(tmp_path / "c.npz", rows(ranks=wrong), **others)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_damage_to_a_mapped_table_is_noticed(tmp_path: Path, large: OutcomeTable) -> None:
    path = large.save(tmp_path / "t.npz")
    body = path.read_bytes()
    expected = large.hash
    for at in range(0, len(body), 499):
        path.write_bytes(body[:at] + bytes([body[at] ^ 0x01]) + body[at + 1 :])
        try:
            assert OutcomeTable.load(path).hash == expected
        except TableError as error:
            named = str(path) in str(error)
            assert named


def test_writable_arrays_are_copied(large: OutcomeTable) -> None:
    ranks = np.array(large.ranks)
    view = ranks[:]
    view.flags.writeable = False
    for writable in (ranks, view, np.asfortranarray(ranks)):
        table = replace(large, ranks=writable)
        assert not np.shares_memory(table.ranks, ranks)
    assert np.shares_memory(replace(large, student="other").ranks, large.ranks)


def test_no_file(tmp_path: Path) -> None:
    for load in (OutcomeTable.load, OutcomeTable.load_cached):
        with pytest.raises(FileNotFoundError, match=r"no outcome table at .*missing\.npz"):
            load(tmp_path / "missing.npz")


def test_a_file_is_read_once_until_it_changes(tmp_path: Path) -> None:
    path = toy_table().save(tmp_path / "t.npz")
    first = OutcomeTable.load_cached(path)
    assert OutcomeTable.load_cached(str(path)) is first
    toy_table(seed=1).save(path)
    os.utime(path, (1, 1))
    assert OutcomeTable.load_cached(path).hash == toy_table(seed=1).hash


# ---------------------------------------------------------------- shipped tables


@pytest.fixture
def shipped(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tables that replaces the shipped one."""
    monkeypatch.setattr(finding, "TABLES", tmp_path)
    toy.table.save(tmp_path / "toy-made_up.npz")
    toy_table(toy.dataset, seed=1, student="worse").save(tmp_path / "toy-worse.npz")
    return tmp_path


def test_tables_are_found_by_name(shipped: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    assert available_tables() == {"toy": ["made_up", "worse"]}
    assert load_table("toy", "worse").student == "worse"
    monkeypatch.setitem(finding.DEFAULT_STUDENT, "toy", "worse")
    assert load_table("toy").student == "worse"
    monkeypatch.delitem(finding.DEFAULT_STUDENT, "toy")
    assert load_table("toy").hash == toy.table.hash


@pytest.mark.parametrize("name", ["emojis", "", "../toy", "toy-made_up"])
def test_the_message_for_an_unknown_data_set_lists_the_tables(shipped: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"toy \(made_up, worse\)"):
        load_table(name)


@pytest.mark.parametrize("student", ["vgg16", "", "../made_up"])
def test_the_message_for_an_unknown_student_lists_the_tables(shipped: Path, student: str) -> None:
    with pytest.raises(ValueError, match=r"toy \(made_up, worse\)"):
        load_table("toy", student)


def test_a_table_of_other_data_is_refused(shipped: Path, toy: Toy) -> None:
    toy_table(toy.dataset, dataset_hash="f" * 64).save(shipped / "toy-made_up.npz")
    with pytest.raises(TableError, match=r"another version of data set 'toy'.*tabulate"):
        load_table("toy", "made_up")


def test_a_table_under_a_wrong_name_is_refused(shipped: Path, toy: Toy) -> None:
    toy.table.save(shipped / "toy-stranger.npz")
    with pytest.raises(TableError, match=r"toy-stranger\.npz.*'made_up'"):
        load_table("toy", "stranger")


def test_no_tables_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "TABLES", tmp_path)
    with pytest.raises(ValueError, match="there are no tables"):
        load_table("emoji")


def test_the_toy_table_is_not_trivial() -> None:
    table = toy_table()
    assert tuple(table.canvases) == TOY_CANVASES
    # Otherwise nothing above could fail.
    assert len(set(table.oracle().tolist())) > 1
