"""What an episode shows: a counter-based draw that the single and the vector environment share.

Each stream of episodes has a 64-bit key, drawn from the environment's generator when that is seeded. Episode
t of the stream shows row `draw(key, t, n)`: a hash of (key, t), no state. So a batch of streams is drawn in
one vectorised call and gives, bit for bit, what the streams give one by one, and drawing costs about a
nanosecond each.

The hash is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014):
output t + 1 of the generator seeded with the key. Its upper 32 bits are scaled to [0, n) by multiplication
and shift (Lemire, "Fast random integer generation in an interval", 2019); no row is drawn more often than
another by more than n / 2^32.

Where an episode has a tradeoff of its own, it comes from the same key and counter through a second stream
(`draw_between`), so that drawing it leaves the sketches as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

MAX_ROWS = 1 << 31
"""The largest number of rows that can be drawn from."""

# Arrays without axes: NumPy takes them in half the time of a scalar.
_GAMMA = np.array(0x9E3779B97F4A7C15, dtype=np.uint64)
_MIX_1 = np.array(0xBF58476D1CE4E5B9, dtype=np.uint64)
_MIX_2 = np.array(0x94D049BB133111EB, dtype=np.uint64)
_SECOND = np.array(0xD1B54A32D192ED03, dtype=np.uint64)  # turns a stream's key into that of its tradeoffs
_ONE, _S30, _S27, _S31, _S32 = (np.array(number, dtype=np.uint64) for number in (1, 30, 27, 31, 32))


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
    rows = _hash(keys, episodes)
    rows *= np.uint64(n)
    rows >>= _S32
    return _shaped(rows.view(np.int64), keys, episodes)


def draw_between(keys: npt.ArrayLike, episodes: npt.ArrayLike, low: float, high: float) -> npt.NDArray[np.float32]:
    """A number between two bounds for each episode of each stream, uniform and independent of `draw`.

    Args:
        keys: (...) uint64 stream keys.
        episodes: (...) non-negative episode numbers, of a shape that broadcasts against `keys`.
        low: the lower bound, a number that float32 holds exactly.
        high: the upper bound, likewise, not below `low`.

    Returns:
        float32 array of the broadcast shape, each in [low, high].

    Example:
        >>> bool(draw_between(np.uint64(7), 3, 0.25, 0.25) == 0.25)
        True
    """
    key = np.asarray(keys, dtype=np.uint64)
    # Rounding to float32 is monotone, so nothing leaves bounds that float32 holds.
    numbers = low + (high - low) * (_hash(key ^ _SECOND, episodes) * 2.0**-32)
    return _shaped(numbers.astype(np.float32), keys, episodes)


class Stream:
    """Where one environment is in its stream of episodes.

    Attributes:
        key: (1,) uint64, the stream's key.
        episode: (1,) int64, number of the next episode; whoever draws something for it counts it up.
    """

    def __init__(self) -> None:
        """A stream of no generator yet."""
        self._generator: np.random.Generator | None = None
        self.key = np.zeros(1, dtype=np.uint64)
        self.episode = np.zeros(1, dtype=np.int64)

    def follow(self, generator: np.random.Generator) -> None:
        """Start anew if the environment has another generator: it was seeded, or given one of the caller's."""
        if generator is not self._generator:
            self._generator = generator
            self.key[0], self.episode[0] = stream_key(generator), 0


def _hash(keys: npt.ArrayLike, episodes: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """The upper 32 bits of SplitMix64's output for each key and episode, at least 1-d."""
    # One-element arrays instead of scalars: numpy warns of overflow for scalars only, and wrapping is the point here.
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
    """The array, 0-d where it is for one key and one episode."""
    return array.reshape(()) if np.ndim(keys) == np.ndim(episodes) == 0 else array
