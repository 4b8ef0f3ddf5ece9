"""References: policies that are told more than an agent, and show what can be had by choosing before the first look.

They are no agents: no budget is spent, and all rewards of the split `train` are known to them. They are there in a
known gallery (`SketchDataset.known_gallery`); on new photos the trees find nothing (agents/README.md).

* `gbm` shows what there is to learn from what a selector sees: gradient-boosted regression trees on the statistics and
  the thumbnail (Friedman, Annals of Statistics 2001; scikit-learn's histogram-based ones).
* `photo's mean` shows what it is worth to know which photo is meant, which no selector is told: it takes the canvas
  that was best for the photo's drawings in `train`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.tasks.canvas import Task

Actions = npt.NDArray[np.int64]
"""(n,) columns of canvases, one for each sketch; ties go to the first, the cheapest."""


def references(train: Task, asked: Task) -> dict[str, Actions]:
    """What the references choose on a split, by name.

    Args:
        train: the split to learn from, with thumbnails and an outcome table.
        asked: the split to choose for, with thumbnails.
    """
    assert train.lookup is not None  # live mode is not evaluated
    rewards = train.lookup.rewards
    return {
        "gbm": boosted_trees(_seen(train), rewards, _seen(asked)),
        "photo's mean": photo_means(train.photo_ids, rewards, asked.photo_ids),
    }


def _seen(task: Task) -> npt.NDArray[np.float32]:
    """All that a selector can see as a row of fixed length, (n, F + 256)."""
    return np.concatenate([task.pictures["stats"], task.pictures["thumbnail"]], axis=1)


def boosted_trees(
    seen: npt.NDArray[np.float32], rewards: npt.NDArray[np.float64], asked: npt.NDArray[np.float32]
) -> Actions:
    """The canvas that gradient-boosted trees expect most of; each canvas has a regression of its own.

    The settings are scikit-learn's: 100 rounds, step size 0.1, 31 leaves; 200 rounds of 0.05 with 15 leaves were worse
    on val. Regressed is the reward less the sketch's mean: how hard a sketch is on every canvas takes no part in the
    choice.

    Args:
        seen: (n, F) what is seen of the sketches to learn from.
        rewards: (n, K) of every canvas.
        asked: (m, F) what is seen of the sketches to choose for.

    Returns:
        (m,) columns of canvases.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    centred = rewards - rewards.mean(axis=1, keepdims=True)
    expected = [
        HistGradientBoostingRegressor(early_stopping=False, random_state=0).fit(seen, target).predict(asked)
        for target in centred.T
    ]
    return np.asarray(np.argmax(expected, axis=0), dtype=np.int64)


def photo_means(photos: npt.NDArray[np.str_], rewards: npt.NDArray[np.float64], asked: npt.NDArray[np.str_]) -> Actions:
    """The canvas with the highest mean reward over other drawings of the same photo.

    Args:
        photos: (n,) true photo of each drawing to learn from.
        rewards: (n, K) of every canvas.
        asked: (m,) true photo of each sketch to choose for; a photo without drawings gets the canvas that is best for
            all drawings.

    Returns:
        (m,) columns of canvases.
    """
    known, which = np.unique(photos, return_inverse=True)
    sums = np.zeros((len(known) + 1, rewards.shape[1]))
    np.add.at(sums, which, rewards)
    sums[-1] = rewards.sum(axis=0)  # of no photo in particular
    place = np.searchsorted(known, asked).clip(max=len(known) - 1)
    best = sums.argmax(axis=1)
    return np.asarray(np.where(known[place] == asked, best[place], best[-1]), dtype=np.int64)
