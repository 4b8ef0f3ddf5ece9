"""Random choice of sketches by a counter-based generator, the same in single and vector environments.

Each stream of episodes has a 64-bit key, drawn from the environment's generator when that is seeded. Episode t of the
stream has row `draw(key, t, n)`, a hash of (key, t) without state. So many streams are drawn in one vectorised call,
about a nanosecond each, and the result equals that of drawing them one by one.

The hash is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): output
t + 1 of the generator seeded with the key. Its upper 32 bits are scaled to [0, n) by multiplication and shift (Lemire,
"Fast random integer generation in an interval", 2019); the probabilities of two rows differ by at most 2^-32.

Tradeoffs of episodes come from the same key and counter through a second stream (`draw_between`), so that drawing them
does not change the sketches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

MAX_ROWS = 1 << 31
"""Largest number of rows to draw from."""

# 0-d arrays: NumPy handles them in half the time of scalars.
_GAMMA = np.array(0x9E3779B97F4A7C15, dtype=np.uint64)
_MIX_1 = np.array(0xBF58476D1CE4E5B9, dtype=np.uint64)
_MIX_2 = np.array(0x94D049BB133111EB, dtype=np.uint64)
_SECOND = np.array(0xD1B54A32D192ED03, dtype=np.uint64)  # turns the key of a stream into the key of its tradeoffs
_ONE, _S30, _S27, _S31, _S32 = (np.array(number, dtype=np.uint64) for number in (1, 30, 27, 31, 32))


def stream_key(np_random: np.random.Generator) -> np.uint64:
    """Key of a stream, one 64-bit number drawn from the generator."""
    return np.uint64(np_random.integers(0, 1 << 64, dtype=np.uint64))


def draw(keys: npt.ArrayLike, episodes: npt.ArrayLike, n: int) -> npt.NDArray[np.int64]:
    """Row of each episode of each stream.

    Args:
        keys: (...) uint64 stream keys.
        episodes: (...) non-negative episode numbers, of a shape that broadcasts against `keys`.
        n: number of rows to draw from, in [1, `MAX_ROWS`].

    Returns:
        int64 array of the broadcast shape, each in [0, n).

    Raises:
        ValueError: `n` out of range.

    Example:
        >>> draw(np.uint64(7), np.arange(6), 100).tolist() == [int(draw(7, t, 100)) for t in range(6)]
        True
    """
    if not 1 <= n <= MAX_ROWS:
        raise ValueError(f"n must lie in [1, {MAX_ROWS}], got {n}")
    rows = _hash(keys, episodes)
    rows *= np.uint64(n)
    rows >>= _S32
    return _shaped(rows.view(np.int64), keys, episodes)


def draw_between(keys: npt.ArrayLike, episodes: npt.ArrayLike, low: float, high: float) -> npt.NDArray[np.float32]:
    """Uniform number for each episode of each stream, independent of `draw`.

    Args:
        keys: (...) uint64 stream keys.
        episodes: (...) non-negative episode numbers, of a shape that broadcasts against `keys`.
        low: lower bound, exact in float32.
        high: upper bound, exact in float32, not below `low`.

    Returns:
        float32 array of the broadcast shape, each in [low, high].

    Example:
        >>> bool(draw_between(np.uint64(7), 3, 0.25, 0.25) == 0.25)
        True
    """
    key = np.asarray(keys, dtype=np.uint64)
    # Rounding to float32 is monotone, so results stay within bounds that float32 represents.
    numbers = low + (high - low) * (_hash(key ^ _SECOND, episodes) * 2.0**-32)
    return _shaped(numbers.astype(np.float32), keys, episodes)


class Stream:
    """Position of one environment in its stream of episodes.

    Attributes:
        key: (1,) uint64, key of the stream.
        episode: (1,) int64, number of the next episode; the environment increments it.
    """

    def __init__(self) -> None:
        """Make a stream without a generator."""
        self._generator: np.random.Generator | None = None
        self.key = np.zeros(1, dtype=np.uint64)
        self.episode = np.zeros(1, dtype=np.int64)

    def follow(self, generator: np.random.Generator) -> None:
        """Start a new stream if the environment has another generator since the last call."""
        if generator is not self._generator:
            self._generator = generator
            self.key[0], self.episode[0] = stream_key(generator), 0


def _hash(keys: npt.ArrayLike, episodes: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Upper 32 bits of SplitMix64's output for each key and episode, at least 1-d."""
    # NumPy warns of overflow for scalars but not for arrays; here overflow is intended.
    state = np.array(episodes, dtype=np.uint64, ndmin=1)
    state += _ONE
    state *= _GAMMA
    state = state + np.array(keys, dtype=np.uint64, ndmin=1, copy=None)
    state ^= state >> _S30
    state *= _MIX_1
    state ^= state >> _S27
    state *= _MIX_2
    state ^= state >> _S31
    state >>= _S32
    return state


def _shaped(array: npt.NDArray[Any], keys: npt.ArrayLike, episodes: npt.ArrayLike) -> npt.NDArray[Any]:
    """The array, 0-d if both `keys` and `episodes` are scalars."""
    return array.reshape(()) if np.ndim(keys) == np.ndim(episodes) == 0 else array
