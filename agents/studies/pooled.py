"""Pools comparisons on different photos, such as the rotations of a cross-fit, into one estimate.

Each comparison is a stratum with its own hull of fixed canvases and its own best fixed canvas of `val`. A pooled number
is the mean over comparisons, weighted by sketches. Each resample draws the photos of each comparison separately, with
the weights unchanged.

Intervals are over photos, **given the trained students and selectors**. In a cross-fit these are not independent (a
photo that one rotation reports on, another trains on), and other trainings would give other students; resampling photos
shows neither. The hull of a resample is also a little too high (`agents.evaluation.bootstrap`), which pooling does not
average out: the intervals are biased against the policies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from agents.evaluation import bootstrap, seeds
from agents.evaluation.bootstrap import Estimate, Gain, Sampled
from agents.evaluation.evaluate import GIGA, sampled
from agents.evaluation.options import Options
from agents.evaluation.setting import VAL_SPLIT, Decided
from agents.experiments import compare, results, stored
from agents.experiments.results import CHOSEN
from agents.experiments.settings import CompareConfig
from agents.selectors import margin
from agents.store import provenance
from students.store.provenance import commit

RULE, CONFIDENCE_RULE, BUDGET_RULE = RULES = ("margin rule", "confidence rule", "confidence rule within a budget")
"""Common names of the rules that need no training, whatever their canvases and thresholds."""

_WHERE = ("dataset", "table", "looks")
"""Settings that may differ between pooled comparisons: the places of their outcomes."""


@dataclass(frozen=True)
class Policy:
    """A policy of one comparison.

    Attributes:
        name: its name in the comparison.
        decided: its decisions on the reported split; of several, such as an agent's seeds, the mean is taken.
    """

    name: str
    decided: Sequence[Decided]


@dataclass(frozen=True, eq=False)
class Member:
    """What pooling needs of one comparison.

    Attributes:
        settings: those that must be equal in all comparisons, `resamples` included; JSON-able.
        options: outcomes of its reported split.
        best_fixed: column of the canvas that is best on its `val`.
        policies: by the name that all comparisons share.
        provenance: data set, student and hashes; JSON-able.
    """

    settings: Mapping[str, Any]
    options: Options
    best_fixed: int
    policies: Mapping[str, Policy]
    provenance: Mapping[str, str]


@dataclass(frozen=True)
class PooledRow:
    """A policy, pooled. Accuracies and hull gains are shares of queries, intervals 95 % over photos.

    Attributes:
        name: its name in all comparisons.
        names: its name in each.
        acc1: share of sketches whose true photo comes first.
        gflops: mean GFLOPs (2 x MAC) per query, selector included.
        hull_gain: acc@1 above the hull of the fixed canvases at the same mean FLOPs.
        above_hull_p: its p-value, corrected over all rows (Holm).
        hull_gains: the hull gain in each comparison.
        over_fixed: mean reward, selector charged, above the fixed canvas that was best on `val`.
        over_fixed_p: its p-value, corrected over all rows (Holm).
    """

    name: str
    names: tuple[str, ...]
    acc1: Estimate
    gflops: float
    hull_gain: Gain
    above_hull_p: float
    hull_gains: tuple[float, ...]
    over_fixed: Gain
    over_fixed_p: float

    def made_on(self, split: str) -> str:
        """As `results.made_on`."""
        kinds = {**dict.fromkeys(RULES, "rule"), CHOSEN: "chosen"}
        return results.made_on(kinds.get(self.name, "agent"), split)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return {
            "name": self.name,
            "names": list(self.names),
            "acc1": self.acc1._asdict(),
            "gflops": self.gflops,
            "hull_gain": self.hull_gain._asdict(),
            "above_hull_p": self.above_hull_p,
            "hull_gains": list(self.hull_gains),
            "over_fixed": self.over_fixed._asdict(),
            "over_fixed_p": self.over_fixed_p,
        }


@dataclass(frozen=True)
class Pooled:
    """Pooled comparisons.

    Attributes:
        settings: the common ones.
        comparisons: provenance, `n_sketches`, `n_photos` and the best fixed canvas of `val` of each.
        best_fixed_acc1: pooled acc@1 of those canvases.
        best_fixed_gflops: their pooled mean GFLOPs.
        rows: the policies.
        provenance: commit, versions, machine.
    """

    settings: dict[str, Any]
    comparisons: tuple[dict[str, Any], ...]
    best_fixed_acc1: Estimate
    best_fixed_gflops: float
    rows: tuple[PooledRow, ...]
    provenance: dict[str, Any]

    @property
    def n_sketches(self) -> int:
        """Number of sketches in all comparisons."""
        return sum(one["n_sketches"] for one in self.comparisons)

    @property
    def n_photos(self) -> int:
        """Number of photos in all comparisons."""
        return sum(one["n_photos"] for one in self.comparisons)

    def row(self, name: str) -> PooledRow:
        """The row of a policy; KeyError if there is none."""
        return {row.name: row for row in self.rows}[name]

    def to_json(self) -> dict[str, Any]:
        """The result as JSON-able values."""
        return {
            "settings": self.settings,
            "comparisons": list(self.comparisons),
            "best_fixed_acc1": self.best_fixed_acc1._asdict(),
            "best_fixed_gflops": self.best_fixed_gflops,
            "rows": [row.to_json() for row in self.rows],
            "provenance": self.provenance,
        }


def read(folder: str | Path) -> Member:
    """Read a stored comparison and its decisions; nothing is trained.

    Raises:
        FileNotFoundError: no comparison in the folder, or a run or an outcome table of it is missing.
        ValueError: a damaged file.
    """
    config, trained = stored.read_runs(folder)
    outcomes = config.env.outcomes(config.split)
    decisions, agent, place = compare.decide(config, trained)
    free = np.zeros(len(outcomes))
    rules = {name: [(choice, free)] for name, choice in config.env.rules(config.split).items()}
    policies: dict[str, Policy] = {}
    for position, (name, decided) in enumerate(rules.items()):
        if (kind := _kind_of(position, name)) is not None:
            policies[kind] = Policy(name, decided)
    policies |= {name: Policy(name, decided) for name, decided in decisions.items()}
    chosen = f"{agent}, seed {trained[agent][place].config.seed}"
    policies[CHOSEN] = Policy(chosen, [decisions[agent][place]])
    return Member(
        settings=_settings(config, outcomes.student),
        options=config.env.options(config.split),
        best_fixed=config.env.options(VAL_SPLIT).best_fixed(),
        policies=policies,
        provenance={**provenance.of_table(outcomes), **config.env.extra_hashes()},
    )


def _kind_of(position: int, name: str) -> str | None:
    """The name in `RULES` of an environment's rule (the margin rule is the first); None for always looking twice."""
    if position == 0:
        return RULE
    if "at most" in name:
        return BUDGET_RULE
    return CONFIDENCE_RULE if name.startswith(margin.CONFIDENCE) else None


