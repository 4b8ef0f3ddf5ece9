"""Selectors on disk: weights as safetensors beside a JSON card, no pickle; `agents.load` reads them back.

`NAME.safetensors` holds the weights, `NAME.json` says what they are: network, canvases, algorithm and its
settings, versions, and the hashes of the outcome table, the student and the data that they were trained on.
The card carries the weights' SHA-256, so two files that do not belong together are noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as render_safetensors

import students.store.provenance
import students.tables.latency
from agents.algorithms.common.curves import CurvePoint
from agents.algorithms.common.training import Run
from agents.evaluation.evaluate import GIGA
from agents.evaluation.setting import CascadeConfig, EnvConfig, env_from_json
from agents.selectors import networks as selectors
from agents.selectors.base import Selector, as_tensors
from agents.selectors.cascade_observation import Cascade, Seen, checked_costs, observe_looks
from agents.selectors.observation import counted_points
from agents.selectors.points import POINT_DIM
from agents.store import provenance
from sketchcanvas_env.outcomes.columns import check_canvases
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.features import FEATURE_NAMES
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.sketches.thumbnail import SIZE
from sketchcanvas_env.storage.files import atomic_write, read_json, sha256_file
from sketchcanvas_env.tasks.arguments import MAX_POINTS
from students.store.weights import read_weights

FORMAT = 1
"""Version of the card; another one is refused."""

MAX_CARD_BYTES = 1 << 20

WEIGHTS_FOLDER = Path(__file__).parents[1] / "weights"
"""Where the shipped selectors lie, as <data set>.safetensors and .json."""

_FIELDS = (
    "format",
    "algorithm",
    "canvases",
    "max_points",
    "selector",
    "config",
    "trained_on",
    "versions",
    "weights_sha256",
)


@dataclass(frozen=True)
class SavedSelector:
    """A trained selector: call it with a sketch and it names the canvas.

    One that was trained with preferences is called with a tradeoff beside the sketch. `env.preferences` says for
    which it was trained; it answers for others, too, but has learnt nothing of them.

    Attributes:
        selector: the network, in eval mode.
        canvases: sides it chooses from, pixels.
        max_points: points that a sketch is bounded to before the network sees it.
        card: everything that the JSON file says.
    """

    selector: Selector
    canvases: tuple[int, ...]
    max_points: int
    card: dict[str, Any]

    def __call__(self, sketch: VectorSketch, tradeoff: float | None = None) -> int:
        """The side, in pixels, on which to draw a sketch.

        Args:
            sketch: the drawing.
            tradeoff: weight of cost against accuracy in [0, 1], for a selector trained with preferences only.

        Raises:
            ValueError: a tradeoff that is missing, not wanted or out of range.
        """
        return self.canvases[int(self.logits(sketch, tradeoff).argmax())]

    def logits(self, sketch: VectorSketch, tradeoff: float | None = None) -> NDArray[np.float32]:
        """The network's answer, (K,) float32; arguments and errors are those of a call."""
        return self._answer(self._observed(sketch, tradeoff))

    def _answer(self, obs: dict[str, torch.Tensor]) -> NDArray[np.float32]:
        with torch.inference_mode():
            answer: NDArray[np.float32] = self.selector(obs)[0].numpy()
        return answer

    def gflops(self, sketch: VectorSketch, tradeoff: float | None = None) -> float:
        """What deciding about a sketch costs, in GFLOPs (2 x MAC), at any tradeoff and after any looks.

        Arguments and errors are those of a call.
        """
        self.selector.check_tradeoff(tradeoff)
        return self.flops(counted_points(self.selector.reads, sketch, self.max_points)) / GIGA

    def flops(self, n_points: int) -> float:
        """FLOPs (2 x MAC) of deciding about a drawing of so many points: on nothing else does a network's work depend.

        Args:
            n_points: 1 to `max_points`.
        """
        if n_points not in self._counted:
            self._counted[n_points] = float(self.selector.flops(self.example(n_points))[0])
        return self._counted[n_points]

    @cached_property
    def _counted(self) -> dict[int, float]:
        """FLOPs by number of points, as far as they were asked for."""
        return {}

    def example(self, n_points: int) -> dict[str, torch.Tensor]:
        """An observation of a drawing of so many points, in the order of what the network reads."""
        parts = self._blank(n_points)
        return {name: parts[name] for name in self.selector.reads}

    def _blank(self, n_points: int) -> dict[str, torch.Tensor]:
        """All that there may be of an observation, nothing in it but the number of points."""
        points = torch.zeros((1, self.max_points, POINT_DIM))
        points[:, :n_points, 2] = 1.0  # pen down throughout
        points[:, n_points:, 4] = 1.0
        return {
            "points": points.reshape(1, -1),
            "stats": torch.zeros((1, len(FEATURE_NAMES))),
            "thumbnail": torch.zeros((1, SIZE)),
            "tradeoff": torch.zeros((1, 1)),
        }

    def _observed(self, sketch: VectorSketch, tradeoff: float | None) -> dict[str, torch.Tensor]:
        return self.selector.observe(sketch, self.max_points, tradeoff)

    @property
    def env(self) -> EnvConfig:
        """The environment that it was trained in."""
        return env_from_json(self.card["config"]["env"])


