"""Which environment an agent lives in, as one value that JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any, ClassVar, TypedDict

import gymnasium as gym
import numpy as np
import numpy.typing as npt

import sketchcanvas_env  # noqa: F401  (registers the environments)
from agents.evaluation.options import Options, charge_of
from agents.evaluation.references import references
from agents.selectors import margin, policy
from agents.selectors.base import Selector
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.tasks.arguments import DEFAULT_CANVASES, DEFAULT_DATASET
from sketchcanvas_env.tasks.canvas import CanvasArguments, Task
from sketchcanvas_env.tasks.cascade import CascadeArguments, CascadeTask
from students.tables.tabulate import check_student

ENV_ID = "SketchCanvas-v0"
PREFERENCE_ID = "SketchCanvasPreference-v0"
CASCADE_ID = "SketchCanvasCascade-v0"
VAL_SPLIT = "val"
"""Where whatever must be chosen is chosen."""


Decided = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""What a policy does on a split: options, and FLOPs (2 x MAC) of deciding, (N,) each."""


class RewardWeights(TypedDict):
    """What the reward depends on, as keyword arguments."""

    tradeoff: float
    rank_weight: float
    triplet_weight: float
    cost: str


@dataclass(frozen=True)
class EnvConfig:
    """Arguments of `SketchCanvas-v0` other than the split, which training and evaluation choose.

    With `preferences` they are those of `SketchCanvasPreference-v0`: agents learn for all tradeoffs of a range, and are
    evaluated at one after the other, in `at(tradeoff)`.
    """

    looks_again: ClassVar[bool] = False  # whether a sketch may be looked at several times

    dataset: str = DEFAULT_DATASET  # name of the data set
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
    thumbnail: bool = False  # whether observations have a thumbnail; a run whose network reads it sets this itself
    # (low, high) between which every episode's tradeoff is drawn and shown to the agent; `tradeoff` then says nothing.
    # None: all episodes share `tradeoff`.
    preferences: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Let lists from JSON pass as tuples."""
        object.__setattr__(self, "canvases", tuple(self.canvases))
        if self.preferences is not None:
            object.__setattr__(self, "preferences", tuple(self.preferences))

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON-able values; `thumbnail` and `confidence` are left out where they are off."""
        settings = {**asdict(self), "canvases": list(self.canvases)}
        hidden = [name for name in ("thumbnail", "confidence") if not settings.get(name, True)]
        return {name: value for name, value in settings.items() if name not in hidden}

    def at(self, tradeoff: float) -> EnvConfig:
        """The same environment at one tradeoff that all episodes share: where agents are evaluated."""
        return replace(self, tradeoff=tradeoff, preferences=None)

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
            "thumbnail",
            "preferences",
        )
        return {"split": split, **{name: getattr(self, name) for name in names}}

    def make_vec(self, num_envs: int, split: str = "train") -> gym.vector.VectorEnv[Any, Any, Any]:
        """The vector environment on a split.

        Raises:
            ValueError: an argument that is out of range or names something that does not exist.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        env_id = ENV_ID if self.preferences is None else PREFERENCE_ID
        return gym.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point", **self.kwargs(split))

    def task(self, split: str) -> Task:
        """Observations, outcomes and rewards of a whole split, the arrays the environment itself looks up.

        Raises:
            ValueError: as `make_vec`; preferences, when rewards depend on a tradeoff that nobody has chosen.
        """
        self._need_one_tradeoff()
        kwargs = self.kwargs(split)
        del kwargs["preferences"]
        task = CanvasArguments(**kwargs).make()
        self._check_shipped(task.table)
        return task

    def outcomes(self, split: str) -> OutcomeTable:
        """Outcomes of a split on the canvases on offer; they are the same at every tradeoff."""
        table = (self if self.preferences is None else self.at(self.tradeoff)).task(split).table
        if table is None:
            raise ValueError("this environment has no outcome table: live mode cannot be evaluated exhaustively")
        return table

    def options(self, split: str) -> Options:
        """What a policy can end with on a split, sketch by sketch: here the canvases on offer.

        Raises:
            ValueError: preferences, when no tradeoff is chosen.
        """
        return Options.of_table(self.outcomes(split), **self.reward_weights())

    def decide(self, selector: Selector, split: str) -> Decided:
        """What a selector that learnt in this environment does on a split: `choose` and `thinking`."""
        choice = self.choose(selector, split)
        return choice, self.thinking(selector, split, choice)

    def choose(self, selector: Selector, split: str) -> npt.NDArray[np.int64]:
        """(N,) column of `options` that every sketch of a split ends with; nothing is sampled.

        Raises:
            ValueError: preferences, when no tradeoff is chosen; a selector of another environment.
        """
        return policy.actions_of(selector, self.task(split))

    def thinking(self, selector: Selector, split: str, choice: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(N,) FLOPs (2 x MAC) of deciding about every sketch; they depend on the network's sizes, not its weights."""
        return policy.flops_of(selector, self.task(split))

    def rules(self, split: str) -> dict[str, npt.NDArray[np.int64]]:
        """Policies to compare agents with, beside the fixed canvases, chance and the oracle.

        These are the `references` in a known gallery, and nothing elsewhere.

        Returns:
            (N,) columns of `options`, by name.

        Raises:
            ValueError: preferences, when no tradeoff is chosen.
        """
        return _references(replace(self, thumbnail=True), split) if self.task(split).dataset.known_gallery else {}

    def one_shot(self) -> EnvConfig:
        """The environment with one-step episodes: this one."""
        return self

    def extra_hashes(self) -> dict[str, str]:
        """Hashes of what results depend on beside settings, outcome table and data set: nothing here."""
        return {}

    def reward_weights(self) -> RewardWeights:
        """What the reward depends on, as keyword arguments of `OutcomeTable.rewards` and `evaluate`.

        Raises:
            ValueError: preferences, when no tradeoff is chosen.
        """
        self._need_one_tradeoff()
        return {
            "tradeoff": self.tradeoff,
            "rank_weight": self.rank_weight,
            "triplet_weight": self.triplet_weight,
            "cost": self.cost,
        }

    def _check_shipped(self, found: OutcomeTable | None) -> None:
        """Refuse a shipped table that was made with other weights than the shipped ones.

        A table of one's own is of one's own student, which by name may be another training of a shipped one.
        """
        if self.table is None and found is not None:
            check_student(found)

    def _need_one_tradeoff(self) -> None:
        if self.preferences is not None:
            raise ValueError(
                f"in this environment every episode has a tradeoff of its own, from {list(self.preferences)}: choose "
                "one to evaluate at, for example env.at(0.2)"
            )


