"""Saved selectors: read back as written; damaged files are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import agents
from agents.algorithms import registry as algorithms
from agents.algorithms.common.training import Run
from agents.evaluation.setting import EnvConfig
from agents.selectors import policy
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.store import cards
from tests.agents.support import ALGORITHMS, small, weights
from tests.helpers import Toy


def spread(run: Run, env: EnvConfig) -> Run:
    """The run with a random head, so that all canvases are chosen."""
    task, net = env.task("test"), run.selector.requires_grad_(False)
    torch.manual_seed(1)
    torch.nn.init.normal_(net.head.weight, std=20.0)
    net.head.bias.zero_()
    net.head.bias.copy_(-net({"points": torch.tensor(task.points), "stats": torch.tensor(task.stats)}).mean(dim=0))
    return run


@pytest.fixture
def saved(toy_env: EnvConfig, tmp_path: Path) -> Path:
    """The file of a small saved network."""
    run = algorithms.train_run(small("reinforce", toy_env))
    return agents.save(tmp_path / "selector", run, toy_env.outcomes("train"))


# ---------------------------------------------------------------- round trip


@pytest.mark.parametrize("selector", ["gru", "stats"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_reads_back_what_it_wrote(toy_env: EnvConfig, tmp_path: Path, algorithm: str, selector: str) -> None:
    run = algorithms.train_run(small(algorithm, toy_env, selector=selector))
    path = agents.save(tmp_path / "new" / "best", run, toy_env.outcomes("train"))
    assert path == tmp_path / "new" / "best.safetensors"
    assert [p.name for p in path.parent.iterdir()] == ["best.safetensors"]
    for name in ("best", "best.safetensors"):
        found = agents.load(path.parent / name)
        assert weights(found.selector) == weights(run.selector)
        assert found.selector.settings() == run.selector.settings()
        assert not found.selector.training
        assert found.canvases == (16, 32, 64, 128)
        assert found.max_points == 40
        assert found.env == toy_env


@pytest.mark.parametrize("selector", ["gru", "stats"])
def test_it_decides_as_it_did_in_the_environment(toy: Toy, toy_env: EnvConfig, tmp_path: Path, selector: str) -> None:
    run = spread(algorithms.train_run(small("reinforce", toy_env, selector=selector)), toy_env)
    found = agents.load(agents.save(tmp_path / "x", run, toy_env.outcomes("train")))
    task = toy_env.task("test")
    actions, costs = policy.actions_of(run.selector, task), policy.flops_of(run.selector, task)
    chosen = set()
    for row, (action, cost) in enumerate(zip(actions.tolist(), costs.tolist(), strict=True)):
        # From the drawing alone, as a user calls it, compared with the environment's observation.
        sketch = toy.dataset.sketch(int(task.index[row]))
        assert found(sketch) == (16, 32, 64, 128)[action]
        assert found.gflops(sketch) == pytest.approx(cost / 1e9)
        chosen.add(action)
    assert len(chosen) > 2


def test_long_drawings_are_bounded_first(toy_env: EnvConfig, tmp_path: Path) -> None:
    run = spread(algorithms.train_run(small("reinforce", toy_env, selector="gru")), toy_env)
    found = agents.load(agents.save(tmp_path / "x", run, toy_env.outcomes("train")))
    rng = np.random.default_rng(0)
    long = VectorSketch.from_strokes([rng.uniform(0.1, 0.9, (300, 2)), rng.uniform(0.1, 0.9, (50, 2))])
    assert found(long) == found(long.bounded(40))
    # 2 x MAC: 40 points of three gates on 5 + 8 numbers, and the head.
    assert found.gflops(long) == pytest.approx(2 * (40 * 3 * 8 * (5 + 8) + 8 * 4) / 1e9)


@pytest.mark.parametrize("selector", ["gru", "stats"])
def test_counting_observes_nothing(
    toy: Toy, toy_env: EnvConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, selector: str
) -> None:
    """FLOPs depend only on the number of points, so counting them must not compute the observation again."""
    run = algorithms.train_run(small("reinforce", toy_env, selector=selector))
    found = agents.load(agents.save(tmp_path / "x", run, toy_env.outcomes("train")))
    sketches = [toy.dataset.sketch(row) for row in range(6)]
    observed = [float(found.selector.flops(found.selector.observe(sketch, 40))[0]) / 1e9 for sketch in sketches]
    monkeypatch.setattr("agents.selectors.decision.observe", None)
    assert [found.gflops(sketch) for sketch in sketches] == observed
    assert len(set(observed)) == (1 if selector == "stats" else len({min(one.n_points, 40) for one in sketches}))


def test_the_card_says_where_it_comes_from(toy: Toy, toy_env: EnvConfig, saved: Path) -> None:
    card = cards.read_card(saved, "selector")
    train = toy.table.select("train", (16, 32, 64, 128))
    assert card["trained_on"] == {
        "dataset": "toy",
        "dataset_hash": toy.dataset.hash,
        "student": "made_up",
        "student_hash": "0" * 64,
        "table_hash": train.hash,
    }
    assert card["algorithm"] == "reinforce"
    assert card == agents.load(saved).card
    assert card["versions"]["torch"] == torch.__version__
    assert {"python", "numpy", "stable-baselines3", "sketchcanvas"} <= set(card["versions"])
    # Enough to train it again, to the bit.
    fields = dict(card["config"])
    again = algorithms.make_config(fields.pop("algorithm"), env=EnvConfig(**fields.pop("env")), **fields)
    assert weights(algorithms.train_run(again).selector) == weights(agents.load(saved).selector)


# ---------------------------------------------------------------- damage


def test_a_missing_file(saved: Path) -> None:
    saved.unlink()
    with pytest.raises(FileNotFoundError, match=r"selector\.safetensors is missing"):
        agents.load(saved)


Change = Callable[[dict[str, torch.Tensor]], Any]


def rewrite(path: Path, change: Change) -> None:
    """Change the tensors."""
    card, tensors = cards.read(path, "selector", lambda _: 1 << 20)
    change(tensors)
    cards.write(path, tensors, card, "selector")


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the card."""
    card, tensors = cards.read(path, "selector", lambda _: 1 << 20)
    change(card)
    cards.write(path, tensors, card, "selector")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["head.weight"].fill_(float("nan")), "head.weight holds NaN"),
        (lambda t: t["body.1.bias"][3].fill_(float("inf")), "body.1.bias holds NaN or infinity"),
        (lambda t: t.update({"head.weight": torch.zeros(5, 8)}), r"head.weight has shape \(5, 8\), expected \(4, 8\)"),
        (lambda t: t.update({"head.bias": t["head.bias"].double()}), "head.bias is of type torch.float64"),
        (lambda t: t.pop("head.bias"), r"1 missing \['head.bias'\], 0 extra \[\]"),
        (lambda t: t.update({"tail": torch.zeros(1)}), r"0 missing \[\], 1 extra \['tail'\]"),
    ],
)
def test_damaged_weights(saved: Path, change: Change, message: str) -> None:
    rewrite(saved, change)
    with pytest.raises(ValueError, match=message):
        agents.load(saved)


