"""Save and load students: one safetensors file each, which holds weights and card (`students.store.cards`).

The card has the network's settings, so that the file alone rebuilds its student, the SHA-256 of the weights, and what
the caller adds (data, recipe, versions, measured accuracy). Reading a card needs no torch.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from students.store import cards

if TYPE_CHECKING:
    from students.network.embedder import Student

FORMAT = 2
KIND = "student"
_BYTES = 4  # of a weight at most; they are stored as float32 or float16
_SPARE = 1 << 16  # bytes more that are read, so that a small tensor too many is named


def weights_path(path: str | Path) -> Path:
    """The file meant by `path`: itself, or a folder's only student.

    Raises ValueError saying which students the folder holds.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    there = sorted(p.name for p in path.glob("[!.]*.safetensors"))
    if len(there) != 1:
        raise ValueError(f"folder {path} holds {there or 'no students'}; name one .safetensors file")
    return path / there[0]


def save_student(student: Student, path: str | Path, card: dict[str, Any], half: bool = False) -> Path:
    """Write weights and card into one file, atomically, and return its path.

    `path` is a .safetensors file, or a folder (then the name is the card's "name", or the backbone's). `card`
    is any JSON-able dictionary; format, config, precision, dim, params and sha256 are filled in from the
    student itself. With `half`, all weights are stored as float16, in half the bytes; measure the student after
    loading it back. Raises ValueError, before anything is written, for NaN or infinity in the
    weights, a card that is not JSON or another suffix.
    """
    import torch

    path = Path(path)
    if path.suffix == "":
        path = path / f"{card.get('name', student.config.backbone)}.safetensors"
    if path.suffix != ".safetensors":
        raise ValueError(f"weights are saved as .safetensors, not {path.name}")
    state = student.state_dict()
    if half:
        state = {name: t.half() for name, t in state.items()}
    bad = sorted(name for name, t in state.items() if not torch.isfinite(t).all())
    if bad:
        raise ValueError(f"not saved: {len(bad)} tensors hold NaN or infinity, first {bad[:3]}")
    full = {
        **card,
        "format": FORMAT,
        "config": asdict(student.config),
        "precision": "float16" if half else "float32",
        "dim": student.dim,
        "params": student.params,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    cards.write(path, state, full, KIND)
    return path


def load_card(path: str | Path) -> dict[str, Any]:
    """Read the card of a student (path as for `load_student`); the weights are not read.

    Raises FileNotFoundError when there is none, ValueError when it is not a student's card.
    """
    file = _existing(path)
    return _checked(cards.read_card(file, KIND), file)


def load_student(path: str | Path) -> Student:
    """Load a student, in evaluation mode, from its file or a folder holding just one.

    Raises FileNotFoundError for a missing file (the message lists what is there), and ValueError for a file
    that is damaged (SHA-256 differs from the card's), or has missing or extra names, wrong shapes, NaN or
    infinity.
    """
    import torch

    from students.network.embedder import Student, config_from_dict
    from students.store.pretrained import check_state

    file = _existing(path)
    made: list[Student] = []

    def most(card: dict[str, Any]) -> int:
        try:
            made.append(Student(config_from_dict(_checked(card, file)["config"])))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{file}: {error}") from error
        numbers: int = sum(tensor.numel() for tensor in made[0].state_dict().values())
        return _SPARE + _BYTES * numbers

    card, state = cards.read(file, KIND, most)
    [student] = made
    wanted = student.state_dict()
    for name, tensor in state.items():
        if name in wanted and tensor.dtype not in (torch.float32, torch.float16):
            raise ValueError(f"{file}: {name} is of type {tensor.dtype}; float32 and float16 are read")
    check_state(state, {name: t.shape for name, t in wanted.items()}, str(file))
    student.load_state_dict(state)
    student.name = str(card.get("name", student.config.backbone))
    student.weights_hash = card["sha256"]
    return student.eval()


def _existing(path: str | Path) -> Path:
    """The file meant by `path`; FileNotFoundError says which students lie beside one that is missing."""
    file = weights_path(path)
    if file.exists():
        return file
    names = sorted(p.name for p in file.parent.glob("[!.]*.safetensors")) if file.parent.is_dir() else []
    raise FileNotFoundError(f"no student {file}; {file.parent} holds {names or 'no students'}")


def _checked(card: dict[str, Any], file: Path) -> dict[str, Any]:
    if card.get("format") != FORMAT:
        raise ValueError(f"{file} has format {card.get('format')!r}; this version reads {FORMAT}"[:300])
    if not isinstance(card.get("config"), dict):
        raise ValueError(f"{file}: its card has no settings of a network ('config')")
    return card
