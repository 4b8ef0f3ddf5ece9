"""A stored comparison with the weights of some seeds only, or of none: `python -m tests.tools.trim FOLDER [SEED ...]`.

Its figures follow from the decisions, which stay. The files of single runs and the chosen selector go.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from agents.experiments import pack
from agents.experiments.compare import CHOSEN_FILE


def trim(folder: Path, seeds: tuple[int, ...]) -> None:
    """Write the runs anew, with the weights of these seeds."""
    pack.write(folder, pack.read(folder).values(), seeds)
    (folder / CHOSEN_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / "runs", ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Leave out the weights of a stored comparison.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("seeds", type=int, nargs="*", help="seeds whose weights stay")
    asked = parser.parse_args()
    trim(asked.folder, tuple(asked.seeds))
