"""Dividing the photos of a data set among its splits, by a fixed seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

SEED = 0


def divided(photos: Iterable[str], sizes: Mapping[str, int], rest: str = "student") -> dict[str, str]:
    """The split of every photo: an identity lies in one split alone.

    The ids are sorted and shuffled by `SEED`; each split takes its number of them in turn. The division depends on the
    ids alone: not on their order, and not on what the photos show.

    Args:
        photos: ids, none of them twice.
        sizes: how many photos go to each split, in turn; together not more than there are.
        rest: the split of those that are left.

    Example:
        >>> sorted(divided("abcdef", {"val": 1, "test": 2}).values())
        ['student', 'student', 'student', 'test', 'test', 'val']
    """
    ids = sorted(photos)
    names = np.repeat([*sizes, rest], [*sizes.values(), len(ids) - sum(sizes.values())])
    order = np.random.RandomState(SEED).permutation(len(ids))
    return {ids[place]: str(name) for place, name in zip(order.tolist(), names, strict=True)}
