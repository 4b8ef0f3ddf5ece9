"""Timing of several functions in turns, so that other work on the machine affects all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

WARM_UP = 3
"""Calls of each function that are not counted."""


def in_turns(
    functions: Sequence[Callable[[T], Sequence[float]]], inputs: Sequence[T], repeats: int
) -> NDArray[np.float64]:
    """What each function returns for each input, in a new random order of the functions for every input.

    Args:
        functions: each returns the milliseconds of P parts of its work.
        inputs: given to every function.
        repeats: times that every input is given to every function.

    Returns:
        (functions, P, repeats * inputs) float64.
    """
    for function in functions:
        for turn in range(WARM_UP):
            function(inputs[turn % len(inputs)])
    order = np.random.default_rng(0)
    times: list[list[Sequence[float]]] = [[] for _ in functions]
    for one in list(inputs) * repeats:
        for which in order.permutation(len(functions)).tolist():
            times[which].append(functions[which](one))
    return np.asarray(times, dtype=np.float64).transpose(0, 2, 1)
