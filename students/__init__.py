"""Student networks for sketch-based photo retrieval: trunks, embeddings, FLOPs, weights, training.

``import students`` is light: torch is imported when a student is made or loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from students.network.embedder import Student

__all__ = ["available", "backbone_names", "create", "find", "load"]

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
DEFAULT_STUDENT = {"emoji": "emoji-mobilenet_v2", "chairv2": "chairv2-mobilenet_v2"}


def backbone_names() -> tuple[str, ...]:
    """Names that `create` takes, beside "timm:NAME"."""
    from students.backbones import BACKBONES

    return tuple(sorted(BACKBONES))


def available() -> tuple[str, ...]:
    """Names of the trained students shipped with the package, as ``<dataset>-<backbone>``."""
    return tuple(sorted(p.stem for p in WEIGHTS_FOLDER.glob("[!.]*.safetensors")))


def create(name: str = "mobilenet_v2", pretrained: bool = False, **config: Any) -> Student:
    """Make a student with the backbone `name`; `config` are fields of `StudentConfig`.

    Normalisation and padding are those that the backbone's published weights want, unless given. The weights are
    random; with `pretrained` the trunk's are the published ones, for backbones whose weights need no calibration
    data (else see `students.store.pretrained.start_from_pretrained`). The heads are random always, until trained.

    Raises:
        ValueError: an unknown backbone or setting (the message lists what exists), or weights that need data.
        ImportError: weights or network in a package that is not installed.
        FileNotFoundError: `pretrained` for a backbone without published weights.
    """
    from students.network.embedder import Student, config_from_dict

    student = Student(config_from_dict({"backbone": name, **config}))
    if pretrained:
        from students.store.pretrained import start_from_pretrained

        start_from_pretrained(student)
    return student


def find(name_or_path: str | Path) -> Path:
    """Where a trained student is, by shipped name ("emoji-mobilenet_v2"; "emoji" for the default) or by path.

    Raises ValueError for an unknown name, listing what exists; a path ending in .safetensors need not exist.
    """
    text = str(name_or_path)
    name = DEFAULT_STUDENT.get(text, text)
    if name in available():
        return WEIGHTS_FOLDER / f"{name}.safetensors"
    path = Path(name_or_path)
    if path.suffix == ".safetensors" or path.exists():
        return path
    raise ValueError(f"unknown student {text!r}; shipped students: {list(available()) or 'none'}, or give a path")


def load(name_or_path: str | Path) -> Student:
    """Load a trained student, by whatever `find` takes.

    Raises as `find`; see `students.store.weights.load_student` for bad files.
    """
    from students.store.weights import load_student

    return load_student(find(name_or_path))