def pool(members: Sequence[Member]) -> Pooled:
    """Pool every policy over comparisons.

    Args:
        members: the comparisons; a single one gives its own numbers.

    Raises:
        ValueError: no comparison, settings that differ, or a photo that two of them report on.
    """
    _check(members)
    parts = {name: _each(members, [member.policies[name] for member in members]) for name in members[0].policies}
    found = {name: _mean(members, each) for name, each in parts.items()}
    fixed = _mean(members, _each(members, [_fixed(member) for member in members]))
    gains = {name: scores["hull_gain"].gain() for name, scores in found.items()}
    overs = {name: scores["over_fixed"].gain() for name, scores in found.items()}
    gain_p = seeds.holm([gain.p_value for gain in gains.values()])
    over_p = seeds.holm([over.p_value for over in overs.values()])
    return Pooled(
        settings=dict(members[0].settings),
        comparisons=tuple(_told(member) for member in members),
        best_fixed_acc1=fixed["acc1"].estimate(),
        best_fixed_gflops=fixed["flops"].value / GIGA,
        rows=tuple(
            PooledRow(
                name=name,
                names=tuple(member.policies[name].name for member in members),
                acc1=scores["acc1"].estimate(),
                gflops=scores["flops"].value / GIGA,
                hull_gain=gains[name],
                above_hull_p=float(gain_p[i]),
                hull_gains=tuple(one["hull_gain"].value for one in parts[name]),
                over_fixed=overs[name],
                over_fixed_p=float(over_p[i]),
            )
            for i, (name, scores) in enumerate(found.items())
        ),
        provenance={"commit": commit(), "versions": provenance.versions(), "machine": provenance.machine()},
    )


def _each(members: Sequence[Member], policies: Sequence[Policy]) -> list[dict[str, Sampled]]:
    """The scores of a policy in each comparison."""
    # Different seeds: with a common one, comparisons with equally many photos would have dependent draws.
    return [_scores(*pair, seed) for seed, pair in enumerate(zip(members, policies, strict=True))]


def _mean(members: Sequence[Member], parts: Sequence[Mapping[str, Sampled]]) -> dict[str, Sampled]:
    """The pooled scores, weighted by sketches."""
    weights = [len(member.options) for member in members]
    return {name: bootstrap.pooled([part[name] for part in parts], weights) for name in parts[0]}


def _scores(member: Member, policy: Policy, seed: int) -> dict[str, Sampled]:
    """The scores of a policy in its comparison, computed as there."""
    options, resamples = member.options, member.settings["resamples"]
    found = sampled(options, policy.decided, resamples=resamples, seed=seed)
    over = compare.over_fixed(options, policy.decided, member.best_fixed, resamples, seed)
    return {**{name: found[name] for name in ("acc1", "flops", "hull_gain")}, "over_fixed": over}


def _settings(config: CompareConfig, student: str) -> dict[str, Any]:
    """All settings but the places of outcomes, so that no user's folder is among them."""
    told = config.to_json()
    env = told.pop("env")
    return {**told, **{name: value for name, value in env.items() if name not in _WHERE}, "student": student}


def _check(members: Sequence[Member]) -> None:
    if not members:
        raise ValueError("there is no comparison to pool")
    first = members[0]
    for member in members[1:]:
        for name in sorted({*first.settings, *member.settings}):
            one, other = first.settings.get(name), member.settings.get(name)
            if one != other:
                raise ValueError(f"comparisons that are pooled share all settings, but {name} is {one} and {other}")
    for one, other in combinations(members, 2):
        both = np.intersect1d(one.options.photo_ids, other.options.photo_ids)
        if len(both):
            names = " and ".join(member.provenance["dataset"] for member in (one, other))
            raise ValueError(f"{names} both report on {len(both)} photos ({both[0]} is one): pool disjoint ones")


def _fixed(member: Member) -> Policy:
    """The policy that always takes the canvas that is best on `val`."""
    n = len(member.options)
    return Policy(_canvas(member), [(np.full(n, member.best_fixed, dtype=np.int64), np.zeros(n))])


def _canvas(member: Member) -> str:
    return member.options.names[member.best_fixed]


def _told(member: Member) -> dict[str, Any]:
    return {
        **member.provenance,
        "n_sketches": len(member.options),
        "n_photos": len(np.unique(member.options.photo_ids)),
        "best_fixed": _canvas(member),
    }
