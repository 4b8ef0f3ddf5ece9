"""`SketchCanvas-v0` and `SketchCanvasPreference-v0`: one choice of a canvas for each sketch."""

from __future__ import annotations

from sketchcanvas_env.envs.base import SketchEnv
from sketchcanvas_env.envs.vector import SketchVectorEnv
from sketchcanvas_env.tasks.canvas import CanvasArguments


class SketchCanvasEnv(SketchEnv):
    """Choose the canvas on which a sketch is drawn before a network looks at it.

    ## Description

    A vector sketch has no resolution of its own. To retrieve its photo with a convolutional network it must be
    rasterised on a canvas of some side, and the network's cost grows with the square of that side. In each episode the
    agent sees the strokes of one sketch and chooses a canvas; a frozen student network then ranks a gallery of photos.
    The task is from Sain et al., "Sketch Down the FLOPs" (CVPR 2025, arXiv 2505.23763). Outcomes are looked up in a
    table (`OutcomeTable`); no network runs.

    By default the sketches are new drawings of known photos (`dataset="emoji_known"`): all splits share one gallery, so
    that an agent can learn which canvas a sketch needs. `dataset="emoji"` has different photos in every split; there no
    agent was found to be better than a random choice between two canvases.

    `sketchcanvas_env/README.md` covers latency as the cost, recognition, preferences, live mode and other libraries.

    ## Action Space

    `Discrete(K)`: index into `canvases`; by default 0 to 3 stand for 32, 64, 128 and 256 pixels.

    ## Observation Space

    A `Dict` of one-dimensional float32 `Box` spaces within [0, 1].

    | Key         | Shape             | Meaning                                                                   |
    | ----------- | ----------------- | ------------------------------------------------------------------------- |
    | `points`    | (max_points * 5,) | stroke-5 rows (x, y, p1, p2, p3); x and y are fractions of the canvas     |
    | `stats`     | (F,)              | statistics of the sketch, named in `FEATURE_NAMES`                        |
    | `thumbnail` | (256,)            | 16 x 16 pixels of the strokes, 1 for ink; only with `thumbnail=True`      |
    | `tradeoff`  | (1,)              | the episode's own tradeoff; only with `preferences`                       |

    ## Rewards

        R      = tradeoff * R_comp + (1 - tradeoff) * R_acc
        R_acc  = rank_weight / rank - triplet_weight * L_tri
        R_comp = -q_j / (q_max - q_min)

    `rank` is the rank of the true photo in the split's gallery, from 1; ties count against the student. `L_tri` is the
    triplet loss of the query over all other photos, with margin 0.3. `q_j` is the student's cost at canvas j; q_max and
    q_min are the highest and the lowest cost on offer. `reward_range` bounds R, `reward_vector_space` the pair (R_acc,
    R_comp).

    `info` of `step`: `sketch_index`, `canvas` (pixels), `flops` (2 x MAC), `cost` (q_j in `cost_unit`), `rank`,
    `triplet`, `reward_vector` (R_acc, R_comp), and except in live mode `oracle_action` (best action; ties go to the
    cheapest) and `regret`; with preferences also `tradeoff`. `info` of `reset`: `sketch_index`, and `tradeoff`.

    ## Starting State

    A sketch of the split, drawn uniformly with replacement; with preferences also a tradeoff, uniform in their range.
    `reset(options={"index": i})` selects row i and does not advance the stream of sketches; `{"tradeoff": x}` sets the
    tradeoff.

    ## Episode End

    Always after one step: `terminated` is True and `truncated` False. The last observation is the sketch again.

    ## Arguments

    ```python
    gym.make(
        "SketchCanvas-v0", dataset="emoji_known", split="train", student=None, canvases=(32, 64, 128, 256),
        tradeoff=0.2, rank_weight=1.0, triplet_weight=0.1, cost="flops", max_points=200, thumbnail=False, table=None,
        render_mode=None, preferences=None, task="retrieval",
    )
    gym.make("SketchCanvasPreference-v0")  # the same with preferences=(0.0, 0.8)
    ```

    `CanvasArguments` describes them. `render_mode` is None, `"rgb_array"` (strokes, the canvas at its true pixels, the
    five nearest photos) or `"ansi"` (one line). An argument out of range raises ValueError before any file is read. In
    Python `dataset` and `table` may be objects, and `retriever` computes outcomes instead of a table.

    ## Vectorized environment

    `gym.make_vec("SketchCanvas-v0", num_envs=N)` gives `SketchCanvasVectorEnv`: N sketches at once, autoreset mode
    SAME_STEP.

    ## Examples

    >>> import gymnasium as gym
    >>> import sketchcanvas_env
    >>> env = gym.make("SketchCanvas-v0", tradeoff=0.2)
    >>> observation, info = env.reset(seed=0)
    >>> observation, reward, terminated, truncated, info = env.step(1)
    >>> info["canvas"], terminated, truncated, info["regret"] >= 0.0
    (64, True, False, True)
    >>> r_acc, r_comp = info["reward_vector"]
    >>> bool(abs(reward - (0.2 * r_comp + 0.8 * r_acc)) < 1e-12)
    True

    ## Version History

    * v0: first version; `SketchCanvas-v0` and `SketchCanvasPreference-v0`.
    """

    arguments = CanvasArguments


class SketchCanvasVectorEnv(SketchVectorEnv):
    """N copies of `SketchCanvasEnv`; see `SketchVectorEnv`.

    Every step ends every episode: `step` returns observations of the next sketches, and `info["final_info"]` is about
    the sketches that were acted on.

    Example:
        >>> import gymnasium as gym
        >>> import numpy as np
        >>> import sketchcanvas_env
        >>> envs = gym.make_vec("SketchCanvas-v0", num_envs=3, canvases=(32, 256))
        >>> observations, infos = envs.reset(seed=0)
        >>> observations["points"].shape, observations["stats"].shape[0]
        ((3, 1000), 3)
        >>> observations, rewards, terminations, truncations, infos = envs.step(np.array([0, 1, 0]))
        >>> infos["final_info"]["canvas"]
        array([ 32, 256,  32])
        >>> bool(terminations.all()), bool(truncations.any()), rewards.dtype
        (True, False, dtype('float64'))
    """

    arguments = CanvasArguments