@dataclass(frozen=True)
class SavedCascade(Cascade, SavedSelector):
    """A trained selector that may look at a sketch several times.

    Ask `next` with the looks so far until it says None: the last look is the answer then, or with
    `env.ranking == "fused"` all of them together. A call names the first canvas.

    Attributes:
        costs: what a look at each canvas costs, in FLOPs or milliseconds, as where it was trained.
    """

    costs: tuple[float, ...]

    @property
    def ranking(self) -> str:
        """What its answer is: the ranking of the "last" look, or of all looks "fused"."""
        assert isinstance(self.env, CascadeConfig)  # `load` looks
        return self.env.ranking

    def logits(
        self, sketch: VectorSketch, tradeoff: float | None = None, looks: Sequence[Seen] = ()
    ) -> NDArray[np.float32]:
        """As `Cascade.logits`."""
        self.selector.check_tradeoff(tradeoff)
        return self._answer(self._shown(sketch, looks))

    def _blank(self, n_points: int) -> dict[str, torch.Tensor]:
        return {**super()._blank(n_points), **as_tensors(observe_looks(self.canvases, self.costs, ()))}

    def _shown(self, sketch: VectorSketch, looks: Sequence[Seen]) -> dict[str, torch.Tensor]:
        """The observation that the environment would give."""
        seen = as_tensors(observe_looks(self.canvases, self.costs, looks))
        return {**self._observed(sketch, None), **seen}


