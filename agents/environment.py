"""Which environment an agent lives in, as one value that JSON can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import gymnasium as gym

import sketchcanvas_env  # noqa: F401  (registers the environment)
from sketchcanvas_env.table import OutcomeTable
from sketchcanvas_env.task import DEFAULT_CANVASES, Task, make_task
from students.tabulate import check_student

ENV_ID = "SketchCanvas-v0"


class RewardWeights(TypedDict):
    """What the reward depends on, as keyword arguments."""

    tradeoff: float
    rank_weight: float
    triplet_weight: float
    cost: str


@dataclass(frozen=True)
class EnvConfig:
    """Arguments of `SketchCanvas-v0` other than the split, which training and evaluation choose."""

    dataset: str = "emoji"  # name of the data set
    student: str | None = None  # whose outcomes; None for the data set's default student
    table: str | None = None  # path of an outcome table, None for the shipped one
    canvases: tuple[int, ...] = DEFAULT_CANVASES  # sides on offer, pixels, rising
    tradeoff: float = 0.2  # weight of cost against accuracy, lambda_F of the paper, in [0, 1]
    rank_weight: float = 1.0  # weight of 1 / rank in the reward
    triplet_weight: float = 0.1  # weight of the triplet loss in the reward
    cost: str = "flops"  # what the reward charges: "flops", or "latency" (milliseconds, stored in the table)
    # Room for points in an observation. A GRU's time and FLOPs grow with it; most drawings say enough in 64
    # points, chosen by Douglas-Peucker.
    max_points: int = 64

    def __post_init__(self) -> None:
        """Let lists from JSON pass as tuples."""
        object.__setattr__(self, "canvases", tuple(self.canvases))

    def kwargs(self, split: str) -> dict[str, Any]:
        """Keyword arguments for `gym.make` and `gym.make_vec`."""
        names = (
            "dataset",
            "student",
            "table",
            "canvases",
            "tradeoff",
            "rank_weight",
            "triplet_weight",
            "cost",
            "max_points",
        )
        return {"split": split, **{name: getattr(self, name) for name in names}}

    def make_vec(self, num_envs: int, split: str = "train") -> gym.vector.VectorEnv[Any, Any, Any]:
        """The vector environment on a split.

        Raises:
            ValueError: an argument that is out of range or names something that does not exist.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        return gym.make_vec(ENV_ID, num_envs, vectorization_mode="vector_entry_point", **self.kwargs(split))

    def task(self, split: str) -> Task:
        """Observations, outcomes and rewards of a whole split, the arrays the environment itself looks up.

        Raises:
            ValueError: as `make_vec`.
        """
        task = make_task(**self.kwargs(split))
        if task.table is not None:
            check_student(task.table)
        return task

    def outcomes(self, split: str) -> OutcomeTable:
        """Outcomes of a split on the canvases on offer."""
        table = self.task(split).table
        if table is None:
            raise ValueError("this environment has no outcome table: live mode cannot be evaluated exhaustively")
        return table

    def reward_weights(self) -> RewardWeights:
        """What the reward depends on, as keyword arguments of `OutcomeTable.rewards` and `evaluate`."""
        return {
            "tradeoff": self.tradeoff,
            "rank_weight": self.rank_weight,
            "triplet_weight": self.triplet_weight,
            "cost": self.cost,
        }
