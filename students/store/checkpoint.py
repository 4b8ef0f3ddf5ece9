"""Checkpoints of a run in progress: weights, optimiser and generators in one safetensors file, without pickle.

Everything but tensors is JSON in the file's metadata, so that one rename replaces the whole checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as render_safetensors
from torch import Tensor

from sketchcanvas_env.storage.files import atomic_write, is_special, parse_json

_STATE = "state"
_FORMAT = {"format": "sketchcanvas-checkpoint-1"}
_MAX_TENSORS = 20_000
"""Tensors that are read, at most; the largest student has fewer than 5,000, with two moments of each weight."""


def save(path: str | Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file to write or replace.
        tensors: by name.
        state: JSON-able; its "config" has the run's settings, which `load` compares.
    """
    copies = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    data = render_safetensors(copies, metadata={**_FORMAT, _STATE: json.dumps(state, sort_keys=True)})
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def load(path: str | Path, config: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, state) of a checkpoint of a run with the given settings.

    Args:
        path: a file written by `save`.
        config: settings of the run to resume.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint, or one of a run with other settings; the message names those that differ.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"no checkpoint at {path}")
    if is_special(path):
        raise ValueError(f"{path} is not a checkpoint: not a plain file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT["format"]:
                raise ValueError(f"{path} is not a checkpoint of this version ({metadata.get('format')!r})")
            names = list(file.keys())
            if len(names) > _MAX_TENSORS:
                raise ValueError(f"{path} is not a checkpoint: it holds {len(names):,} tensors")
            tensors = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a checkpoint: {error}") from None
    state = parse_json(metadata.get(_STATE, ""), f"{path} is not a checkpoint: its state")
    if not isinstance(state, dict) or not isinstance(state.get("config"), dict):
        raise ValueError(f"{path} is not a checkpoint: its state has no settings of a run")
    # Through JSON, so that tuples and lists compare equal.
    wanted, found = json.loads(json.dumps(config)), state["config"]
    if wanted != found:
        differing = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
        raise ValueError(f"{path} is of a run with other settings: {', '.join(differing)} differ; use its settings")
    return tensors, state


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's moments and counters, by name, for a checkpoint."""
    state = optimiser.state_dict()["state"]
    return {f"optimiser.{index}.{key}": value for index, slots in state.items() for key, value in slots.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load the tensors of `optimiser_tensors` into a new optimiser over the same parameters."""
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".", 2)
            slots.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": slots, "param_groups": optimiser.state_dict()["param_groups"]})
    # A fused step needs parameters and moments in the same memory layout.
    for parameter, moments in optimiser.state.items():
        for key, value in moments.items():
            if torch.is_tensor(value) and value.shape == parameter.shape:
                moments[key] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def module_tensors(module: torch.nn.Module, name: str = "weights") -> dict[str, Tensor]:
    """A module's weights, by name after the prefix `name`, for a checkpoint."""
    return {f"{name}.{key}": tensor for key, tensor in module.state_dict().items()}


def restore_module(module: torch.nn.Module, tensors: Mapping[str, Tensor], name: str = "weights") -> None:
    """Load the tensors of `module_tensors` into a module of the same structure."""
    prefix = f"{name}."
    module.load_state_dict({n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})