def save(path: str | Path, run: Run, table: OutcomeTable, curve: Sequence[CurvePoint] = ()) -> Path:
    """Write a run's selector: `path` with the endings .safetensors and .json, each atomically, the card last.

    Args:
        path: where to, with or without ending.
        run: the finished run.
        table: the outcomes that it was trained on, at the canvases on offer, for their hashes.
        curve: what it earned in the course of training.

    Returns:
        The path of the weights.
    """
    weights = stem(path).with_suffix(".safetensors")
    tensors = {name: tensor.contiguous() for name, tensor in run.selector.state_dict().items()}
    with atomic_write(weights) as temporary:
        temporary.write_bytes(render_safetensors(tensors))
    card = {
        "format": FORMAT,
        "algorithm": run.config.algorithm,
        "canvases": list(run.config.env.canvases),
        "max_points": run.config.env.max_points,
        **({"costs": table.costs(run.config.env.cost).tolist()} if run.config.cascade else {}),
        "selector": run.selector.settings(),
        "config": run.config.to_json(),
        "trained_on": {**provenance.of_table(table), **run.config.env.extra_hashes()},
        "run": {"steps": run.steps, "seconds": run.seconds, "curve": [point.to_json() for point in curve]},
        "commit": students.store.provenance.commit(),
        "machine": students.tables.latency.machine(),
        "versions": provenance.versions(),
        "weights_sha256": sha256_file(weights),
    }
    with atomic_write(weights.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return weights


def shipped() -> tuple[str, ...]:
    """Names of the selectors that come with the package, one for each data set that has one."""
    return tuple(sorted(path.stem for path in WEIGHTS_FOLDER.glob("[!.]*.json")))


def load(path: str | Path) -> SavedSelector:
    """Read a selector, believing nothing before it is checked.

    Args:
        path: of the weights, of the card, or of both without an ending; or the name of a shipped selector, "emoji".

    Returns:
        A callable, sketch -> canvas, or (sketch, tradeoff) -> canvas; of a cascade a `SavedCascade`.

    Raises:
        FileNotFoundError: weights or card are missing.
        ValueError: a damaged card, weights of another network, missing or extra tensors, wrong shapes, NaN,
            or files that do not belong together.
    """
    place = WEIGHTS_FOLDER / path if isinstance(path, str) and path in shipped() else stem(path)
    weights = place.with_suffix(".safetensors")
    card_path = weights.with_suffix(".json")
    for file in (weights, card_path):
        if not file.is_file():
            raise FileNotFoundError(
                f"no saved selector: {file} is missing (a selector is a .safetensors and a .json file)"
            )
    card = _read_card(card_path)
    try:
        canvases = check_canvases(card["canvases"])
        selector = selectors.create(**card["selector"])
        env = env_from_json(card["config"]["env"])
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise ValueError(f"{card_path} is damaged: {error}") from None
    if (canvases, card["max_points"]) != (env.canvases, env.max_points):
        raise ValueError(f"{card_path}: canvases or max_points are not those of the run in its config")
    if selector.conditioned != (env.preferences is not None):
        raise ValueError(f"{card_path}: a network is told the tradeoff just when its environment has preferences")
    cascade = isinstance(env, CascadeConfig)
    if selector.n_actions != len(canvases) + cascade:
        raise ValueError(f"{card_path}: {selector.n_actions} actions for {len(canvases)} canvases")
    try:
        selectors.check_reads(selector, cascade)
    except ValueError as error:
        raise ValueError(f"{card_path}: {error}") from None
    if selector.n_stats not in (None, len(FEATURE_NAMES)):
        raise ValueError(
            f"{card_path}: the network reads {selector.n_stats} statistics, this version takes {len(FEATURE_NAMES)}"
        )
    # Read once: a file that is hashed and then read again may have changed in between.
    data = read_weights(weights, selector.state_dict())
    if hashlib.sha256(data).hexdigest() != card["weights_sha256"]:
        raise ValueError(f"{weights} is not the file that {card_path.name} describes: the SHA-256 differs")
    try:
        tensors = parse_safetensors(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{weights} is damaged: {error}") from None
    _fill(selector, tensors, weights)
    if cascade:
        return SavedCascade(
            selector.eval(), canvases, int(card["max_points"]), card, _costs(card, len(canvases), card_path)
        )
    return SavedSelector(selector.eval(), canvases, int(card["max_points"]), card)


def _costs(card: dict[str, Any], n: int, path: Path) -> tuple[float, ...]:
    """What the canvases cost, out of a cascade's card."""
    try:
        return checked_costs(card.get("costs"), n)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _fill(selector: Selector, tensors: dict[str, torch.Tensor], path: Path) -> None:
    wanted = selector.state_dict()
    missing, extra = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    if missing or extra:
        raise ValueError(f"{path}: missing tensors {missing[:3] or 'none'}, extra tensors {extra[:3] or 'none'}")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape or tensor.dtype != wanted[name].dtype:
            raise ValueError(
                f"{path}: {name} is {tuple(tensor.shape)} {tensor.dtype}, the card asks for "
                f"{tuple(wanted[name].shape)} {wanted[name].dtype}"
            )
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{path}: {name} holds NaN or infinity")
    selector.load_state_dict(tensors)


def _read_card(path: Path) -> dict[str, Any]:
    card = read_json(path, MAX_CARD_BYTES)
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise ValueError(f"{path} is no card of a selector in format {FORMAT}")
    missing = [name for name in _FIELDS if name not in card]
    if missing:
        raise ValueError(f"{path}: the card lacks {', '.join(missing)}")
    points = card["max_points"]
    if not isinstance(points, int) or isinstance(points, bool) or not 2 <= points <= MAX_POINTS:
        raise ValueError(f"{path}: max_points must be an integer from 2 to {MAX_POINTS}, got {points!r}")
    return card


def stem(path: str | Path) -> Path:
    """The name that a selector's two files share."""
    plain = Path(path)
    return plain.with_suffix("") if plain.suffix in (".safetensors", ".json") else plain
