"""Regressions that forecast the reward of every canvas, fitted on one set of sketches and applied to another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from agents.evaluation.bootstrap import FloatArray
from agents.selectors import networks as selectors
from agents.selectors.base import Selector
from sketchcanvas_env.sketches.sketch import VectorSketch

FOLDS = 5
"""Folds of the photos: for the cross-validation of ridge regression; the network holds one out."""
PENALTIES = 10.0 ** np.arange(0, 8)
"""Ridge penalties to choose from, for standardised features and sums over rows."""

MAX_POINTS = 128
"""Points that a drawing is simplified to for the network."""
EPOCHS, BATCH, RATE = 20, 256, 1e-3
"""Training of the network; the epoch that is best on the photos held out is kept."""


def explained(forecast: FloatArray, truth: FloatArray) -> float:
    """Share of the variance of the differences between neighbouring canvases that a forecast explains.

    Args:
        forecast: (N, K), at least two canvases.
        truth: (N, K).

    Returns:
        1 for a forecast without error, 0 for one no better than the differences' means, below 0 for a worse one; 0
        where nothing differs.
    """
    difference = np.diff(truth, axis=1)
    left = float(((difference - np.diff(forecast, axis=1)) ** 2).sum())
    whole = float(((difference - difference.mean(axis=0)) ** 2).sum())
    return 1.0 - left / whole if whole > 0 else 0.0


def ridge(x: FloatArray, y: FloatArray, photos: npt.NDArray[np.str_], z: FloatArray) -> FloatArray:
    """Forecasts of ridge regression; the penalty is chosen by cross-validation over photos.

    Args:
        x: (N, F) features, which are standardised.
        y: (N, K) reward of each canvas.
        photos: (N,) photo of each row, at least `FOLDS` different ones.
        z: (M, F) features to forecast for.

    Returns:
        (M, K) float64.

    Raises:
        ValueError: fewer photos than folds.
    """
    _, group = np.unique(photos, return_inverse=True)
    n = int(group.max()) + 1
    if n < FOLDS:
        raise ValueError(f"cross-validation over photos needs at least {FOLDS} of them, got {n}")
    fold = np.random.default_rng(0).permutation(n)[group] % FOLDS
    tried = np.zeros((len(PENALTIES), *y.shape))
    for part in range(FOLDS):
        out = fold == part
        tried[:, out] = _solve(x[~out], y[~out], x[out], PENALTIES)
    best = int(np.argmax([explained(forecast, y) for forecast in tried]))
    return np.asarray(_solve(x, y, z, PENALTIES[best : best + 1])[0])


def _solve(x: FloatArray, y: FloatArray, z: FloatArray, penalties: npt.NDArray[np.floating]) -> FloatArray:
    """Forecasts at z for each penalty, (P, M, K)."""
    middle, width, level = x.mean(axis=0), x.std(axis=0) + 1e-9, y.mean(axis=0)
    x, z = (x - middle) / width, (z - middle) / width
    values, vectors = np.linalg.eigh(x.T @ x)
    towards = vectors.T @ (x.T @ (y - level))
    return np.stack([z @ (vectors @ (towards / (values + p)[:, None])) + level for p in penalties])


def convolution(
    here: Sequence[VectorSketch],
    y: FloatArray,
    photos: npt.NDArray[np.str_],
    there: Sequence[VectorSketch],
    seed: int = 0,
) -> tuple[FloatArray, FloatArray]:
    """Forecasts of the selector network `conv` on the points; torch's global generator is not advanced.

    Args:
        here: N sketches to fit.
        y: (N, K) reward of each canvas.
        photos: (N,) photo of each sketch, at least two different ones.
        there: M sketches to forecast for.
        seed: of the network, the photos held out and the order.

    Returns:
        (M, K) float64, and the network's FLOPs for each sketch, (M,) float64.
    """
    rng = np.random.default_rng(seed)
    points, level = _points(here), y.mean(axis=0)
    target = torch.from_numpy(y - level).float()
    names = np.unique(photos)
    held = np.isin(photos, rng.permutation(names)[: max(1, len(names) // FOLDS)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = selectors.create("conv", y.shape[1])
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE)
    best, kept = -np.inf, {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for _ in range(EPOCHS):
        order = rng.permutation(np.flatnonzero(~held))
        for start in range(0, len(order), BATCH):
            rows = torch.from_numpy(order[start : start + BATCH])
            loss = (network({"points": points[rows]}) - target[rows]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        score = explained(_forward(network, points[torch.from_numpy(held)]), y[held])
        if score > best:
            best, kept = score, {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(kept)
    points = _points(there)
    return _forward(network, points) + level, network.flops({"points": points}).numpy()


def _points(sketches: Sequence[VectorSketch]) -> torch.Tensor:
    return torch.from_numpy(np.stack([sketch.to_stroke5(MAX_POINTS) for sketch in sketches]))


def _forward(network: Selector, points: torch.Tensor) -> FloatArray:
    with torch.inference_mode():
        parts = [network({"points": part}) for part in torch.split(points, 1024)]
        return np.asarray(torch.cat(parts).double().numpy())
