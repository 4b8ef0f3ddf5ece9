"""Checkpoints of a training in progress: safetensors and JSON, no pickle, written atomically as one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sketchcanvas_env.files import atomic_write


def save_checkpoint(
    path: str | Path, modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer, meta: dict[str, Any]
) -> None:
    """Write the state of modules and optimiser.

    Args:
        path: the final name, ending in .safetensors.
        modules: modules by name; the same names restore them.
        optimiser: one whose state holds tensors and numbers only (Adam, AdamW, SGD).
        meta: JSON-able facts to get back, such as the step and the configuration.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"module.{name}.{key}": value.contiguous() for key, value in module.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        for key, value in state.items():
            tensors[f"optimiser.{index}.{key}"] = torch.as_tensor(value).contiguous()
    with atomic_write(path) as temporary:
        save_file({k: v.clone() for k, v in tensors.items()}, temporary, metadata={"meta": json.dumps(meta)})


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint's tensors and facts.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is not one of ours.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint {path}")
    try:
        with safe_open(str(path), framework="pt") as file:
            meta = json.loads((file.metadata() or {})["meta"])
            return {key: file.get_tensor(key) for key in file.keys()}, meta  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a training checkpoint ({error})") from error


def restore(tensors: dict[str, Tensor], modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer) -> None:
    """Put tensors from `read_checkpoint` back; the optimiser must have been built over the same parameters."""
    for name, module in modules.items():
        prefix = f"module.{name}."
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        module.load_state_dict(own)
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, index, field = key.split(".", 2)
            states.setdefault(int(index), {})[field] = value
    optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
