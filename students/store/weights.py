"""Save and load students: weights and card in one safetensors file (`students.store.cards`).

The card has the network's settings, so that a student can be rebuilt from its file alone, the SHA-256 of the weights,
and entries of the caller (data, recipe, versions, accuracy). Cards are read without torch.
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
_BYTES = 4  # per weight, at most: float32 or float16
_SPARE = 1 << 16  # bytes read beyond the expected size, so that a message can name a small extra tensor


def weights_path(path: str | Path) -> Path:
    """`path` itself, or the only student in it if it is a folder.

    Raises ValueError, listing the folder's students, if it has none or several.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    names = sorted(p.name for p in path.glob("[!.]*.safetensors"))
    if len(names) != 1:
        raise ValueError(f"folder {path} holds {names or 'no students'}; name one .safetensors file")
    return path / names[0]


def save_student(student: Student, path: str | Path, card: dict[str, Any], half: bool = False) -> Path:
    """Write weights and card into one file, atomically, and return its path.

    Args:
        student: the network.
        path: a .safetensors file, or a folder, where the file gets the card's "name" or else the backbone's.
        card: JSON-able; "format", "config", "precision", "dim", "params", "kind" and "sha256" are filled in.
        half: store float16, in half the bytes. Accuracy should then be measured on the loaded student.

    Raises:
        ValueError: NaN or infinity in the weights, a card that is not JSON, or another suffix. Nothing is written.
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
    """The card of a student, by the path of its file or folder; the weights are not read.

    Raises FileNotFoundError for a missing file, ValueError for one without a student's card.
    """
    file = _existing_file(path)
    return _checked_card(cards.read_card(file, KIND), file)


def load_student(path: str | Path) -> Student:
    """A student in evaluation mode, from its file or the folder that holds only this student.

    Raises:
        FileNotFoundError: no such file; the message lists the students beside it.
        ValueError: a damaged file (its SHA-256 is not the card's), missing or extra tensors, wrong shapes, NaN or
            infinity.
    """
    import torch

    from students.network.config import config_from_dict
    from students.network.embedder import Student
    from students.store.pretrained import check_state

    file = _existing_file(path)
    built: list[Student] = []

    def max_bytes(card: dict[str, Any]) -> int:
        """Build the student of the card, and return the most bytes that its weights can take."""
        try:
            built.append(Student(config_from_dict(_checked_card(card, file)["config"])))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{file}: {error}") from error
        numbers: int = sum(tensor.numel() for tensor in built[0].state_dict().values())
        return _SPARE + _BYTES * numbers

    card, state = cards.read(file, KIND, max_bytes)
    [student] = built
    wanted = student.state_dict()
    for name, tensor in state.items():
        if name in wanted and tensor.dtype not in (torch.float32, torch.float16):
            raise ValueError(f"{file}: {name} is of type {tensor.dtype}; float32 and float16 are read")
    check_state(state, {name: t.shape for name, t in wanted.items()}, str(file))
    student.load_state_dict(state)
    student.name = str(card.get("name", student.config.backbone))
    student.weights_hash = card["sha256"]
    return student.eval()


def _existing_file(path: str | Path) -> Path:
    """`weights_path(path)`; raises FileNotFoundError, listing the students beside it, if it does not exist."""
    file = weights_path(path)
    if file.exists():
        return file
    names = sorted(p.name for p in file.parent.glob("[!.]*.safetensors")) if file.parent.is_dir() else []
    raise FileNotFoundError(f"no student {file}; {file.parent} holds {names or 'no students'}")


def _checked_card(card: dict[str, Any], file: Path) -> dict[str, Any]:
    """The card; raises ValueError unless it has this version's format and the settings of a network."""
    if card.get("format") != FORMAT:
        raise ValueError(f"{file} has format {card.get('format')!r}; this version reads {FORMAT}"[:300])
    if not isinstance(card.get("config"), dict):
        raise ValueError(f"{file}: its card has no settings of a network ('config')")
    return card
