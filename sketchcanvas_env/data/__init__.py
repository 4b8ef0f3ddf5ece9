"""Data sets: `load("emoji")` gives the one that comes with the package, `load("chairv2", root)` one of your own.

`registry` knows all names, `formats` reads data sets as they are published and folders of one's own; below them lie
what a data set is (`dataset`) and what the readers share. Imports `svg`, `sketches` and `storage`.
"""

from sketchcanvas_env.data.dataset import (
    RECOGNITION,
    RETRIEVAL,
    SPLITS,
    TASKS,
    SketchDataset,
    SkippedDataWarning,
    check_split,
)
from sketchcanvas_env.data.folds import FOLDS, crossfitted, fold
from sketchcanvas_env.data.recognition import recognition
from sketchcanvas_env.data.registry import DATASETS, FOLDER_DATASETS, load, what_lacks

__all__ = [
    "DATASETS",
    "FOLDER_DATASETS",
    "FOLDS",
    "RECOGNITION",
    "RETRIEVAL",
    "SPLITS",
    "TASKS",
    "SketchDataset",
    "SkippedDataWarning",
    "check_split",
    "crossfitted",
    "fold",
    "load",
    "recognition",
    "what_lacks",
]
