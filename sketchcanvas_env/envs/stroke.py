"""`SketchCanvasStroke-v0`: drawings that appear stroke by stroke."""

from __future__ import annotations

from sketchcanvas_env.envs.base import OfLooks, SketchEnv
from sketchcanvas_env.envs.vector import SketchVectorEnv
from sketchcanvas_env.tasks.stroke import StrokeArguments


class SketchCanvasStrokeEnv(OfLooks, SketchEnv):
    """Watch a sketch being drawn, and decide when to look at it and on what canvas.

    ## Description

    Strokes arrive one by one. At any time the agent may have the drawing so far rasterised on a canvas of its choice,
    and a frozen student network ranks a gallery of photos for it; it may wait for the next strokes; or it may stop, and
    the ranking of the last look is the answer. Ranking unfinished sketches is on-the-fly retrieval, Bhunia et al.,
    "Sketch Less for More" (CVPR 2020); there the network is trained for it, here it is that of `SketchCanvas-v0`, and
    what is learned is when to look, and how large. Outcomes are looked up in a table (`PrefixTable`).

    A drawing appears in at most eight steps, as equal as whole strokes allow: after step k of T = min(8, S) there are
    ceil(k S / T) of its S strokes, in the data set's order; for `emoji` that is the order in the designers' files.

    ## Action Space

    `Discrete(K + 2)`: 0 to K - 1 look at the drawing so far on a canvas, K waits for the next strokes, K + 1 stops. By
    default K = 4. Looking again at the same drawing on the same canvas, waiting when the drawing is complete and
    stopping before the first look are masked: `info["action_mask"]`, (K + 2,) int8, and `action_masks()` for
    MaskablePPO. For agents that know no masks all three *are* stopping.

    ## Observation Space

    A `Dict` of `Box` spaces of float32, all of them vectors.

    | Key         | Shape             | Range  | Meaning                                                            |
    | ----------- | ----------------- | ------ | ------------------------------------------------------------------ |
    | `points`    | (max_points * 5,) | [0, 1] | stroke-5 rows of the drawing so far, as in `SketchCanvas-v0`       |
    | `stats`     | (F,)              | [0, 1] | its statistics, named in `FEATURE_NAMES`                           |
    | `thumbnail` | (256,)            | [0, 1] | 16 x 16 pixels of it; only with `thumbnail=True`                   |
    | `looks`     | (2 K + 10,)       | [0, 2] | what is known of the looks, named in `env.unwrapped.look_names`    |

    `looks` holds the canvas of the last look, the canvases at which the drawing as it is was looked at, distances of
    the five nearest photos at the last look and their margin, agreement with the look before, the cost so far, and the
    steps since the last look. Nothing in it needs the true photo. Nothing depends on strokes that are still to come,
    with two exceptions in the data: a drawing keeps the place that it has when it is finished, and in drawings of more
    than eight strokes several come at once.

    ## Rewards

    With R_acc, R_comp and the weights of `SketchCanvas-v0`: a look at canvas j pays tradeoff * R_comp(j), waiting pays
    -stroke_cost times the share of the drawing's strokes that come, and stopping pays (1 - tradeoff) * R_acc of the
    last look. Without a look all photos are alike: the true one comes last, and L_tri is the margin. Keep gamma at 1:
    below it agents put off looks and answer early whatever the arguments say. `stroke_cost` = 0.5 is our choice: on
    `emoji` train no fixed time for one look is then better in the mean than another by more than 0.012.

    `info` while the episode goes on: `sketch_index`, `strokes` (that are there), `seen` (sum of 2^j over the canvases
    at which they were looked at), `flops` (2 x MAC of all looks), `action_mask`. At the end: `sketch_index`, `strokes`,
    `share` (of the drawing's strokes), `canvas` (side of the last look, 0 for none), `looks` (how many), `flops`,
    `cost`, `rank`, `triplet`, `reward_vector` (R_acc, sum of R_comp, minus the share waited for), `return`,
    `oracle_return` (of the best episode with one look, all outcomes known) and `regret`.

    ## Starting State

    A sketch of the split, drawn uniformly with replacement; its first step is there, nothing was looked at.
    `reset(options={"index": i})` shows row i instead and leaves the stream of draws where it was. The sketches of a
    seed are those of `SketchCanvas-v0`.

    ## Episode End

    When the agent stops: `terminated` is True. `truncated` never is: no episode has more than T (K + 1) steps.

    ## Arguments

    ```python
    gym.make(
        "SketchCanvasStroke-v0", dataset="emoji", split="train", student=None, canvases=(32, 64, 128, 256),
        tradeoff=0.2, rank_weight=1.0, triplet_weight=0.1, cost="flops", max_points=200, thumbnail=False, table=None,
        render_mode=None, task="retrieval", stroke_cost=0.5, prefixes=None,
    )
    ```

    `stroke_cost` is what waiting for a whole drawing costs, not negative. `prefixes` is the path of a table of prefixes
    (`python -m students.tables.prefixes`); None for the one beside `table`, or the shipped one, which has canvases of
    32, 64, 128 and 256. The others are those of `SketchCanvas-v0`.

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
    """N copies of `SketchCanvasStrokeEnv`; `SketchVectorEnv` says what the vector environments have in common.

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