def test_weights_that_the_card_does_not_describe_are_refused(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1
    saved.write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        agents.load(saved)


def test_more_weights_than_the_network_has_are_not_read(saved: Path) -> None:
    rewrite(saved, lambda tensors: tensors.update(more=torch.zeros(100_000)))
    with pytest.raises(ValueError, match=r"larger than the .* bytes that its card describes"):
        agents.load(saved)


@pytest.mark.parametrize("data", [b"", b"\x00" * 8, b"\xff" * 64, b"cos\nsystem\n(S'true'\ntR."])
def test_files_that_are_no_selector(saved: Path, data: bytes) -> None:
    saved.write_bytes(data)
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        agents.load(saved)


def test_a_student_is_no_selector(saved: Path) -> None:
    card, tensors = cards.read(saved, "selector", lambda _: 1 << 20)
    cards.write(saved, tensors, card, "student")
    with pytest.raises(ValueError, match="is not a selector"):
        agents.load(saved)


def change_selector(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda card: card["selector"].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(canvases=[16, 32, 64]), "canvases"),
        (lambda c: c.update(canvases=[16, 32, 64, 256]), "differ from those in its config"),
        (lambda c: c.update(canvases=[128, 64, 32, 16]), "damaged.*rise"),
        (lambda c: c.update(canvases=None), "damaged"),
        (lambda c: c.update(canvases=["16", "32", "64", "128"]), "damaged.*integers"),
        (lambda c: c.update(max_points=1), "max_points must be an integer from 2 to"),
        (lambda c: c.update(max_points=10**12), "max_points must be an integer from 2 to"),
        (lambda c: c.update(max_points=True), "max_points"),
        (lambda c: c.update(max_points=41), "differ from those in its config"),
        (lambda c: c.update(selector=None), "damaged"),
        (lambda c: c.update(selector={"name": "gru"}), "damaged.*n_actions"),
        (change_selector(name="lstm"), "damaged.*unknown selector 'lstm'"),
        (change_selector(n_actions=3), "3 actions for 4 canvases"),
        (change_selector(n_actions=10**12), "damaged.*canvases"),
        (change_selector(n_actions="4"), "damaged"),
        (change_selector(n_stats=10**12), "damaged.*statistics"),
        (change_selector(n_stats=15), "reads 15 statistics, this version takes 16"),
        (change_selector(hidden=10**9), "damaged.*hidden"),
        (change_selector(hidden=9), r"expected"),
        (change_selector(dropout=0.5), "damaged.*dropout"),
        (change_selector(name="gru"), "does not fit this network"),
        (lambda c: c.update(config={}), "damaged"),
        (lambda c: c.update(config=[]), "damaged"),
        (lambda c: c["config"].update(env={"colour": "red"}), "damaged.*colour"),
    ],
)
def test_damaged_cards(saved: Path, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    agents.load(saved)
    edit(saved, change)
    with pytest.raises(ValueError, match=message):
        agents.load(saved)


@pytest.mark.parametrize(
    "field",
    ["algorithm", "canvases", "max_points", "selector", "config", "trained_on", "versions"],
)
def test_cards_that_lack_a_field(saved: Path, field: str) -> None:
    edit(saved, lambda card: card.pop(field))
    with pytest.raises(ValueError, match=f"lacks {field}"):
        agents.load(saved)


def test_a_failed_save_leaves_the_old_one_whole(
    toy_env: EnvConfig, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in saved.parent.iterdir()}
    run = algorithms.train_run(small("reinforce", toy_env, seed=1))

    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("agents.store.saved.cards._render", full)
    with pytest.raises(OSError, match="no space"):
        agents.save(saved, run, toy_env.outcomes("train"))
    assert {path.name: path.read_bytes() for path in saved.parent.iterdir()} == before