@dataclass(frozen=True)
class CascadeConfig(EnvConfig):
    """Arguments of `SketchCanvasCascade-v0` other than the split: a sketch may be looked at several times."""

    looks_again: ClassVar[bool] = True

    dataset: str = "emoji"  # name of the data set
    ranking: str = "last"  # whose ranking is the answer: that of the "last" look, or that of all looks "fused"
    confidence: bool = False  # whether observations have how sure each look is of its nearest photo
    looks: str | None = None  # path of a table of looks, None for the one beside the outcome table

    def __post_init__(self) -> None:
        """As `EnvConfig`.

        Raises:
            ValueError: preferences, which a cascade does not have.
        """
        super().__post_init__()
        if self.preferences is not None:
            raise ValueError("a cascade has no preferences: all its episodes share one tradeoff")

    def kwargs(self, split: str) -> dict[str, Any]:
        """Keyword arguments for `gym.make` and `gym.make_vec`."""
        plain = super().kwargs(split)
        del plain["preferences"]
        return {**plain, "ranking": self.ranking, "looks": self.looks, "confidence": self.confidence}

    def make_vec(self, num_envs: int, split: str = "train") -> gym.vector.VectorEnv[Any, Any, Any]:
        """As `EnvConfig.make_vec`."""
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        return gym.make_vec(CASCADE_ID, num_envs, vectorization_mode="vector_entry_point", **self.kwargs(split))

    def one_shot(self) -> EnvConfig:
        """`SketchCanvas-v0` with the same arguments: one look at each sketch."""
        return EnvConfig(**{each.name: getattr(self, each.name) for each in fields(EnvConfig)})

    def task(self, split: str) -> Task:
        """Sketches of a split, and what single looks at them are worth."""
        return self.one_shot().task(split)

    def cascade(self, split: str) -> CascadeTask:
        """States, ways to end and their worth on a split, the arrays the environment itself looks up.

        Raises:
            ValueError, FileNotFoundError, TableError: as the environment.
        """
        found = CascadeArguments(**self.kwargs(split)).make()
        self._check_shipped(found.task.table)
        return found

    def options(self, split: str) -> Options:
        """The ways to end; an agent that looks once has the first K of them, the canvases."""
        return _node_options(self.cascade(split))

    def choose(self, selector: Selector, split: str) -> npt.NDArray[np.int64]:
        """As `EnvConfig.choose`."""
        return policy.nodes_of(selector, self.cascade(split))

    def thinking(self, selector: Selector, split: str, choice: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """As `EnvConfig.thinking`; the selector is asked before each look, and paid each time."""
        return policy.node_flops_of(selector, self.cascade(split), choice)

    def rules(self, split: str) -> dict[str, npt.NDArray[np.int64]]:
        """The margin rule that is best on `val`, first, looking twice always, and where looks have it confidence."""
        sure = self.cascade(VAL_SPLIT).looks.confidence is not None
        shown = replace(self, confidence=True) if sure else self
        return margin.rules_of(shown.cascade(VAL_SPLIT), shown.cascade(split))

    def extra_hashes(self) -> dict[str, str]:
        """That of the table of looks."""
        return {"looks_hash": self.cascade(VAL_SPLIT).looks.hash}


@lru_cache(maxsize=8)
def _references(env: EnvConfig, split: str) -> dict[str, npt.NDArray[np.int64]]:
    return references(env.task("train"), env.task(split))


@lru_cache(maxsize=8)
def _node_options(cascade: CascadeTask) -> Options:
    table = cascade.task.table
    assert table is not None  # a cascade has no live mode
    return Options(
        names=cascade.nodes,
        n_fixed=cascade.n_canvases,
        ranks=cascade.node_ranks,
        flops=cascade.node_flops,
        costs=cascade.node_costs,
        rewards=cascade.node_rewards,
        photo_ids=table.photo_ids,
        charge=charge_of(table, cascade.arguments.tradeoff, cascade.arguments.cost),
    )


def env_from_json(settings: Mapping[str, Any]) -> EnvConfig:
    """The environment that JSON describes, as `dataclasses.asdict` wrote it.

    Raises:
        TypeError, ValueError: no such settings.
    """
    return CascadeConfig(**settings) if "ranking" in settings else EnvConfig(**settings)
