"""`SketchCanvasCascade-v0`: several looks at each sketch."""

from __future__ import annotations

from sketchcanvas_env.envs.base import OfTask, SketchEnv, WithMasks
from sketchcanvas_env.envs.vector import SketchVectorEnv
from sketchcanvas_env.tasks.cascade import CascadeTask
from sketchcanvas_env.tasks.cascade_making import CascadeArguments


class OfCascade(WithMasks, OfTask):
    """What the single and the vector environment have beside the attributes of all environments."""

    rules: CascadeTask

    @property
    def cascade(self) -> CascadeTask:
        """The rules and what they look up."""
        return self.rules

    @property
    def look_names(self) -> tuple[str, ...]:
        """(L,) names of the observation `looks`."""
        return self.rules.look_names

    @property
    def nodes(self) -> tuple[str, ...]:
        """(M,) names of the ways in which an episode can end."""
        return self.rules.nodes


class SketchCanvasCascadeEnv(OfCascade, SketchEnv):
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
        tradeoff=0.2, rank_weight=1.0, triplet_weight=0.1, cost="flops", max_points=200, thumbnail=False,
        table=None,
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

    arguments = CascadeArguments


class SketchCanvasCascadeVectorEnv(OfCascade, SketchVectorEnv):
    """N copies of `SketchCanvasCascadeEnv` stepped by array look-ups; `gym.make_vec("SketchCanvasCascade-v0")` makes
    one.

    With the same seed and actions it gives what `SyncVectorEnv` over N single environments in SAME_STEP mode gives, bit
    for bit: observations, rewards, terminations and infos. A seed s means s + i in sub-environment i.

    Where a step ends an episode, the observation that it returns shows the *next* sketch (autoreset mode SAME_STEP).
    `info` follows:

    * `info["final_info"]` is about the episodes that the step ended: a dict of arrays with the keys of the single
      environment's info at the end. It is there only if an episode ended.
    * The other keys (`sketch_index`, `seen`, `flops`, `action_mask`) are about what is now shown.
    * Each key has a mask `_key`, which is True for the sub-environments that it speaks of; elsewhere arrays hold 0.
      Masks are not to be written to.

    `final_obs`, which `SyncVectorEnv` adds, is left out: stopping shows nothing new, so the last observation of an
    episode is the one that the caller has just acted on.

    With `copy=False` the observations lie in two sets of buffers that take turns. An observation stays as it is during
    the next `step`, so that what was acted on and what came of it can be used together, and is overwritten by the
    `step` or `reset` after that. Rewards, terminations and infos are fresh arrays always.

    Gymnasium's vector observation wrappers refuse it, as they refuse every environment in SAME_STEP mode;
    `SketchCanvasVectorEnv` says what to do instead.

    Args:
        num_envs: number of sub-environments, N.
        copy: whether observations are fresh arrays in every call.
        dataset: as all that follow, see `SketchCanvasCascadeEnv`.
        split: see there.
        student: see there.
        canvases: see there.
        tradeoff: see there.
        rank_weight: see there.
        triplet_weight: see there.
        cost: see there.
        max_points: see there.
        render_mode: see there; `render` gives one picture or line for each sub-environment.
        table: see there.
        task: see there.
        ranking: see there.
        looks: see there.

    Example:
        >>> import gymnasium as gym
        >>> import numpy as np
        >>> import sketchcanvas_env
        >>> envs = gym.make_vec("SketchCanvasCascade-v0", num_envs=3)
        >>> observations, infos = envs.reset(seed=0)
        >>> observations, rewards, terminations, truncations, infos = envs.step(np.array([1, 1, 0]))
        >>> infos["seen"].tolist(), terminations.tolist(), "final_info" in infos
        ([2, 2, 1], [False, False, False], False)
        >>> envs.unwrapped.action_masks()[0].tolist()
        [True, False, True, True, True]
        >>> observations, rewards, terminations, truncations, infos = envs.step(np.array([4, 2, 4]))
        >>> infos["final_info"]["canvas"].tolist(), infos["_final_info"].tolist(), infos["seen"].tolist()
        ([64, 0, 32], [True, False, True], [0, 6, 0])
    """

    arguments = CascadeArguments
