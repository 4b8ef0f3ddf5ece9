"""`SketchCanvasCascade-v0`: several looks at each sketch."""

from __future__ import annotations

from sketchcanvas_env.envs.base import OfLooks, SketchEnv
from sketchcanvas_env.envs.vector import SketchVectorEnv
from sketchcanvas_env.tasks.cascade import CascadeArguments, CascadeTask


class OfCascade(OfLooks):
    """Attributes of the single and the vector environment."""

    rules: CascadeTask

    @property
    def confidence_names(self) -> tuple[str, ...]:
        """Names of the elements of the observation `confidence`, (3 K,)."""
        return self.rules.confidence_names


class SketchCanvasCascadeEnv(OfCascade, SketchEnv):
    """Look at a sketch on one canvas after another, and stop when the result is good enough.

    ## Description

    Strokes alone predict poorly which canvas a sketch needs; the network's output predicts it better. An episode is a
    sequence: the agent looks at the sketch on a canvas, sees how near the nearest photos are, and looks again on
    another canvas or stops. Every look costs. Sketches, student, outcomes and the terms of the reward are those of
    `SketchCanvas-v0` (`SketchCanvasEnv`). Outcomes are looked up in an outcome table and the table of looks
    (`LookTable`) beside it.

    ## Action Space

    `Discrete(K + 1)`: 0 to K - 1 look at a canvas, K stops. By default K = 4. Canvases may be looked at in any order. A
    second look at the same canvas counts as stopping. `info["action_mask"]`, (K + 1,) int8, is 1 for canvases not
    looked at and, after a look, for stopping; `action_masks()` is the same for MaskablePPO of sb3-contrib. Agents
    without masks may take every action.

    ## Observation Space

    A `Dict` of one-dimensional float32 `Box` spaces.

    | Key         | Shape             | Range  | Meaning                                                             |
    | ----------- | ----------------- | ------ | ------------------------------------------------------------------- |
    | `points`    | (max_points * 5,) | [0, 1] | stroke-5 rows of the sketch, as in `SketchCanvas-v0`                |
    | `stats`     | (F,)              | [0, 1] | its statistics, as there                                            |
    | `thumbnail` | (256,)            | [0, 1] | as there; only with `thumbnail=True`                                |
    | `looks`     | (L,)              | [0, 2] | results of the looks so far, named in `env.unwrapped.look_names`    |
    | `last`      | (K,)              | [0, 1] | 1 for the canvas of the last look, else 0; all 0 before the first   |
    | `confidence`| (3 K,)            | [0, 2] | confidence of each look; only with `confidence=True`                |

    `looks` has for each canvas whether it was looked at, the distances of the five nearest photos and the margin of the
    first two; for each pair of canvases the share of nearest photos in common and whether the first is the same; and
    the share of all costs spent. `confidence` has for each canvas the softmax share of the nearest photo, the entropy
    over the gallery, and the distance of the two nearest photos (`outcomes.confidence`). Elements of canvases that were
    not looked at are 0. Neither depends on the true photo.

    ## Rewards

    With R_acc, R_comp and `tradeoff` of `SketchCanvas-v0`, the reward of a look at canvas j is tradeoff * R_comp(j),
    below zero. The reward of stopping is (1 - tradeoff) * R_acc of the answer: the ranking of the last look with
    `ranking="last"`, or of all looks together (`reward.fused_distance`) with `ranking="fused"`. Without a look all
    photos tie: the true one is ranked last, and L_tri is the margin. One look and a stop return the reward of
    `SketchCanvas-v0`, bit for bit. `reward_range` bounds rewards and returns, `reward_vector_space` the sums of (R_acc,
    R_comp).

    Use gamma = 1: an episode has at most K + 1 steps, and with gamma below 1 an agent stops too early.

    `info` before the end: `sketch_index`, `seen` (sum of 2^j over the canvases looked at), `flops` (2 x MAC so far),
    `action_mask`. At the end: `sketch_index`, `seen`, `canvas` (side of the last look, 0 for none), `flops`, `cost`,
    `rank`, `triplet`, `reward_vector` (R_acc, sum of R_comp), `return`, `oracle_return` (highest return of an episode
    with a look) and `regret`, which is below zero only for stopping without a look.

    ## Starting State

    A sketch of the split, drawn uniformly with replacement, and no look. `reset(options={"index": i})` selects row i
    and does not advance the stream of sketches. A seed gives the same sketches as in `SketchCanvas-v0`.

    ## Episode End

    `terminated` is True when the agent stops, at the latest in step K + 1; `truncated` is always False. The last
    observation equals the one before.

    ## Arguments

    ```python
    gym.make(
        "SketchCanvasCascade-v0", dataset="emoji", split="train", student=None, canvases=(32, 64, 128, 256),
        tradeoff=0.2, rank_weight=1.0, triplet_weight=0.1, cost="flops", max_points=200, thumbnail=False, table=None,
        render_mode=None, task="retrieval", ranking="last", looks=None, confidence=False,
    )
    ```

    `looks` is the path of a table of looks; None for the one beside the outcome table (`mine.looks.npz` beside
    `mine.npz`; `sketchcanvas tabulate ... --looks` builds it). At most 8 canvases. The other arguments are those of
    `SketchCanvas-v0`.

    ## Vectorized environment

    `gym.make_vec("SketchCanvasCascade-v0", num_envs=N)` gives `SketchCanvasCascadeVectorEnv` (SAME_STEP).

    ## Examples

    >>> import gymnasium as gym
    >>> import sketchcanvas_env
    >>> env = gym.make("SketchCanvasCascade-v0", tradeoff=0.1)
    >>> names = env.unwrapped.look_names
    >>> observation, info = env.reset(seed=0)
    >>> observation, first, terminated, truncated, info = env.step(1)
    >>> float(observation["looks"][names.index("seen_64")]), info["seen"], terminated
    (1.0, 2, False)
    >>> observation, last, terminated, truncated, info = env.step(4)
    >>> terminated, bool(abs(first + last - info["return"]) < 1e-12), info["regret"] >= 0.0
    (True, True, True)

    ## Version History

    * v0: first version.
    """

    arguments = CascadeArguments


class SketchCanvasCascadeVectorEnv(OfCascade, SketchVectorEnv):
    """N copies of `SketchCanvasCascadeEnv`; see `SketchVectorEnv`.

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
