"""Steps a second of the vector environment of unfinished drawings, beside Gymnasium's SyncVectorEnv over single ones.

Nothing is asserted about time. Run it with

    python -m pytest tests/benchmarks/bench_stroke.py -s

and see the printed lines, or `extra_info` of the JSON (`--benchmark-json`): steps a second of each, and the ratio. It
runs on the embedded sketches and the shipped outcomes, at 200 points a sketch; actions are drawn uniformly, so that
an episode takes three steps or so.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks.steps import measure, rate_of_sync

ENV_ID = "sketchcanvas_env:SketchCanvasStroke-v0"


@pytest.fixture(scope="module")
def sync_rate() -> float:
    """Steps a second of SyncVectorEnv."""
    return rate_of_sync(ENV_ID)


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("num_envs", [256, 1024, 4096])
def test_steps_a_second(benchmark: Any, sync_rate: float, num_envs: int, copy: bool) -> None:
    measure(benchmark, ENV_ID, sync_rate, num_envs, copy)
