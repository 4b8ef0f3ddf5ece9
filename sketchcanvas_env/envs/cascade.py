"""The environment of several looks, for one sketch at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import error

from sketchcanvas_env.data import RETRIEVAL, SketchDataset
from sketchcanvas_env.envs.canvas import Observation, check_integer, check_render_mode, first_of, next_row, render_row
from sketchcanvas_env.envs.render import Shown
from sketchcanvas_env.outcomes.looks import LookTable
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.tasks import sampling
from sketchcanvas_env.tasks.canvas import DEFAULT_CANVASES, RENDER_MODES, OfTask
from sketchcanvas_env.tasks.cascade import CascadeTask, make_cascade_task


class OfCascade(OfTask):
    """What a cascade consists of, as attributes of an environment that has one in `cascade`.

    Attributes:
        cascade: the rules and what they look up.
    """

    cascade: CascadeTask

    @property
    def look_names(self) -> tuple[str, ...]:
        """(L,) names of the observation `looks`."""
        return self.cascade.look_names

    @property
    def nodes(self) -> tuple[str, ...]:
        """(M,) names of the ways in which an episode can end."""
        return self.cascade.nodes

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds that no reward and no undiscounted return of this environment leaves."""
        return self.cascade.reward_range


class SketchCanvasCascadeEnv(OfCascade, gym.Env[Observation, np.int64]):
    """Look at a sketch on one canvas after another, and stop when what was seen is good enough.

    ## Description

    The strokes of a sketch say little about the canvas that it needs; what a network sees says more. When a look at
    64 x 64 pixels finds one photo far nearer than all others there is no need for a larger one. So here an episode is a
    sequence: the agent looks at the sketch on a canvas, learns how near the nearest photos were, and looks again on
    another canvas or stops. Every look is paid for. The sketches, the student, the outcomes and the terms of the reward
    are those of `SketchCanvas-v0` (`SketchCanvasEnv`), which is the same choice without the looks.

    As there, nothing is computed in a step: outcomes are looked up in an outcome table and, for what it lacks, in a
    table of looks (`LookTable`) that lies beside it.

    ## Action Space

    `Discrete(K + 1)`: an index into `canvases` looks at the sketch there, K stops. By default K = 4.

    | Action | Meaning             |
    | ------ | ------------------- |
    | 0      | look at 32 x 32     |
    | 1      | look at 64 x 64     |
    | 2      | look at 128 x 128   |
    | 3      | look at 256 x 256   |
    | 4      | stop                |

    Canvases may be looked at in any order. One that was looked at has nothing new to say: asking for it again *is*
    stopping. Stopping makes no sense before the first look. Both are masked: `info["action_mask"]`, (K + 1,) int8 with
    1 for what makes sense, is what `action_space.sample(mask=...)` takes, and `action_masks()`, bool, what MaskablePPO
    of sb3-contrib calls. An agent that knows no masks may take every action all the same.

    ## Observation Space

    A `Dict` of four `Box` spaces of float32; a selector reads any of them.

    | Key      | Shape             | Range  | Meaning                                                               |
    | -------- | ----------------- | ------ | --------------------------------------------------------------------- |
    | `points` | (max_points * 5,) | [0, 1] | the sketch's stroke-5 rows, as in `SketchCanvas-v0`                   |
    | `stats`  | (F,)              | [0, 1] | its statistics, as there                                              |
    | `looks`  | (L,)              | [0, 2] | what was seen so far, named in `env.unwrapped.look_names`             |
    | `last`   | (K,)              | [0, 1] | 1 for the canvas of the last look, else 0; all 0 before the first     |

    `looks` has for each canvas: 1 if it was looked at, the Euclidean distances of the five nearest photos, rising, and
    the margin between the first two; for each pair of canvases: the share of their five nearest photos that both have,
    and 1 if the first is the same; at last what the looks cost, as a share of what all canvases on offer cost together.
    What speaks of a canvas that was not looked at is 0. A deployed system knows all of this: nothing that needs the
    true photo is in an observation, or in `info` before the episode ends.

    ## Rewards

    With R_acc, R_comp and `tradeoff` of `SketchCanvas-v0`:

    * a look at canvas j pays tradeoff * R_comp(j) at once (R_comp is below zero);
    * stopping pays (1 - tradeoff) * R_acc of the answer.

    So the return of looking at j and stopping is the reward of j in `SketchCanvas-v0`, to the last bit.

    The **answer** is a ranking of the gallery. With `ranking="last"` it is that of the last look. With
    `ranking="fused"` it is by all looks together: photos are ranked by the root of the mean of their squared distances,
    which averages the cosine similarities; nothing is learnt, and the order of the looks does not matter. On `emoji`
    the last look is the better answer: fusing 64 with 128 px names fewer photos rightly than 128 px alone. Who stops
    without a look has no ranking: all photos are alike, so by the rule for ties the true one comes last, and L_tri is
    the margin.

    `reward_range` bounds every reward and the undiscounted return, `reward_space` the sums of (R_acc, R_comp) over an
    episode.

    **Discounting.** gamma = 1 is right: the sum of the rewards is what a query is worth, and an episode has at most K +
    1 steps, so nothing diverges. With gamma below 1 a later look seems cheaper than the same look at once, and an
    answer that takes one more look is worth a factor gamma less, so an agent stops earlier than it should: with gamma =
    0.99 each further look costs another 1 % of R_acc. With gamma = 0 no look ever pays.

    `step` returns in `info`, while the episode goes on:

    | Key            | Type          | Meaning                                                         |
    | -------------- | ------------- | --------------------------------------------------------------- |
    | `sketch_index` | int           | row in the split; `env.unwrapped.sketch_ids[i]` names it        |
    | `seen`         | int           | canvases looked at, the sum of 2^j over them                    |
    | `flops`        | float         | FLOPs (2 x MAC) of the looks so far                             |
    | `action_mask`  | (K + 1,) int8 | 1 for actions that make sense                                   |

    and when it has ended:

    | Key             | Type         | Meaning                                                             |
    | --------------- | ------------ | ------------------------------------------------------------------- |
    | `sketch_index`  | int          | as above                                                            |
    | `seen`          | int          | as above                                                            |
    | `canvas`        | int          | side of the last look, 0 if there was none                          |
    | `flops`         | float        | FLOPs of all looks                                                  |
    | `cost`          | float        | what the reward charged, in `env.unwrapped.cost_unit`               |
    | `rank`          | int          | place of the true photo in the answer                               |
    | `triplet`       | float        | L_tri of the answer                                                 |
    | `reward_vector` | (2,) float64 | R_acc, and the sum of R_comp over the looks                         |
    | `return`        | float        | sum of the rewards, but for rounding                                |
    | `oracle_return` | float        | that of the best episode with a look, known to who knows everything |
    | `regret`        | float        | `oracle_return` less `return`                                       |

    With `ranking="last"` the best episode is a single look, since who knows everything looks only where the answer is.
    `regret` is not negative for an episode with a look; where accuracy counts for little, to stop at once without a
    look may be better than any look.

    `reset` returns what `step` does while the episode goes on.

    ## Starting State

    A sketch of the split, drawn uniformly with replacement, and nothing seen. `reset(options={"index": i})` shows row i
    instead and leaves the stream of draws where it was. The sketches of a seed are those of `SketchCanvas-v0`.

    ## Episode End

    `terminated` is True in the step that stops, at the latest in step K + 1. `truncated` is False always. `step` after
    that raises `gymnasium.error.ResetNeeded`. The observation that comes with the last step is the one before it again:
    stopping shows nothing new.

    ## Arguments

    ```python
    gym.make(
        "SketchCanvasCascade-v0", dataset="emoji", split="train", student=None, canvases=(32, 64, 128, 256),
        tradeoff=0.2, rank_weight=1.0, triplet_weight=0.1, cost="flops", max_points=200, table=None,
        render_mode=None, task="retrieval", ranking="last", looks=None,
    )
    ```

    * `ranking`: `"last"` or `"fused"`, see above.
    * `looks`: path of a table of looks; None for the one beside the outcome table: `mine.looks.npz` beside `mine.npz`.
      `sketchcanvas tabulate ... --looks` builds it. The shipped one, for the default student of `emoji`, has the
      distances of all canvases and fused looks of 32, 64, 128 and 256.
    * `canvases`: at most 8.
    * The others are those of `SketchCanvas-v0`. `task="recognition"` needs a table of looks of your own.

    An argument that is out of range, or names what does not exist, raises ValueError before any work starts; a file
    that is not there raises FileNotFoundError.

    In Python `dataset`, `table` and `looks` may be objects.

    ## Vectorized environment

    `gym.make_vec("SketchCanvasCascade-v0", num_envs=N)` gives `SketchCanvasCascadeVectorEnv`, which takes a step in N
    episodes at once. It resets a sub-environment in the step that ends its episode (SAME_STEP);
    `gym.make_vec(..., vectorization_mode="sync", vector_kwargs={"autoreset_mode": "SameStep"})` gives the same numbers,
    slower.

    ## Examples

    Look at 64 px; where the margin is small, look at 128 px, too; then stop:

    >>> import gymnasium as gym
    >>> import sketchcanvas_env
    >>> env = gym.make("SketchCanvasCascade-v0", tradeoff=0.1)
    >>> names = env.unwrapped.look_names
    >>> observation, info = env.reset(seed=0)
    >>> info["action_mask"]
    array([1, 1, 1, 1, 0], dtype=int8)
    >>> observation, first, terminated, truncated, info = env.step(1)
    >>> float(observation["looks"][names.index("seen_64")]), info["seen"], terminated
    (1.0, 2, False)
    >>> second = 0.0
    >>> if observation["looks"][names.index("margin_64")] < 0.05:
    ...     observation, second, terminated, truncated, info = env.step(2)
    >>> observation, last, terminated, truncated, info = env.step(4)
    >>> terminated, truncated, bool(abs(first + second + last - info["return"]) < 1e-12)
    (True, False, True)
    >>> info["regret"] >= 0.0
    True

    How all episodes can end, and what each is worth for every sketch of the split:

    >>> cascade = env.unwrapped.cascade
    >>> cascade.nodes[:6], cascade.node_rewards.shape == (len(cascade), len(cascade.nodes))
    (('32', '64', '128', '256', '64>32', '32>64'), True)

    ## Version History

    * v0: first version.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 1}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(
        self,
        dataset: str | SketchDataset = "emoji",
        split: str = "train",
        student: str | None = None,
        canvases: Sequence[int] = DEFAULT_CANVASES,
        tradeoff: float = 0.2,
        rank_weight: float = 1.0,
        triplet_weight: float = 0.1,
        cost: str = "flops",
        max_points: int = 200,
        render_mode: str | None = None,
        table: str | os.PathLike[str] | OutcomeTable | None = None,
        task: str = RETRIEVAL,
        ranking: str = "last",
        looks: str | os.PathLike[str] | LookTable | None = None,
    ) -> None:
        """Make an environment; the class describes the arguments.

        Raises:
            ValueError: an argument that is out of range or names something that does not exist.
            FileNotFoundError: no file at `table` or `looks`, or no looks beside the table.
        """
        check_render_mode(render_mode)
        self.cascade = make_cascade_task(
            dataset=dataset,
            split=split,
            task=task,
            student=student,
            canvases=canvases,
            tradeoff=tradeoff,
            rank_weight=rank_weight,
            triplet_weight=triplet_weight,
            cost=cost,
            max_points=max_points,
            table=table,
            ranking=ranking,
            looks=looks,
        )
        self.task = self.cascade.task
        self.render_mode = render_mode
        self.observation_space = cast("gym.Space[Observation]", self.cascade.observation_space())
        self.action_space = self.cascade.action_space()
        self.reward_space = self.cascade.reward_space()
        self._stream = sampling.Stream()
        # The state, as arrays of one: the rules are for many episodes at once. None before the first reset.
        self._rows: npt.NDArray[np.int64] | None = None
        self._seen = np.zeros(1, dtype=np.int64)
        self._last = np.full(1, -1, dtype=np.int64)
        self._done = False
        self._earned = 0.0

    # The Gymnasium interface.

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Show a sketch at which nobody has looked.

        Args:
            seed: starts a new stream of draws; None goes on with the present one.
            options: `{"index": i}` shows row i of the split; other keys are left to wrappers.

        Returns:
            The observation, of fresh arrays, and info (see the class).

        Raises:
            ValueError: an index that the split does not have.
        """
        super().reset(seed=seed)
        self._rows = next_row(self._stream, self.np_random, options, len(self.task))
        self._seen = np.zeros(1, dtype=np.int64)
        self._last = np.full(1, -1, dtype=np.int64)
        self._done = False
        self._earned = 0.0
        return self._observation(self._rows), first_of(self.cascade.going(self._rows, self._seen))

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Look at a canvas, or stop.

        Args:
            action: index into `canvases`, or K to stop.

        Returns:
            The observation, the reward, whether the episode ended, False, and info (see the class).

        Raises:
            gymnasium.error.ResetNeeded: no sketch is waiting.
            ValueError: an action that is not an integer in [0, K].
        """
        rows = self._rows
        if rows is None or self._done:
            why = "this episode ended" if self._done else "there is no sketch yet"
            raise error.ResetNeeded(f"call reset() before step(): {why}")
        choice = check_integer(action)
        if not 0 <= choice <= self.cascade.n_canvases:
            raise ValueError(self.cascade.out_of_range(choice))
        done = self.cascade.advance(rows, self._seen, self._last, np.array([choice]))
        self._seen, self._last, self._done = done.seen, done.last, bool(done.ended[0])
        self._earned += float(done.reward[0])
        info = self.cascade.final(rows, done.seen, done.last) if self._done else self.cascade.going(rows, done.seen)
        return self._observation(rows), float(done.reward[0]), self._done, False, first_of(info)

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """(K + 1,) bool, which actions make sense now, as sb3-contrib's MaskablePPO asks for them."""
        return np.asarray(self.cascade.action_mask(self._seen)[0], dtype=np.bool_)

    def render(self) -> npt.NDArray[np.uint8] | str | None:
        """The last look, and what all looks cost and earned, as `render_mode` says.

        Returns:
            (H, W, 3) uint8 for `"rgb_array"`, one line for `"ansi"`, None (and a warning) without a render mode.

        Raises:
            gymnasium.error.ResetNeeded: no sketch is there yet.
        """
        if self.render_mode is None:
            gym.logger.warn("render() was called without a render mode; make the environment with render_mode=...")
            return None
        if self._rows is None:
            raise error.ResetNeeded("call reset() before render(): there is no sketch yet")
        row, seen, last = int(self._rows[0]), int(self._seen[0]), int(self._last[0])
        return render_row(self.task, row, look_shown(self.cascade, row, seen, last, self._earned), self.render_mode)

    def _observation(self, rows: npt.NDArray[np.int64]) -> Observation:
        seen = self.cascade.observe(rows, self._seen, self._last)
        return {name: array[0] for name, array in seen.items()}


def look_shown(cascade: CascadeTask, row: int, seen: int, last: int, earned: float) -> Shown | None:
    """What a picture shows of the looks at a sketch; None before the first.

    Args:
        cascade: the split.
        row: which sketch.
        seen: canvases looked at, the sum of 2^j over them.
        last: the last of them, -1 for none.
        earned: sum of the rewards so far.
    """
    if last < 0:
        return None
    known = cascade.task.lookup
    assert known is not None  # a cascade has no live mode
    table = known.table
    top = tuple(str(table.photos[place]) for place in table.top[row, last] if place >= 0)
    all_looks = (float(cascade.seen_flops[seen]), float(cascade.seen_costs[seen]))
    return Shown(last, int(table.ranks[row, last]), earned, top, all_looks=all_looks)
