"""Confidence of looks against brute force: softmax, temperature, entropy, and the area under the ROC curve."""

from __future__ import annotations

import doctest
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from sketchcanvas_env.outcomes import confidence as module
from sketchcanvas_env.outcomes.confidence import (
    TEMPERATURES,
    auc,
    auc_of_signals,
    confidence_of,
    entropy_of,
    fitted,
    partition,
)
from sketchcanvas_env.outcomes.looks import LookTable, sureness_names
from sketchcanvas_env.storage.table_file import TableError
from tests.helpers import softmax, toy_dataset, toy_looks, toy_table


@pytest.fixture
def distances() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.3, 1.9, (30, 17))


def test_softmax_entropy_and_mean_by_hand(distances: np.ndarray) -> None:
    log_sum, mean = partition(distances, TEMPERATURES)
    assert log_sum.shape == mean.shape == (30, len(TEMPERATURES))
    for i, (j, temperature) in product(range(30), enumerate(TEMPERATURES)):
        if temperature < 0.02:
            continue  # exp by hand underflows
        shares = softmax(-(distances[i] ** 2) / temperature)
        assert confidence_of(distances[i].min(), log_sum[i, j], temperature) == pytest.approx(shares.max())
        there = shares[shares > 0]
        entropy = -(there * np.log(there)).sum() / np.log(17)
        assert entropy_of(log_sum[i, j], mean[i, j], temperature, 17) == pytest.approx(entropy, abs=1e-9)


def test_nothing_overflows_at_any_temperature() -> None:
    for row in ([0.0, 2.0], [2.0, 2.0], [1.99999, 2.0]):
        log_sum, mean = partition(np.array(row), TEMPERATURES)
        shares = confidence_of(row[0], log_sum, TEMPERATURES)
        assert ((shares > 0) & (shares <= 1)).all()
        spread = entropy_of(log_sum, mean, TEMPERATURES, 2)
        assert ((spread >= 0) & (spread <= 1)).all()
    assert entropy_of(*partition(np.array([0.7]), TEMPERATURES), TEMPERATURES, 1).tolist() == [0.0] * len(TEMPERATURES)


def test_the_fitted_temperature_has_the_highest_likelihood(distances: np.ndarray) -> None:
    log_sum, _ = partition(distances, TEMPERATURES)
    true = distances.argsort(axis=1)[np.arange(30), np.arange(30) % 3]
    best = fitted(distances[np.arange(30), true], log_sum, TEMPERATURES)
    likelihood = [
        np.mean([np.log(softmax(-(row**2) / t)[photo]) for row, photo in zip(distances, true, strict=True)])
        for t in TEMPERATURES[4:]
    ]
    assert best == 4 + int(np.argmax(likelihood))
    assert 0 < best < len(TEMPERATURES) - 1


def test_auc_counts_pairs() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        scores, right = rng.integers(0, 6, 25) / 5, rng.random(25) < 0.4
        pairs = [(a > b) + 0.5 * (a == b) for a, b in product(scores[right], scores[~right])]
        assert auc(scores, right) == pytest.approx(np.mean(pairs))
    assert np.isnan(auc([0.1, 0.2], [True, True]))


def test_auc_of_every_signal_of_a_split() -> None:
    dataset = toy_dataset()
    table = toy_table(dataset)
    looks = toy_looks(table, dataset)
    found = auc_of_signals(table, looks, "val")
    assert set(found) == {"confidence", "entropy", "apart", "margin", "distance"}
    rows = table.split == "val"
    assert looks.entropy is not None
    for j, side in enumerate(table.canvases.tolist()):
        right = table.ranks[rows, j] == 1
        pairs = [
            (a < b) + 0.5 * (a == b) for a, b in product(looks.entropy[rows, j][right], looks.entropy[rows, j][~right])
        ]
        assert found["entropy"][side] == pytest.approx(np.mean(pairs))
    bare = toy_looks(table, dataset, temperatures=None, confidence=None, entropy=None, apart=None)
    assert set(auc_of_signals(table, bare)) == {"margin", "distance"}
    with pytest.raises(ValueError, match="train, val, test"):
        auc_of_signals(table, looks, "dev")


def test_looks_keep_their_confidence_in_a_file(tmp_path: object) -> None:
    table = toy_table()
    for looks in (toy_looks(table), toy_looks(table, temperatures=None, confidence=None, entropy=None, apart=None)):
        again = LookTable.load(looks.save(f"{tmp_path}/some.looks.npz"))
        assert again.hash == looks.hash
        for name in looks.OPTIONAL:
            assert np.array_equal(getattr(again, name), getattr(looks, name))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"confidence": None}, "belong together"),
        ({"confidence": np.full((111, 4), 0.5)}, "confidence"),
        ({"entropy": np.full((93, 4), 1.1)}, r"entropy must be finite and lie in \[0, 1\]"),
        ({"apart": np.full((93, 4), np.nan)}, "apart must be finite"),
        ({"temperatures": np.zeros(4)}, "above zero"),
    ],
)
def test_invalid_columns_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(TableError, match=message):
        replace(toy_looks(toy_table()), **changes)  # type: ignore[arg-type]


def test_names_and_examples() -> None:
    assert len(sureness_names([16, 32])) == 6
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted > 0
