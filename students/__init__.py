"""Student networks for sketch-based photo retrieval: backbones, embeddings, FLOPs, weights, training, tables, search.

Importing `students` is quick: torch is imported when a student is made or loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from students.network.embedder import Student

__all__ = ["available", "backbone_names", "create", "find", "load"]

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
DEFAULT_STUDENT = {
    "emoji": "emoji-mobilenet_v2",
    "chairv2": "chairv2-mobilenet_v2",
    "quickdraw": "quickdraw_recognition-mobilenet_v2",
}


def backbone_names() -> tuple[str, ...]:
    """Backbones for `create`, without those of timm ("timm:NAME")."""
    from students.backbones import BACKBONES

    return tuple(sorted(BACKBONES))


def available() -> tuple[str, ...]:
    """Names of the shipped trained students, as ``<dataset>-<backbone>``."""
    return tuple(sorted(p.stem for p in WEIGHTS_FOLDER.glob("[!.]*.safetensors")))


def create(name: str = "mobilenet_v2", pretrained: bool = False, **config: Any) -> Student:
    """An untrained student.

    Args:
        name: its backbone.
        pretrained: give the trunk its published weights. Other weights, and always the heads, are random.
        config: fields of `StudentConfig`. Normalisation and padding default to those of the published weights.

    Raises:
        ValueError: an unknown backbone or setting (the message lists the known ones), or published weights that need
            calibration (`students.network.calibration`).
        ImportError: the package with the network or its weights is not installed.
        FileNotFoundError: `pretrained` for a backbone without published weights.
    """
    from students.network.config import config_from_dict
    from students.network.embedder import Student

    student = Student(config_from_dict({"backbone": name, **config}))
    if pretrained:
        from students.store.pretrained import load_published

        if load_published(student):
            raise ValueError(
                f"the published weights of {name} have folded batch norms: create it without 'pretrained', then use "
                "students.store.pretrained.load_published and students.network.calibration.calibrate_all"
            )
    return student


def find(name_or_path: str | Path) -> Path:
    """Path of a trained student, by shipped name ("emoji-mobilenet_v2", or "emoji" for the default) or by path.

    Raises ValueError for an unknown name, listing the shipped ones; a path ending in .safetensors need not exist.
    """
    text = str(name_or_path)
    name = DEFAULT_STUDENT.get(text, text)
    if name in available():
        return WEIGHTS_FOLDER / f"{name}.safetensors"
    path = Path(name_or_path)
    if path.suffix == ".safetensors" or path.exists():
        return path
    raise ValueError(
        f"unknown student {text!r}; there are {', '.join(available()) or 'none'} (teachers come with the source, not "
        "with the wheel), or give a path"
    )


def load(name_or_path: str | Path) -> Student:
    """A trained student in evaluation mode, by shipped name or path.

    Raises as `find`, and as `students.store.weights.load_student` for missing or bad files.
    """
    from students.store.weights import load_student

    return load_student(find(name_or_path))
