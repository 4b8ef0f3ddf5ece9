"""Live mode: outcomes from a retriever instead of a table."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from sketchcanvas_env.envs.canvas import SketchCanvasEnv
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.tasks.retriever import Outcome, Retriever
from tests.helpers import TOY_CANVASES, TOY_FLOPS, TOY_MILLISECONDS, Toy


class FromTable:
    """A retriever that reads a table and records its calls."""

    canvases = TOY_CANVASES
    flops = TOY_FLOPS
    milliseconds = TOY_MILLISECONDS

    def __init__(self, toy: Toy) -> None:
        self.toy = toy
        self.asked: list[tuple[int, str]] = []

    def retrieve(self, sketch: VectorSketch, canvas: int, photo_id: str) -> Outcome:
        assert isinstance(sketch, VectorSketch)
        self.asked.append((canvas, photo_id))
        table = self.toy.table
        rows = np.flatnonzero(table.photo_ids == photo_id)
        same = [
            row
            for row in rows
            if np.array_equal(
                self.toy.dataset.sketch(self.toy.dataset.sketch_ids.tolist().index(table.sketch_ids[row])).strokes[0],
                sketch.strokes[0],
            )
        ]
        at = same[0], TOY_CANVASES.index(canvas)
        top = tuple(table.photos[table.top[at]].tolist())
        return Outcome(int(table.ranks[at]), float(table.distances[at]), float(table.triplet[at]), top)


def make(toy: Toy, retriever: Any, **changes: Any) -> SketchCanvasEnv:
    kwargs = {"dataset": toy.dataset, "canvases": TOY_CANVASES, "max_points": 40, **changes}
    return SketchCanvasEnv(retriever=retriever, **kwargs)


@pytest.mark.parametrize("preferences", [None, (0.1, 0.7)])
@pytest.mark.parametrize("cost", ["flops", "latency"])
def test_live_and_table_agree(toy: Toy, cost: str, preferences: tuple[float, float] | None) -> None:
    retriever = FromTable(toy)
    assert isinstance(retriever, Retriever)
    changes = {"split": "test", "tradeoff": 0.4, "canvases": (32, 64, 128), "cost": cost, "preferences": preferences}
    live = make(toy, retriever, **changes)
    table = SketchCanvasEnv(**{**toy.kwargs, **changes})  # type: ignore[arg-type]
    # The toy table is of the data set's own order, so an index means the same sketch.
    for seed in range(3):
        (obs, info), (expected_obs, expected_info) = live.reset(seed=seed), table.reset(seed=seed)
        for action in (0, 1, 2, 1):
            assert info == expected_info
            assert data_equivalence(obs, expected_obs, exact=True)
            one, other = live.step(action), table.step(action)
            assert one[1] == pytest.approx(other[1], abs=1e-12)
            assert one[2:4] == (True, False)
            assert set(other[4]) - set(one[4]) == {"oracle_action", "regret"}
            for name, value in one[4].items():
                assert np.allclose(value, other[4][name], atol=1e-12), name
            assert live.reward_range[0] <= one[1] <= live.reward_range[1]
            assert one[4]["reward_vector"] in live.reward_vector_space
            (obs, info), (expected_obs, expected_info) = live.reset(), table.reset()


def test_only_the_chosen_canvas_is_computed(toy: Toy) -> None:
    retriever = FromTable(toy)
    env = make(toy, retriever)
    env.reset(options={"index": 3})
    assert retriever.asked == []
    env.step(2)
    assert retriever.asked == [(64, str(env.photo_ids[3]))]
    assert env.table is None


def test_both_checkers_pass(toy: Toy) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make(toy, FromTable(toy))
        # Without a spec Gymnasium cannot make further environments to try their render modes.
        check_env(env, skip_render_check=True)
        sb3_check_env(env)


@pytest.mark.parametrize("mode", ["rgb_array", "ansi"])
def test_it_can_be_rendered(toy: Toy, mode: str) -> None:
    env = make(toy, FromTable(toy), render_mode=mode)
    env.reset(seed=0)
    info = env.step(1)[4]
    seen = env.render()
    if mode == "ansi":
        assert f"rank {info['rank']}, " in str(seen)
        assert "regret" not in str(seen)
    else:
        assert isinstance(seen, np.ndarray)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"canvases": (32, 48)}, "no canvas 48, it has 16, 32, 64, 128"),
        ({"split": "dev"}, "student, train, val, test"),
        ({"table": "somewhere.npz"}, "without table"),
        ({"student": "someone"}, "without student"),
        ({"tradeoff": 3}, "tradeoff"),
    ],
)
def test_invalid_arguments_are_refused(toy: Toy, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(toy, FromTable(toy), **changes)


def test_a_retriever_has_a_cost_for_every_canvas(toy: Toy) -> None:
    retriever = FromTable(toy)
    retriever.flops = TOY_FLOPS[:2]  # type: ignore[assignment]
    with pytest.raises(ValueError, match="4 canvases but 2 costs"):
        make(toy, retriever)


def test_cost_latency_needs_a_retriever_with_latency(toy: Toy) -> None:
    retriever = FromTable(toy)
    retriever.milliseconds = None  # type: ignore[assignment]
    make(toy, retriever)
    with pytest.raises(ValueError, match="the retriever has no latency: give it an attribute milliseconds"):
        make(toy, retriever, cost="latency")
    retriever.milliseconds = TOY_MILLISECONDS[:2]  # type: ignore[assignment]
    with pytest.raises(ValueError, match="4 canvases but 2 costs"):
        make(toy, retriever, cost="latency")
    retriever.milliseconds = (*TOY_MILLISECONDS[:3], float("nan"))  # type: ignore[assignment]
    with pytest.raises(ValueError, match="finite"):
        make(toy, retriever, cost="latency")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0.5, 0.1), "rank"),
        ((1, float("nan"), 0.1), "distance"),
        ((1, -0.1, 0.1), "distance"),
        ((1, 2.1, 0.1), "distance"),
        ((1, 0.5, float("nan")), "triplet"),
        ((1, 0.5, -0.1), "triplet"),
        ((1, 0.5, 2.4), "triplet"),
    ],
)
def test_outcomes_out_of_range_are_refused(arguments: tuple[int, float, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Outcome(*arguments)
