"""Which sketch an episode shows: a counter-based draw that the single and the vector environment share.

Each stream of episodes has a 64-bit key, drawn from the environment's generator when that is seeded. Episode
t of the stream shows row `draw(key, t, n)`: a hash of (key, t), no state. So a batch of streams is drawn in
one vectorised call and gives, bit for bit, what the streams give one by one, and drawing costs about a
nanosecond each.

The hash is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014):
output t + 1 of the generator seeded with the key. Its upper 32 bits are scaled to [0, n) by multiplication
and shift (Lemire, "Fast random integer generation in an interval", 2019); no row is drawn more often than
another by more than n / 2^32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

MAX_ROWS = 1 << 31
"""The largest number of rows that can be drawn from."""

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S32 = (np.uint64(shift) for shift in (30, 27, 31, 32))


def stream_key(np_random: np.random.Generator) -> np.uint64:
    """Draw a stream's key from a generator; takes one 64-bit number from it."""
    return np.uint64(np_random.integers(0, 1 << 64, dtype=np.uint64))


def draw(keys: npt.ArrayLike, episodes: npt.ArrayLike, n: int) -> npt.NDArray[np.int64]:
    """The row that each episode of each stream shows.

    Args:
        keys: (...) uint64 stream keys.
        episodes: (...) non-negative episode numbers, of a shape that broadcasts against `keys`.
        n: number of rows to draw from, in [1, `MAX_ROWS`].

    Returns:
        int64 array of the broadcast shape (0-d for two scalars), each in [0, n).

    Raises:
        ValueError: `n` out of range.

    Example:
        >>> draw(np.uint64(7), np.arange(6), 100).tolist() == [int(draw(7, t, 100)) for t in range(6)]
        True
    """
    if not 1 <= n <= MAX_ROWS:
        raise ValueError(f"n must lie in [1, {MAX_ROWS}], got {n}")
    # One-element arrays instead of scalars: numpy warns of overflow for scalars only, and wrapping is the
    # point here.
    key = np.asarray(keys, dtype=np.uint64)
    episode = np.asarray(episodes).astype(np.uint64)
    state: npt.NDArray[Any] = np.atleast_1d(episode) + np.uint64(1)
    state = state * _GAMMA + np.atleast_1d(key)
    state ^= state >> _S30
    state *= _MIX_1
    state ^= state >> _S27
    state *= _MIX_2
    state ^= state >> _S31
    state >>= _S32
    state *= np.uint64(n)
    state >>= _S32
    return state.astype(np.int64).reshape(np.broadcast_shapes(key.shape, episode.shape))
