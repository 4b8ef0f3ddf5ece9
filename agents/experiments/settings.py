"""What is compared: the settings of a comparison, and the ready-made ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from agents.algorithms import registry as algorithms
from agents.algorithms.common.training import TrainConfig
from agents.evaluation import bootstrap
from agents.evaluation.setting import VAL_SPLIT, CascadeConfig, EnvConfig

ONE_SHOT = "one_shot:"
"""What the name of an agent begins with that looks once in a cascade."""


@dataclass(frozen=True)
class CompareConfig:
    """What is compared, and for how long."""

    env: EnvConfig = field(default_factory=EnvConfig)  # the environment that all algorithms learn in
    # Keys of `algorithms.ALGORITHMS`; "reinforce/gru" names the network too, where it is not `selector`. In a cascade
    # those of `CASCADE_ALGORITHMS`; "one_shot:reinforce/stats" is an agent that learns to look once.
    algorithms: tuple[str, ...] = ("reinforce", "ppo")
    seeds: int = 5  # runs of each algorithm, with seeds 0, 1, ...
    total_steps: int = 102_400  # environment steps of every run, the same for all algorithms, exactly
    selector: str = "thumb"  # which network decides, but for algorithms that have one of their own
    hidden: int | None = None  # its width, None for the network's default
    split: str = VAL_SPLIT  # what is reported; "test" once, when nothing will be changed any more
    threads: int = 1  # torch threads, pinned
    resamples: int = bootstrap.RESAMPLES  # bootstrap resamples for the intervals
    curve_points: int = 12  # points of each learning curve, about

    def __post_init__(self) -> None:
        """Let lists from JSON pass as tuples, and refuse what cannot be compared.

        Raises:
            ValueError: no algorithm, one named twice, or less than one seed or resample.
        """
        object.__setattr__(self, "algorithms", tuple(self.algorithms))
        if not self.algorithms or len(set(self.algorithms)) != len(self.algorithms):
            raise ValueError(f"algorithms must be one or more different names, got {self.algorithms}")
        for name in ("seeds", "resamples", "curve_points"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def curve_every(self) -> int:
        """Environment steps between two points of the learning curves."""
        return max(1, self.total_steps // self.curve_points)

    def runs(self) -> dict[str, list[TrainConfig]]:
        """The settings of every run, agent by agent; each is a job of its own.

        Raises:
            ValueError: unknown algorithm or network, or a budget that an algorithm cannot spend exactly.
        """
        return {agent: [self._run(agent, seed) for seed in range(self.seeds)] for agent in self.algorithms}

    def _run(self, agent: str, seed: int) -> TrainConfig:
        looks_once = agent.startswith(ONE_SHOT)
        env = self.env.one_shot() if looks_once else self.env
        if looks_once and env == self.env:
            raise ValueError(f"{agent!r}: {ONE_SHOT} is for cascades; here every agent looks once")
        name, _, network = agent.removeprefix(ONE_SHOT).partition("/")
        common = {"env": env, "seed": seed, "total_steps": self.total_steps, "threads": self.threads}
        if network:
            return algorithms.make_config(name, selector=network, **common)
        return algorithms.make_config(name, **algorithms.network_of(name, self.selector, self.hidden, env), **common)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON-able values."""
        return {**asdict(self), "env": self.env.to_json()}


CASCADE = (
    "one_shot:reinforce/stats",
    "one_shot:cost_sensitive/stats",
    "reinforce",
    "ppo",
    "maskable_ppo",
    "dqn",
    "backward_induction",
)
"""Agents of the preset `cascade`: selectors of one look beside selectors of several, over ten seeds."""

QUICK = ("reinforce", "a2c", "dqn", "linear_ts")
"""Agents of the preset `quick`: what the README runs in a few minutes, told one reward a sketch, over five seeds."""

FULL = (
    "reinforce",
    "exact_pg",
    "cost_sensitive",
    "ppo",
    "a2c",
    "trpo",
    "dqn",
    "qrdqn",
    "linucb",
    "linear_ts",
    "epsilon_greedy",
    "cost_sensitive/stats",
)
"""Agents of the preset `full`: every algorithm, and what the statistics alone are worth, over ten seeds.

Networks that read points take minutes a run: `--algorithms cost_sensitive/gru,cost_sensitive/conv` compares them.
"""


def preset(name: str, env: EnvConfig | None = None) -> CompareConfig:
    """A ready-made comparison.

    Args:
        name: "quick" (four agents, five seeds, half the steps), "full" (all of them, ten seeds), or "cascade" (the
            agents that may look at a sketch several times, ten seeds).
        env: the environment, None for the default one.

    Raises:
        ValueError: another name, or an environment that the preset is not for.
    """
    agents = {"quick": QUICK, "full": FULL, "cascade": CASCADE}
    if name not in agents:
        raise ValueError(f"unknown preset {name!r}; there are {', '.join(agents)}")
    where = env or (CascadeConfig() if name == "cascade" else EnvConfig())
    if isinstance(where, CascadeConfig) != (name == "cascade"):
        raise ValueError(f"the preset {name!r} is not for this environment: cascades have the preset 'cascade'")
    if name == "cascade":
        # Longer: an episode takes several steps, and what looking again is worth shows late.
        return CompareConfig(env=where, algorithms=CASCADE, seeds=10, selector="looks", total_steps=153_600)
    if name == "quick":
        return CompareConfig(env=where, algorithms=QUICK, seeds=5)
    return CompareConfig(env=where, algorithms=FULL, seeds=10, total_steps=204_800)
