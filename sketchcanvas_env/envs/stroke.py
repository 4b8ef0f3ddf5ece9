"""`SketchCanvasStroke-v0`: drawings that appear stroke by stroke."""

from __future__ import annotations

from sketchcanvas_env.envs.base import OfTask, SketchEnv, WithMasks
from sketchcanvas_env.envs.vector import SketchVectorEnv
from sketchcanvas_env.tasks.stroke import StrokeTask
from sketchcanvas_env.tasks.stroke_making import StrokeArguments


class OfStroke(WithMasks, OfTask):
    """What the single and the vector environment have beside the attributes of all environments."""

    rules: StrokeTask

    @property
    def stroke(self) -> StrokeTask:
        """The rules and what they look up."""
        return self.rules

    @property
    def look_names(self) -> tuple[str, ...]:
        """(L,) names of the observation `looks`."""
        return self.rules.look_names


class SketchCanvasStrokeEnv(OfStroke, SketchEnv):
    """Watch a sketch being drawn, and decide when to look at it and on what canvas.

    ## Description

    Strokes arrive one by one. At any time the agent may have the drawing so far rasterised on a canvas of its choice,
    and a frozen student network ranks a gallery of photos for it; it may wait for the next strokes; or it may stop, and
    the ranking of the last look is the answer. Looking early spares the person who draws, looking seldom and small
    spares FLOPs. Ranking unfinished sketches is on-the-fly retrieval, Bhunia et al., "Sketch Less for More: On-the-Fly
    Fine-Grained Sketch Based Image Retrieval" (CVPR 2020); there the network is trained for it. Here the network is
    that of `SketchCanvas-v0`, trained on whole drawings, and what is learned is when to look, and how large.

    Student, rasteriser and gallery being fixed, the outcome of every (drawing so far, canvas) pair is known and looked
    up in a table (`PrefixTable`); no network runs. A drawing appears in at most eight steps, as equal as whole strokes
    allow: after step k of T = min(8, S) there are ceil(k S / T) of its S strokes. The order of strokes is the data
    set's; for `emoji` it is the order in the designers' files, since nobody recorded a hand.

    ## Action Space

    `Discrete(K + 2)`, K canvases on offer, K = 4 by default.

    | Action     | Meaning                                         |
    | ---------- | ----------------------------------------------- |
    | 0 to K - 1 | look at the drawing so far on canvas j          |
    | K          | wait for the next strokes                       |
    | K + 1      | stop: the last look's ranking is the answer     |

    Actions that say nothing new are masked: looking again at the same drawing on the same canvas, waiting when the
    drawing is complete, and stopping before the first look. `info["action_mask"]`, (K + 2,) int8, has the mask in the
    form that `action_space.sample(mask=...)` takes, `action_masks()` in that of sb3-contrib's MaskablePPO. For agents
    that know no masks all three *are* stopping; who stops without a look has nothing ranked: all photos are alike, so
    by the rule for ties the true one is last, and L_tri is the margin.

    ## Observation Space

    A `Dict` of three `Box` spaces of float32.

    | Key      | Shape             | Range  | Meaning                                                            |
    | -------- | ----------------- | ------ | ------------------------------------------------------------------ |
    | `points` | (max_points * 5,) | [0, 1] | stroke-5 rows of the drawing so far, as in `SketchCanvasEnv`       |
    | `stats`  | (F,)              | [0, 1] | its statistics, named in `FEATURE_NAMES`                           |
    | `looks`  | (2 K + 10,)       | [0, 2] | what is known of the looks, named in `env.unwrapped.look_names`    |

    `looks` holds: the canvas of the last look, one-hot; the canvases at which the drawing as it is was looked at;
    distances of the five nearest photos at the last look, and the margin between the first two; whether the first photo
    is the same as at the look before, and which share of the five was among the five then; what all looks cost, c / (c
    + 1) with c in units of one look at each canvas on offer; and the steps since the last look, divided by eight. What
    speaks of a look that was not taken is 0.

    Nothing in it needs the true photo, and nothing depends on strokes that are still to come, with two exceptions that
    are in the data: a drawing keeps the place on the canvas that it has when it is finished, and in drawings of more
    than eight strokes several come at once, so that their number tells roughly how many there will be.

    ## Rewards

    R_acc, R_comp and their weights are those of `SketchCanvasEnv`.

    * A look at canvas j pays tradeoff * R_comp(j).
    * Waiting pays -stroke_cost * (share of the drawing's strokes that come).
    * Stopping pays (1 - tradeoff) * R_acc of the last look, and ends the episode.

    So who waits for the whole drawing, looks at it once and stops has the reward of `SketchCanvas-v0` less
    `stroke_cost` times the share that came after the first step. Keep rewards undiscounted, gamma = 1: with gamma < 1
    what is paid later counts less, looks and waiting as well as the answer, so that agents learn to put off looks and
    to answer early whatever the arguments say. Episodes are finite whatever the agent does, so nothing diverges.

    `stroke_cost` = 0.5 is our choice: on `emoji` train no fixed time for one look is then better in the mean than
    another by more than 0.012, so it depends on the drawing when to look. At 0.4 waiting for the whole drawing is the
    best fixed time, at 0.6 looking at once (`examples/unfinished_drawings.py` prints such figures for val).

    `step` returns in `info`, and `reset` too, while the episode goes on:

    | Key            | Type         | Meaning                                                   |
    | -------------- | ------------ | --------------------------------------------------------- |
    | `sketch_index` | int          | row in the split; `env.unwrapped.sketch_ids[i]` names it  |
    | `strokes`      | int          | strokes that are there                                    |
    | `seen`         | int          | canvases at which they were looked at, sum of 2^j         |
    | `flops`        | float        | FLOPs (2 x MAC) of all looks                              |
    | `action_mask`  | (K + 2,) int8 | what says something new                                  |

    and at the end:

    | Key             | Type         | Meaning                                                                  |
    | --------------- | ------------ | ------------------------------------------------------------------------ |
    | `sketch_index`  | int          | as above                                                                 |
    | `strokes`       | int          | strokes that were there                                                  |
    | `share`         | float        | share of the drawing's strokes that were there                           |
    | `canvas`        | int          | side of the last look, 0 without one                                     |
    | `looks`         | int          | number of looks                                                          |
    | `flops`, `cost` | float        | of all looks, in FLOPs and in `env.unwrapped.cost_unit`                  |
    | `rank`          | int          | rank of the true photo at the last look                                  |
    | `triplet`       | float        | L_tri there                                                              |
    | `reward_vector` | (3,) float64 | R_acc of the last look, sum of R_comp, R_wait: minus the share waited for |
    | `return`        | float        | sum of the episode's rewards                                             |
    | `oracle_return` | float        | the best that an episode with a look gets, by who knows all outcomes     |
    | `regret`        | float        | `oracle_return` less `return`                                            |

    The oracle waits for one drawing, looks at it once, and stops. Regret is below zero only for who stops without a
    look at tradeoffs near 1.

    ## Starting State

    A sketch of the split, drawn uniformly with replacement; its first step is there, nothing was looked at.
    `reset(options={"index": i})` shows row i instead and leaves the stream of draws where it was. The sketches of a
    seed are those of `SketchCanvas-v0`.

    ## Episode End

    When the agent stops (see "Action Space"): `terminated` is True. `truncated` never is: no episode has more than T (K
    + 1) steps. `step` after that raises `gymnasium.error.ResetNeeded`.

    ## Arguments

    ```python
    gym.make(
        "SketchCanvasStroke-v0", dataset="emoji", split="train", student=None, canvases=(32, 64, 128, 256),
        tradeoff=0.2, rank_weight=1.0, triplet_weight=0.1, cost="flops", max_points=200, thumbnail=False,
        table=None,
        render_mode=None, task="retrieval", stroke_cost=0.5, prefixes=None,
    )
    ```

    * `stroke_cost`: what waiting for a whole drawing costs, not negative.
    * `prefixes`: path of a table of prefixes (`python -m students.tables.prefixes`). None for the one beside `table`,
    or the
      shipped one, which has canvases of 32, 64, 128 and 256.
    * The others are those of `SketchCanvasEnv`. An argument that is out of range, or names what does not exist, raises
      ValueError before any work starts; a file that is not there raises FileNotFoundError.

    ## Vectorized environment

    `gym.make_vec("SketchCanvasStroke-v0", num_envs=N)` gives `SketchCanvasStrokeVectorEnv`, which steps N drawings at
    once and resets a sub-environment in the step that ends its episode (SAME_STEP); `info["final_info"]` holds what
    ended.

    ## Examples

    >>> import gymnasium as gym
    >>> import sketchcanvas_env
    >>> env = gym.make("SketchCanvasStroke-v0", split="val")
    >>> observation, info = env.reset(options={"index": 0})
    >>> info["strokes"], info["action_mask"].tolist()
    (2, [1, 1, 1, 1, 1, 0])

    Wait for more, look on a canvas of 64, and stop:

    >>> _, paid, terminated, _, info = env.step(4)
    >>> info["strokes"], terminated, paid < 0
    (3, False, True)
    >>> observation, paid, terminated, _, info = env.step(1)
    >>> looks = dict(zip(env.unwrapped.look_names, observation["looks"].tolist()))
    >>> looks["last_64"], looks["distance_1"] > 0, info["action_mask"].tolist()
    (1.0, True, [1, 0, 1, 1, 1, 1])
    >>> _, reward, terminated, truncated, info = env.step(5)
    >>> info["canvas"], info["looks"], terminated, truncated
    (64, 1, True, False)
    >>> info["regret"] >= 0.0
    True

    ## Version History

    * v0: first version.
    """

    arguments = StrokeArguments


class SketchCanvasStrokeVectorEnv(OfStroke, SketchVectorEnv):
    """N copies of `SketchCanvasStrokeEnv` stepped by array look-ups; `gym.make_vec("SketchCanvasStroke-v0")` makes one.

    With the same seed and actions it gives what `SyncVectorEnv` over N single environments in SAME_STEP mode gives, bit
    for bit. Autoreset, `info`, masks and `copy` are those of `SketchCanvasCascadeVectorEnv`: `info["final_info"]` is
    about the episodes that the step ended and is there only if one did, the other keys are about what is now shown, and
    `final_obs` is left out, since stopping shows nothing new.

    Gymnasium's vector observation wrappers refuse it, as they refuse every environment in SAME_STEP mode;
    `SketchCanvasVectorEnv` says what to do instead.

    Args:
        num_envs: number of sub-environments, N.
        copy: whether observations are fresh arrays in every call.
        dataset: as all that follow, see `SketchCanvasStrokeEnv`.
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
        stroke_cost: see there.
        prefixes: see there.

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
