"""`SketchCanvasStroke-v0`: drawings that appear stroke by stroke."""

from __future__ import annotations

from sketchcanvas_env.envs.base import OfLooks, SketchEnv
from sketchcanvas_env.envs.vector import SketchVectorEnv
from sketchcanvas_env.tasks.stroke import StrokeArguments


class SketchCanvasStrokeEnv(OfLooks, SketchEnv):
    """Watch a sketch being drawn, and decide when to look at it and on which canvas.

    ## Description

    Strokes appear step by step. At each step the agent may look: the drawing so far is rasterised on a canvas of its
    choice, and a frozen student network ranks a gallery of photos. It may wait for the next strokes. Or it may stop,
    and the ranking of the last look is the answer. Ranking unfinished sketches is on-the-fly retrieval (Bhunia et al.,
    "Sketch Less for More", CVPR 2020). There the network is trained for it; here the student of `SketchCanvas-v0` is
    used, and the agent learns when to look and on which canvas. Outcomes are looked up in a table (`PrefixTable`).

    A drawing appears in at most eight steps, as equal as whole strokes allow: after step k of T = min(8, S) there are
    ceil(k S / T) of its S strokes, in the data set's order; for `emoji` that is the order in the designers' files.

    ## Action Space

    `Discrete(K + 2)`: 0 to K - 1 look at the drawing so far on a canvas, K waits for the next strokes, K + 1 stops. By
    default K = 4. Three actions are masked: a second look at the same step and canvas, waiting when the drawing is
    complete, and stopping before the first look. For agents without masks all three count as stopping.
    `info["action_mask"]` is (K + 2,) int8; `action_masks()` is the same for MaskablePPO.

    ## Observation Space

    A `Dict` of one-dimensional float32 `Box` spaces.

    | Key         | Shape             | Range  | Meaning                                                            |
    | ----------- | ----------------- | ------ | ------------------------------------------------------------------ |
    | `points`    | (max_points * 5,) | [0, 1] | stroke-5 rows of the drawing so far, as in `SketchCanvas-v0`       |
    | `stats`     | (F,)              | [0, 1] | its statistics, named in `FEATURE_NAMES`                           |
    | `thumbnail` | (256,)            | [0, 1] | 16 x 16 pixels of it; only with `thumbnail=True`                   |
    | `looks`     | (2 K + 10,)       | [0, 2] | results of the looks so far, named in `env.unwrapped.look_names`   |

    `looks` has the canvas of the last look, the canvases looked at in the current step, the distances of the five
    nearest photos at the last look and their margin, the agreement with the look before, the cost so far, and the steps
    since the last look. It does not depend on the true photo. Observations do not depend on later strokes either,
    except that a drawing has the position and scale of the finished one, and that the number of strokes that appear
    in a step grows with their total number.

    ## Rewards

    With R_acc, R_comp and the weights of `SketchCanvas-v0`, the reward of a look at canvas j is tradeoff * R_comp(j),
    that of waiting is -stroke_cost times the share of the drawing's strokes that appear, and that of stopping is (1 -
    tradeoff) * R_acc of the last look. Without a look all photos tie: the true one is ranked last, and L_tri is the
    margin. Use gamma = 1; with less, agents delay looks and stop early. `stroke_cost` = 0.5 is our choice: on `emoji`
    train the mean returns of one look at a fixed step then differ by at most 0.012.

    `info` before the end: `sketch_index`, `strokes` (drawn so far), `seen` (sum of 2^j over the canvases looked at in
    this step), `flops` (2 x MAC of all looks), `action_mask`. At the end: `sketch_index`, `strokes`, `share` (of the
    drawing's strokes), `canvas` (side of the last look, 0 for none), `looks` (number of looks), `flops`, `cost`,
    `rank`, `triplet`, `reward_vector` (R_acc, sum of R_comp, minus the share waited for), `return`, `oracle_return`
    (highest return of an episode with one look) and `regret`.

    ## Starting State

    The first step of a sketch of the split, drawn uniformly with replacement, and no look. `reset(options={"index":
    i})` selects row i and does not advance the stream of sketches. A seed gives the same sketches as in
    `SketchCanvas-v0`.

    ## Episode End

    `terminated` is True when the agent stops, at the latest in step T (K + 1); `truncated` is always False.

    ## Arguments

    ```python
    gym.make(
        "SketchCanvasStroke-v0", dataset="emoji", split="train", student=None, canvases=(32, 64, 128, 256),
        tradeoff=0.2, rank_weight=1.0, triplet_weight=0.1, cost="flops", max_points=200, thumbnail=False, table=None,
        render_mode=None, task="retrieval", stroke_cost=0.5, prefixes=None,
    )
    ```

    `stroke_cost` is the cost of waiting for a whole drawing, not negative. `prefixes` is the path of a table of
    prefixes (`python -m students.tables.prefixes`); None for the one beside `table`, or the shipped one with the
    canvases 32, 64, 128 and 256. The other arguments are those of `SketchCanvas-v0`.

    ## Vectorized environment

    `gym.make_vec("SketchCanvasStroke-v0", num_envs=N)` gives `SketchCanvasStrokeVectorEnv` (SAME_STEP).

    ## Examples

    >>> import gymnasium as gym
    >>> import sketchcanvas_env
    >>> env = gym.make("SketchCanvasStroke-v0", split="val")
    >>> observation, info = env.reset(options={"index": 0})
    >>> info["strokes"], info["action_mask"].tolist()
    (2, [1, 1, 1, 1, 1, 0])
    >>> _, paid, terminated, _, info = env.step(4)  # wait
    >>> info["strokes"], terminated, paid < 0
    (3, False, True)
    >>> _, paid, terminated, _, info = env.step(1)  # look at 64 px
    >>> _, reward, terminated, truncated, info = env.step(5)  # stop
    >>> info["canvas"], info["looks"], terminated, truncated, info["regret"] >= 0.0
    (64, 1, True, False, True)

    ## Version History

    * v0: first version.
    """

    arguments = StrokeArguments


class SketchCanvasStrokeVectorEnv(OfLooks, SketchVectorEnv):
    """N copies of `SketchCanvasStrokeEnv`; see `SketchVectorEnv`.

    Example:
        >>> import gymnasium as gym
        >>> import numpy as np
        >>> import sketchcanvas_env
        >>> envs = gym.make_vec("SketchCanvasStroke-v0", num_envs=3)
        >>> observations, infos = envs.reset(seed=0)
        >>> observations, rewards, terminations, truncations, infos = envs.step(np.array([1, 1, 0]))
        >>> infos["seen"].tolist(), terminations.tolist(), "final_info" in infos
        ([2, 2, 1], [False, False, False], False)
        >>> observations, rewards, terminations, truncations, infos = envs.step(np.array([5, 2, 5]))
        >>> infos["final_info"]["canvas"].tolist(), infos["_final_info"].tolist(), infos["seen"].tolist()
        ([64, 0, 32], [True, False, True], [0, 6, 0])
    """

    arguments = StrokeArguments
