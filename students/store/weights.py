"""Save and load students: a .safetensors file with a JSON card of the same name beside it.

The card holds the network's settings (so that a file alone rebuilds its student), the file's sha256, and
whatever the caller adds (data, recipe, versions, measured accuracy).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as render_safetensors

from sketchcanvas_env.storage.files import read_json
from students.network.embedder import Student, config_from_dict
from students.store.pretrained import check_state

FORMAT = 1
MAX_CARD_BYTES = 1 << 20
_TYPES = (torch.float32, torch.float16)


def weights_path(path: str | Path) -> Path:
    """The .safetensors file meant by `path`: itself, the one beside a .json card, or a folder's only one.

    Raises FileNotFoundError or ValueError saying which students the folder holds.
    """
    path = Path(path)
    if path.is_dir():
        there = sorted(p.name for p in path.glob("[!.]*.safetensors"))
        if len(there) != 1:
            raise ValueError(f"folder {path} holds {there or 'no students'}; name one .safetensors file")
        return path / there[0]
    return path.with_suffix(".safetensors") if path.suffix == ".json" else path


def card_path(path: str | Path) -> Path:
    """The card beside a weights file."""
    return Path(path).with_suffix(".json")


def save_student(student: Student, path: str | Path, card: dict[str, Any], half: bool = False) -> Path:
    """Write weights and card, each atomically, and return the path of the weights.

    `path` is a .safetensors file, or a folder (then the name is the card's "name", or the backbone's). `card`
    is any JSON-able dictionary; format, config, precision, dim, params and sha256 are filled in from the
    student itself. With `half`, convolution kernels are stored as float16 (about 4.7 MB less); measure the
    student after loading it back. Raises ValueError, before anything is written, for NaN or infinity in the
    weights, a card that is not JSON or another suffix.
    """
    from sketchcanvas_env.storage.files import atomic_write

    path = Path(path)
    if path.suffix == "":
        path = path / f"{card.get('name', student.config.backbone)}.safetensors"
    if path.suffix != ".safetensors":
        raise ValueError(f"weights are saved as .safetensors, not {path.name}")
    state = {name: t.detach().cpu().contiguous() for name, t in student.state_dict().items()}
    if half:
        state = {name: t.half() if t.ndim == 4 else t for name, t in state.items()}
    bad = sorted(name for name, t in state.items() if not torch.isfinite(t).all())
    if bad:
        raise ValueError(f"not saved: {len(bad)} tensors hold NaN or infinity, first {bad[:3]}")
    data = render_safetensors(state, {"format": "pt"})
    full = {
        **card,
        "format": FORMAT,
        "config": asdict(student.config),
        "precision": "float16 convolutions, float32 norms" if half else "float32",
        "dim": student.dim,
        "params": student.params,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    try:
        text = json.dumps(full, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"the card is not JSON: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    # Weights first: stopped in between, the old card's sha256 no longer matches and loading says so.
    with atomic_write(path) as temporary:
        Path(temporary).write_bytes(data)
    with atomic_write(card_path(path)) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
    return path


def load_card(path: str | Path) -> dict[str, Any]:
    """Read the card of a weights file (path as for `load_student`).

    Raises FileNotFoundError when there is none, ValueError when it is not a student's card.
    """
    file = card_path(weights_path(path))
    if not file.is_file():
        raise FileNotFoundError(f"no card {file}; {_siblings(file)}")
    card = read_json(file, MAX_CARD_BYTES)
    if not isinstance(card, dict) or not isinstance(card.get("config"), dict) or "sha256" not in card:
        raise ValueError(f"{file} is not a student's card: it needs 'config' and 'sha256'")
    if card.get("format") != FORMAT:
        raise ValueError(f"{file} has format {card.get('format')!r}; this version reads {FORMAT}")
    return card


def load_student(path: str | Path) -> Student:
    """Load a student, in evaluation mode, from its weights file, its card, or a folder holding just one.

    Raises FileNotFoundError for a missing file (the message lists what is there), and ValueError for a file
    that is damaged (sha256 differs from the card's), or has missing or extra names, wrong shapes, NaN or
    infinity.
    """
    file = weights_path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no weights file {file}; {_siblings(file)}")
    card = load_card(file)
    try:
        student = Student(config_from_dict(card["config"]))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{card_path(file)}: {error}") from error
    wanted = student.state_dict()
    data = read_weights(file, wanted)
    digest = hashlib.sha256(data).hexdigest()
    if digest != card["sha256"]:
        raise ValueError(f"{file} does not match its card: sha256 is {digest}, the card says {card['sha256']}")
    try:
        state = parse_safetensors(data)
    except Exception as error:
        raise ValueError(f"{file} is not a readable safetensors file: {error}") from error
    for name, tensor in state.items():
        if name in wanted and tensor.dtype not in _TYPES:
            raise ValueError(f"{file}: {name} is of type {tensor.dtype}; {_TYPES} are read")
    check_state(state, {name: t.shape for name, t in wanted.items()}, str(file))
    student.load_state_dict(state)
    student.name = str(card.get("name", student.config.backbone))
    student.weights_hash = digest
    return student.eval()


def read_weights(file: Path, wanted: Mapping[str, torch.Tensor]) -> bytes:
    """The bytes of a .safetensors file that should hold just these tensors.

    Raises:
        ValueError: the file is larger than such a file can be; nothing is read then.
    """
    # Names and places stand in the header, some hundred bytes a tensor.
    limit = (1 << 16) + sum(512 + 4 * tensor.numel() for tensor in wanted.values())
    with open(file, "rb") as stream:
        if os.fstat(stream.fileno()).st_size > limit:
            raise ValueError(f"{file} is larger than the {limit:,} bytes of the network that its card describes")
        return stream.read(limit)


def _siblings(file: Path) -> str:
    """Say which students lie beside a file that is missing."""
    names = sorted(p.name for p in file.parent.glob("[!.]*.safetensors")) if file.parent.is_dir() else []
    return f"{file.parent} holds {names or 'no students'}"
