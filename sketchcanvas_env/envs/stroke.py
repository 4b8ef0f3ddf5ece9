"""The environment for one drawing at a time, stroke by stroke."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import error

from sketchcanvas_env.data import RETRIEVAL, SketchDataset
from sketchcanvas_env.envs.canvas import Observation, check_integer, check_render_mode, first_of, next_row
from sketchcanvas_env.envs.render import Shown, picture, sentence
from sketchcanvas_env.outcomes.prefixes import PrefixTable
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.tasks import sampling
from sketchcanvas_env.tasks.canvas import DEFAULT_CANVASES, RENDER_MODES, OfTask
from sketchcanvas_env.tasks.stroke import STROKE_COST, Drawing, StrokeTask, make_stroke_task, paid


class OfStroke(OfTask):
    """What a task with strokes consists of, as attributes of an environment that has one in `stroke`.

    Attributes:
        stroke: the rules and what they look up.
    """

    stroke: StrokeTask

    @property
    def look_names(self) -> tuple[str, ...]:
        """(L,) names of the observation `looks`."""
        return self.stroke.look_names

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds that no reward and no undiscounted return of this environment leaves."""
        return self.stroke.reward_range


class SketchCanvasStrokeEnv(OfStroke, gym.Env[Observation, np.int64]):
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
        tradeoff=0.2, rank_weight=1.0, triplet_weight=0.1, cost="flops", max_points=200, table=None,
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
        stroke_cost: float = STROKE_COST,
        prefixes: str | os.PathLike[str] | PrefixTable | None = None,
    ) -> None:
        """Make an environment; the class describes the arguments.

        Raises:
            ValueError: an argument that is out of range or names something that does not exist.
            FileNotFoundError: no file at `table` or `prefixes`, or no prefixes beside the table.
        """
        check_render_mode(render_mode)
        self.stroke = make_stroke_task(
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
            stroke_cost=stroke_cost,
            prefixes=prefixes,
        )
        self.task = self.stroke.task
        self.render_mode = render_mode
        self.observation_space = cast("gym.Space[Observation]", self.stroke.observation_space())
        self.action_space = self.stroke.action_space()
        self.reward_space = self.stroke.reward_space()
        self._stream = sampling.Stream()
        self._drawing: Drawing | None = None
        self._ended = False
        self._earned = 0.0

    # The Gymnasium interface.

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Show the first step of a drawing.

        Args:
            seed: starts a new stream of draws; None goes on with the present one.
            options: `{"index": i}` shows row i of the split; other keys are left to wrappers.

        Returns:
            The observation, of fresh arrays, and info (see the class).

        Raises:
            ValueError: an index that the split does not have.
        """
        super().reset(seed=seed)
        self._drawing = self.stroke.start(next_row(self._stream, self.np_random, options, len(self.task)))
        self._ended = False
        self._earned = 0.0
        return self._observation(self._drawing), first_of(self.stroke.going(self._drawing))

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Look, wait, or stop.

        Args:
            action: 0 to K - 1 for a look, K to wait, K + 1 to stop.

        Returns:
            The observation, the reward, whether the episode ended, False, and info (see the class).

        Raises:
            gymnasium.error.ResetNeeded: no drawing is there, or the episode has ended.
            ValueError: an action that is not an integer in [0, K + 2).
        """
        if self._drawing is None or self._ended:
            why = "this episode ended" if self._ended else "there is no sketch yet"
            raise error.ResetNeeded(f"call reset() before step(): {why}")
        choice = check_integer(action)
        if not 0 <= choice < self.stroke.n_canvases + 2:
            raise ValueError(self.stroke.out_of_range(choice))
        found = self.stroke.advance(self._drawing, np.array([choice], dtype=np.int64))
        reward, ended = float(found.reward[0]), bool(found.ended[0])
        self._drawing, self._ended = found.drawing, ended
        self._earned += reward
        told = self.stroke.final(found.drawing) if ended else self.stroke.going(found.drawing)
        return self._observation(found.drawing), reward, ended, False, first_of(told)

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """(K + 2,) which actions say something new, as sb3-contrib's MaskablePPO asks for it.

        Raises:
            gymnasium.error.ResetNeeded: no drawing is there.
        """
        if self._drawing is None:
            raise error.ResetNeeded("call reset() before action_masks(): there is no sketch yet")
        return np.asarray(self.stroke.action_mask(self._drawing)[0], dtype=np.bool_)

    def render(self) -> npt.NDArray[np.uint8] | str | None:
        """The drawing so far, the last look at it, and what all looks cost and earned, as `render_mode` says.

        Returns:
            (H, W, 3) uint8 for `"rgb_array"`, one line for `"ansi"`, None (and a warning) without a render mode.

        Raises:
            gymnasium.error.ResetNeeded: no drawing is there.
        """
        if self.render_mode is None:
            gym.logger.warn("render() was called without a render mode; make the environment with render_mode=...")
            return None
        if self._drawing is None:
            raise error.ResetNeeded("call reset() before render(): there is no sketch yet")
        return render_drawing(self.stroke, self._drawing, 0, self._earned, self.render_mode)

    def _observation(self, drawing: Drawing) -> Observation:
        return cast("Observation", {name: array[0] for name, array in self.stroke.observe(drawing).items()})


def render_drawing(
    task: StrokeTask, drawing: Drawing, place: int, earned: float, render_mode: str
) -> npt.NDArray[np.uint8] | str:
    """One of N drawings so far, and the last look at it, as a picture or as a line.

    Args:
        task: what the drawings are of.
        drawing: where N episodes stand.
        place: which of them.
        earned: sum of its rewards so far.
        render_mode: "rgb_array" or "ansi".
    """
    row, step, last = (int(array[place]) for array in (drawing.rows, drawing.step, drawing.last))
    sketch = task.sketch(row, step)
    shown = None
    if last >= 0:
        known = task.task.table
        assert known is not None  # there is no live mode here
        top = tuple(str(known.photos[photo]) for photo in task.top[last] if photo >= 0)
        looks = drawing.looks[[place]]
        all_looks = (float(paid(looks, task.task.flops)[0]), float(paid(looks, task.task.costs)[0]))
        shown = Shown(last % task.n_canvases, int(task.ranks[last]), earned, top, all_looks=all_looks)
    if render_mode == "ansi":
        return f"{sketch.n_strokes} strokes of {sentence(task.task, row, shown)}"
    return picture(task.task, row, shown, sketch)
