"""`list`: what comes with the package."""

from __future__ import annotations

from pathlib import Path

from agents.cli.output import show
from agents.cli.shared_options import AsJson

_SELECTOR_NOTES = {"emoji": "default", "emoji-preference": "default with --tradeoff"}


def list_shipped(as_json: AsJson = False) -> None:
    """List the students, selectors, indexes and data sets by name.

    Other commands take these names, as --student, --teacher, --selector, --index and --dataset, and 'sketchcanvas
    distill' those of configurations.

    Example: sketchcanvas list
    """
    from agents.reports import tables as report

    found = shipped()
    rows = tuple((kind, name, note) for kind, names in found.items() for name, note in names.items())
    show(as_json, found, report.Table("", ("kind", "name", "what it is"), rows, words=True))


def shipped() -> dict[str, dict[str, str]]:
    """The shipped names by kind, each with a few words. Needs no torch."""
    import students
    from sketchcanvas_env.data import DATASETS, FOLDER_DATASETS

    folder = Path(students.__file__).parent
    configs = [path.relative_to(folder / "configs").with_suffix("") for path in (folder / "configs").rglob("*.json")]
    defaults = {name: dataset for dataset, name in students.DEFAULT_STUDENT.items()}
    names = students.available()
    kept = {name: f"or {defaults[name]}" if name in defaults else "" for name in names}
    return {
        "student": kept,
        "teacher": {name: f"of {', '.join(of)}" for name, of in _teachers(folder / "configs", names).items()},
        "selector": {name: _SELECTOR_NOTES.get(name, "") for name in _names(Path(__file__).parents[2] / "weights")},
        "index": {name: f"{_photos(folder / 'indexes', name):,} photos" for name in _names(folder / "indexes")},
        "data set": {
            **dict.fromkeys(sorted(DATASETS), "comes with the package"),
            **dict.fromkeys(FOLDER_DATASETS, "in your folder: --root"),
        },
        "configuration": dict.fromkeys(sorted(path.as_posix() for path in configs), ""),
    }


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("[!.]*.safetensors"))


def _teachers(configs: Path, names: tuple[str, ...]) -> dict[str, list[str]]:
    """Shipped teachers, each with the names of the shipped students that learnt from it."""
    from sketchcanvas_env.storage.files import read_json

    found: dict[str, list[str]] = {}
    for path in sorted(configs.glob("*.json")):
        teacher = read_json(path, 1 << 20).get("teacher")
        if teacher in names and path.stem in names:
            found.setdefault(teacher, []).append(path.stem)
    return found


def _photos(folder: Path, name: str) -> int:
    from safetensors import safe_open

    with safe_open(folder / f"{name}.safetensors", "numpy") as file:
        return int(file.get_slice("embeddings").get_shape()[0])
