"""From a selector's scores to one action: the rule of evaluation, search and exported graphs alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

NEAR_TIE = 1e-5
"""Scores that lie less than this below the highest are as good as it.

Networks are computed in float32, where processors differ by about 1e-6; without a margin they would choose differently
between equal scores.
"""


def choose(scores: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The action with the highest score; near-ties go to the cheaper one.

    Args:
        scores: (..., A) logits or values of actions in order of cost, cheapest first; -inf for one that is not allowed.

    Returns:
        (...) int64: the first action whose score lies within `NEAR_TIE` of the highest.
    """
    table = np.asarray(scores, dtype=np.float64)
    return np.asarray((table >= table.max(axis=-1, keepdims=True) - NEAR_TIE).argmax(axis=-1), dtype=np.int64)
