"""Pages of the API, one for each module: `python -m tests.tools.docs FOLDER`. A warning of pdoc ends it."""

from __future__ import annotations

import argparse
import pkgutil
import warnings
from importlib import import_module
from pathlib import Path

import pdoc

PACKAGES = ("sketchcanvas_env", "students", "agents")


def build(folder: Path) -> None:
    """Write the pages into `folder`, with `index.html` on top."""
    warnings.simplefilter("error")
    # Annotations of inherited fields are kept as text, which pdoc reads where the name may not have been imported;
    # mypy checks them.
    warnings.filterwarnings("ignore", "Error parsing type annotation", UserWarning)
    rooms = []  # pdoc walks from each into its modules; from a package with an `__all__` it does not
    for name in PACKAGES:
        package = import_module(name)
        rooms += [name, *(room.name for room in pkgutil.iter_modules(package.__path__, f"{name}.") if room.ispkg)]
        for public in package.__all__:  # pdoc shows a lazily loaded name only when it is there
            setattr(package, public, getattr(package, public))
    pdoc.render.configure(docformat="google")
    pdoc.pdoc(*rooms, output_directory=folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the pages of the API.")
    parser.add_argument("folder", type=Path, help="where to write them")
    build(parser.parse_args().folder)
