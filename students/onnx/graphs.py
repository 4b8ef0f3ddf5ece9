"""ONNX graphs beside a student's weights, with which search needs onnxruntime and NumPy but not torch.

    emoji-mobilenet_v2.safetensors   weights and card, read by torch and by onnxruntime alike
    emoji-mobilenet_v2.graphs        one ONNX graph for each canvas and for photos, without weights, and their card

Both are files of `students.store.cards`. Graphs name their weights and do not hold them: the nine graphs of a shipped
student have 1 MB, 0.1 MB compressed. `python -m students.onnx.export NAME` writes them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import students
from students.network.protocol import Embedder
from students.onnx.runtime import MAX_REASON, OnnxStudent, make_session, require_onnxruntime
from students.store import cards
from students.store.weights import KIND as STUDENT
from students.store.weights import load_card, weights_path

FORMAT = 1
KIND = "graphs"
SUFFIX = ".graphs"
PREFIX = "student."
"""Prefix of a weight's name in a graph."""

ENGINES = ("onnx", "torch")
"""Libraries that run a student's network."""

MAX_GRAPH_BYTES = 1 << 26
MAX_WEIGHTS_BYTES = 1 << 30


def graphs_path(weights: str | os.PathLike[str]) -> Path:
    """Where the graphs of a student lie."""
    return Path(weights).with_suffix(SUFFIX)


def embedder(name_or_path: str | Path, engine: str | None = None, threads: int = 0) -> Embedder:
    """A trained student for embedding, on onnxruntime or torch.

    Args:
        name_or_path: as for `students.load`.
        engine: "onnx" (the graphs beside the weights), "torch", or None: onnx where there are graphs, else torch.
        threads: that onnxruntime may use, 0 for all the machine has.

    Raises:
        ValueError: an unknown engine; else as `load` and `students.load`.
        ImportError: onnxruntime or torch is not installed.
    """
    if engine is not None and engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}; there are {', '.join(ENGINES)}")
    path = weights_path(students.find(name_or_path))
    if engine == "onnx" or (engine is None and graphs_path(path).is_file()):
        return load(path, threads)
    return students.load(path)


def load(name_or_path: str | Path = "emoji", threads: int = 0) -> OnnxStudent:
    """A trained student on onnxruntime.

    Args:
        name_or_path: as for `students.load`.
        threads: that one embedding may use, 0 for all the machine has.

    Raises:
        ImportError: onnxruntime is not installed.
        FileNotFoundError: no such student, or it has no graphs.
        ValueError: a damaged file, or graphs of other weights; a graph is checked when it is first used.
    """
    require_onnxruntime()
    file = weights_path(students.find(name_or_path))
    path, sha256 = graphs_path(file), load_card(file)["sha256"]
    weights = _Weights(file, sha256)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: 'python -m students.onnx.export {file}' writes it; engine='torch' needs none"
        )
    card, graphs = cards.read(path, KIND, lambda card: MAX_GRAPH_BYTES, "numpy")
    try:
        if card["format"] != FORMAT:
            raise ValueError(f"its format is {card['format']!r}, this version reads {FORMAT}"[:MAX_REASON])
        if card["source"]["weights_sha256"] != sha256:
            raise ValueError(f"it is of other weights: write it anew with 'python -m students.onnx.export {file}'")
        return OnnxStudent(card, lambda domain: (_session(path, graphs, domain, weights, threads), path))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} cannot be used: {str(error)[:MAX_REASON]}; engine='torch' does without it") from None


def tensors_of(names: Iterable[str], domain: str) -> list[str]:
    """Names of the weights in the graph of a domain: all but the norms of other domains and class embeddings."""
    return sorted(n for n in names if n != "classes" and (".bns." not in n or f".bns.{domain}." in n))


class _Weights:
    """A student's tensors, read when the first graph is opened."""

    def __init__(self, path: Path, sha256: str) -> None:
        self._path = path
        self._sha256 = sha256

    def of(self, domain: str) -> dict[str, NDArray[np.float32]]:
        tensors = self._all
        return {name: np.ascontiguousarray(tensors[name], np.float32) for name in tensors_of(tensors, domain)}

    @cached_property
    def _all(self) -> Mapping[str, NDArray[Any]]:
        card, tensors = cards.read(self._path, STUDENT, lambda card: MAX_WEIGHTS_BYTES, "numpy")
        if card["sha256"] != self._sha256:
            raise ValueError(f"{self._path} has changed since it was opened")
        return tensors


def _session(path: Path, graphs: Mapping[str, NDArray[np.uint8]], domain: str, weights: _Weights, threads: int) -> Any:
    """One graph with its weights, loaded by onnxruntime."""
    if domain not in graphs:
        raise ValueError(f"{path} has no graph for {domain!r}")
    given = {f"{PREFIX}{name}": array for name, array in weights.of(domain).items()}
    return make_session(graphs[domain].tobytes(), path, threads, given)
