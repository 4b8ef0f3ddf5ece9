"""The environment for one sketch at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import error

from sketchcanvas_env.data import RETRIEVAL, SketchDataset
from sketchcanvas_env.envs.render import Shown, picture, sentence
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.tasks import sampling
from sketchcanvas_env.tasks.canvas import DEFAULT_CANVASES, RENDER_MODES, OfTask, Task, checked_preferences, make_task
from sketchcanvas_env.tasks.live import Retriever

Observation = dict[str, npt.NDArray[np.float32]]


class SketchCanvasEnv(OfTask, gym.Env[Observation, np.int64]):
    """Choose the canvas on which a sketch is drawn before a network looks at it.

    ## Description

    A sketch is a vector and has no resolution of its own. Before a convolutional network can retrieve the
    photo it shows, someone must choose the side of the canvas it is rasterised on, and the network's cost
    grows with the square of that side. Rough sketches survive 32 x 32 pixels, detailed ones need 256 x 256.
    In every episode the agent sees the strokes of one sketch and picks a canvas; a frozen student network
    then ranks a gallery of photos for the sketch on that canvas. The task is that of Sain et al., "Sketch
    Down the FLOPs: Towards Efficient Networks for Human Sketch" (CVPR 2025, arXiv 2505.23763).

    Student, rasteriser and gallery being fixed, the outcome of every (sketch, canvas) pair is known. It is
    looked up in an outcome table (`OutcomeTable`), so a step costs microseconds and no network runs.

    ## Action Space

    `Discrete(K)`: the action is an index into `canvases`, K = 4 by default.

    | Action | Canvas    |
    | ------ | --------- |
    | 0      | 32 x 32   |
    | 1      | 64 x 64   |
    | 2      | 128 x 128 |
    | 3      | 256 x 256 |

    ## Observation Space

    A `Dict` of two `Box` spaces of float32 within [0, 1]; a selector reads either or both.

    | Key      | Shape             | Meaning                                                  |
    | -------- | ----------------- | -------------------------------------------------------- |
    | `points` | (max_points * 5,) | stroke-5 rows (x, y, p1, p2, p3) in drawing order, flat  |
    | `stats`  | (F,)              | cheap statistics of the sketch, named in `FEATURE_NAMES` |

    `SketchCanvasPreference-v0` has a third, `tradeoff` of shape (1,): the episode's own, see "Preferences".

    `points.reshape(-1, 5)` gives the rows. x and y are absolute, as fractions of the canvas, x to the right
    and y down; p1 = 1 while the pen stays down, p2 = 1 on the last point of a stroke, p3 = 1 on the padding
    after the last point, where x = y = 0. A sketch of more than `max_points` points is first thinned by
    Douglas-Peucker. The rows lie flat because Stable-Baselines3 asks for vectors.

    ## Rewards

    The reward of canvas j is

        R      = tradeoff * R_comp + (1 - tradeoff) * R_acc
        R_acc  = rank_weight / rank - triplet_weight * L_tri
        R_comp = -q_j / (q_max - q_min)

    * `rank`: place of the true photo among the photos of the split's gallery, from 1. Ties count against the
      student.
    * `L_tri`: triplet loss of the query, the mean over all other photos of the gallery of
      max(0, 0.3 + d(sketch, true photo) - d(sketch, other photo)), d the Euclidean distance of L2-normalised
      embeddings.
    * `q_j`: cost of the student at canvas j: FLOPs (2 x MAC) as in the paper, or milliseconds with
      `cost="latency"`; `q_max` and `q_min` belong to the dearest and the cheapest canvas on offer. With one
      canvas on offer R_comp is -1.
    * `tradeoff`: lambda_F of the paper; 0 asks for accuracy only, 1 for cheapness only.

    rank lies in [1, G], G the size of the gallery, and L_tri in [0, 2.3], so R_acc lies in
    [rank_weight / G - 2.3 triplet_weight, rank_weight] and R_comp in [-q_max, -q_min] / (q_max - q_min). The
    attribute `reward_range` bounds R accordingly, and `reward_space` the pair (R_acc, R_comp) for those who
    keep the two apart.

    **Latency as the cost.** With `cost="latency"` q_j is the median time in milliseconds that drawing and
    embedding one sketch took at canvas j, on one thread. It was measured once and is stored in the outcome table
    with a description of the machine (`table.milliseconds`, `table.meta["latency"]`), so rewards stay exact and
    repeatable. Reward, oracle, regret and `reward_range` go by it; `info["flops"]` stays FLOPs. Milliseconds depend
    on the machine: results are comparable between machines only if they use the same stored table, not one
    measured anew. A table without latency raises ValueError; `sketchcanvas latency PATH --student
    NAME` measures it and adds it.

    **Recognition.** With `task="recognition"` the student names what it sees: sketches are ranked among classes
    instead of photos. What stands for a class is its prototype, the normalised mean of the embeddings of its sketches
    in the split `student`. Everything above and below holds with "class" for "photo": `rank` is the place of the true
    class, `L_tri` its triplet loss against the other classes, `env.unwrapped.photo_ids` holds the true classes, and
    `table.acc(1)` is the share of sketches named rightly at each canvas. The classes of `emoji` are 89 of Unicode's
    subgroups ("animal-bird", "musical-instrument"); the few sketches of subgroups that `student` lacks are left out.
    `dataset="emoji_recognition"` means the same. Other data sets that have classes need a `table` of such outcomes
    (`students.tables.tabulate` on `sketchcanvas_env.data.recognition(dataset)`).

    **Preferences.** In `SketchCanvasPreference-v0` every episode has a tradeoff of its own, drawn uniformly from
    `preferences` = (low, high) and shown to the agent, so that one agent can learn the whole front of accuracy
    against cost. Reward, `reward_vector`, oracle and regret go by the episode's tradeoff; `reward_range` holds for
    all of them. The number in the observation and the one in the reward are the same, a float32, so the reward can
    be recomputed from the observation to the last bit. The default range (0, 0.8) and the uniform distribution are
    our choice: on `emoji` train the best fixed canvas is 128 px up to a tradeoff of about 0.15, 64 px up to 0.75 and
    32 px from there on, and beyond 0.8 even the oracle asks for little else than 32 px.

    `step` returns in `info`:

    | Key             | Type         | Meaning                                                     |
    | --------------- | ------------ | ----------------------------------------------------------- |
    | `sketch_index`  | int          | row in the split; `env.unwrapped.sketch_ids[i]` names it    |
    | `canvas`        | int          | side that was chosen, in pixels                             |
    | `flops`         | float        | FLOPs (2 x MAC) of the student at that canvas               |
    | `cost`          | float        | q_j, in `env.unwrapped.cost_unit`: "FLOPs" or "ms"          |
    | `rank`          | int          | rank                                                        |
    | `triplet`       | float        | L_tri                                                       |
    | `reward_vector` | (2,) float64 | R_acc, R_comp                                               |
    | `oracle_action` | int          | best action, the cheapest of equals; not in live mode       |
    | `regret`        | float        | reward of that action less this one, >= 0; not in live mode |
    | `tradeoff`      | float        | the episode's own; only with `preferences`                  |

    `reset` returns `sketch_index`, and with `preferences` the `tradeoff`.

    ## Starting State

    A sketch of the split, drawn uniformly with replacement. `reset(options={"index": i})` shows row i instead
    and leaves the stream of draws where it was.

    With `preferences` a tradeoff is drawn beside the sketch; the sketches of a seed are the same with and without.
    `reset(options={"index": i, "tradeoff": x})` fixes both and draws nothing, one of the two alone fixes that one and
    draws the other.

    ## Episode End

    Always after one step: `terminated` is True and `truncated` False. No later reward exists, so no discount
    factor has anything to discount. `step` after that raises `gymnasium.error.ResetNeeded`. The observation
    that comes with the last step is the sketch again.

    ## Arguments

    ```python
    gym.make(
        "SketchCanvas-v0", dataset="emoji", split="train", student=None, canvases=(32, 64, 128, 256),
        tradeoff=0.2, rank_weight=1.0, triplet_weight=0.1, cost="flops", max_points=200, table=None,
        render_mode=None, preferences=None, task="retrieval",
    )
    gym.make("SketchCanvasPreference-v0")  # the same with preferences=(0.0, 0.8)
    ```

    * `dataset`: name of a data set.
    * `split`: `"train"` for agents, `"val"` to choose among them, `"test"` to report.
    * `student`: whose outcomes; None for the data set's default student.
    * `canvases`: sides on offer, rising; the shipped table has 32, 48, 64, 96, 128, 160, 192 and 256.
    * `tradeoff`: in [0, 1].
    * `rank_weight`, `triplet_weight`: not negative. Ours; the paper gives no values.
    * `cost`: what the reward charges: `"flops"`, or `"latency"` (milliseconds, one thread, see above).
    * `max_points`: 2 to 5000.
    * `table`: path of an outcome table to use instead of the shipped one.
    * `render_mode`: None, `"rgb_array"` (strokes, the canvas chosen at its true pixels, the five nearest
      photos, the cost) or `"ansi"` (one line).
    * `preferences`: (low, high) within [0, 1], between which each episode's tradeoff is drawn; `tradeoff` then says
      nothing. None: all episodes share `tradeoff`.
    * `task`: `"retrieval"`, or `"recognition"` (see above).

    An argument that is out of range, or names what does not exist, raises ValueError before any work starts; a file
    that is not there raises FileNotFoundError.

    In Python, `SketchCanvasEnv(retriever=...)` computes outcomes when they are asked for instead of looking
    them up (see `sketchcanvas_env.Retriever`), and `dataset` and `table` may be objects.

    ## Vectorized environment

    `gym.make_vec("SketchCanvas-v0", num_envs=N)` gives `SketchCanvasVectorEnv`, which looks up N sketches at
    once. It resets a sub-environment in the step that ends its episode (SAME_STEP); `info["final_info"]`
    holds what the single environment gives. `gym.make_vec(..., vectorization_mode="sync",
    vector_kwargs={"autoreset_mode": "SameStep"})` gives the same numbers, slower.

    ## Examples

    >>> import gymnasium as gym
    >>> import sketchcanvas_env
    >>> env = gym.make("SketchCanvas-v0", tradeoff=0.2)
    >>> observation, info = env.reset(seed=0)
    >>> observation["points"].reshape(-1, 5).shape
    (200, 5)
    >>> observation, reward, terminated, truncated, info = env.step(1)
    >>> info["canvas"], terminated, truncated
    (64, True, False)
    >>> r_acc, r_comp = info["reward_vector"]
    >>> bool(abs(reward - (0.2 * r_comp + 0.8 * r_acc)) < 1e-12)
    True
    >>> info["regret"] >= 0.0
    True

    What the best choice would have been worth, for the same sketch:

    >>> _ = env.reset(options={"index": info["sketch_index"]})
    >>> _, best, _, _, oracle_info = env.step(info["oracle_action"])
    >>> bool(abs(best - reward - info["regret"]) < 1e-12), oracle_info["regret"]
    (True, 0.0)

    A tradeoff of its own for every episode, or one that is asked for:

    >>> env = gym.make("SketchCanvasPreference-v0")
    >>> observation, info = env.reset(seed=0)
    >>> observation["tradeoff"].shape, float(observation["tradeoff"][0]) == info["tradeoff"]
    ((1,), True)
    >>> observation, info = env.reset(options={"tradeoff": 0.5})
    >>> observation, reward, _, _, info = env.step(1)
    >>> bool(reward == info["reward_vector"].mean())
    True

    Naming what a sketch shows, instead of finding its photo:

    >>> env = gym.make("SketchCanvas-v0", task="recognition")
    >>> _, info = env.reset(options={"index": 0})
    >>> str(env.unwrapped.sketch_ids[0]), str(env.unwrapped.photo_ids[0])
    ('1F642/0', 'face-smiling')
    >>> env.unwrapped.table.gallery_size["train"]
    89

    ## Version History

    * v0: first version; `SketchCanvas-v0` and `SketchCanvasPreference-v0`.
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
        retriever: Retriever | None = None,
        preferences: Sequence[float] | None = None,
        task: str = RETRIEVAL,
    ) -> None:
        """Make an environment; the class describes the arguments.

        Raises:
            ValueError: an argument that is out of range or names something that does not exist.
            FileNotFoundError: no file at `table`.
        """
        check_render_mode(render_mode)
        self.preferences = checked_preferences(preferences)
        self.task = make_task(
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
            retriever=retriever,
        )
        self.render_mode = render_mode
        self.observation_space = cast(
            "gym.Space[Observation]", self.task.observation_space(self.preferences is not None)
        )
        self.action_space = self.task.action_space()
        self.reward_space = self.task.reward_space()
        self._stream = sampling.Stream()
        self._row: int | None = None
        self._tradeoff: float | None = None
        self._shown: Shown | None = None
        self._done = False

    # The Gymnasium interface.

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Show a sketch.

        Args:
            seed: starts a new stream of draws; None goes on with the present one.
            options: `{"index": i}` shows row i of the split, `{"tradeoff": x}` fixes the episode's tradeoff where
                there are preferences; other keys are left to wrappers.

        Returns:
            The observation, of fresh arrays, and `{"sketch_index": int}`, with preferences also "tradeoff".

        Raises:
            ValueError: an index that the split does not have, a tradeoff that the preferences do not.
        """
        super().reset(seed=seed)
        index, tradeoff = (options or {}).get("index"), (options or {}).get("tradeoff")
        if index is not None:
            check_index(index, len(self.task))
        if tradeoff is not None:
            check_preference(tradeoff, self.preferences)
        stream = self._stream
        stream.follow(self.np_random)
        drawn = index is None or (tradeoff is None and self.preferences is not None)
        if index is None:
            index = sampling.draw(stream.key, stream.episode, len(self.task))
        if tradeoff is None and self.preferences is not None:
            tradeoff = sampling.draw_between(stream.key, stream.episode, *self.preferences)
        stream.episode += drawn
        self._row = int(index)
        # As the observation shows it.
        self._tradeoff = None if tradeoff is None else float(np.float32(tradeoff))
        self._shown = None
        self._done = False
        return self._observation(self._row), {"sketch_index": self._row, **self._preference_info()}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Choose a canvas, which ends the episode.

        Args:
            action: index into `canvases`.

        Returns:
            The sketch's observation again, the reward, True, False, and info (see the class).

        Raises:
            gymnasium.error.ResetNeeded: no sketch is waiting.
            ValueError: an action that is not an integer in [0, K).
        """
        if self._row is None or self._done:
            why = "this episode ended with its first step" if self._done else "there is no sketch yet"
            raise error.ResetNeeded(f"call reset() before step(): {why}")
        choice = check_action(action, self.task.canvases)
        row, task = self._row, self.task
        info: dict[str, Any] = {
            "sketch_index": row,
            "canvas": task.canvases[choice],
            "flops": float(task.flops[choice]),
            "cost": float(task.costs[choice]),
        }
        known = task.lookup
        if known is not None:
            table = known.table
            rank, triplet = int(table.ranks[row, choice]), float(table.triplet[row, choice])
            acc = float(known.acc[row, choice])
            reward, best, regret = self._judged(row, choice)
            top = tuple(str(table.photos[place]) for place in table.top[row, choice] if place >= 0)
        else:
            assert task.retriever is not None  # a task has one or the other
            outcome = task.retriever.retrieve(task.sketch(row), task.canvases[choice], str(task.photo_ids[row]))
            rank, triplet, top = int(outcome.rank), float(outcome.triplet), tuple(outcome.top)
            acc = float(rules.accuracy_reward(rank, triplet, task.rank_weight, task.triplet_weight))
            weight = task.tradeoff if self._tradeoff is None else self._tradeoff
            reward = float(rules.reward(acc, task.comp[choice], weight))
            best = regret = None
        info["rank"] = rank
        info["triplet"] = triplet
        info["reward_vector"] = np.array([acc, task.comp[choice]], dtype=np.float64)
        if best is not None:
            info["oracle_action"], info["regret"] = best, regret
        info.update(self._preference_info())
        self._shown = Shown(choice, rank, reward, top, oracle=best, regret=regret, tradeoff=self._tradeoff)
        self._done = True
        return self._observation(row), reward, True, False, info

    def render(self) -> npt.NDArray[np.uint8] | str | None:
        """The episode as `render_mode` says.

        Returns:
            (H, W, 3) uint8 for `"rgb_array"`, one line for `"ansi"`, None (and a warning) without a render
            mode.

        Raises:
            gymnasium.error.ResetNeeded: no sketch is there yet.
        """
        if self.render_mode is None:
            gym.logger.warn("render() was called without a render mode; make the environment with render_mode=...")
            return None
        if self._row is None:
            raise error.ResetNeeded("call reset() before render(): there is no sketch yet")
        return render_row(self.task, self._row, self._shown, self.render_mode)

    def _judged(self, row: int, choice: int) -> tuple[float, int | None, float | None]:
        """Reward, best action and regret of a choice, looked up or, at the episode's own tradeoff, computed."""
        if self._tradeoff is None:
            known = self.task.lookup
            assert known is not None  # asked for in table mode only
            return float(known.rewards[row, choice]), int(known.oracle[row]), float(known.regret[row, choice])
        found = self.task.judge(np.array([row]), np.array([choice]), np.array([self._tradeoff]))
        return float(found.reward[0]), int(found.oracle[0]), float(found.regret[0])

    def _observation(self, row: int) -> Observation:
        seen = {"points": self.task.points[row].copy(), "stats": self.task.stats[row].copy()}
        if self._tradeoff is not None:
            seen["tradeoff"] = np.array([self._tradeoff], dtype=np.float32)
        return seen

    def _preference_info(self) -> dict[str, float]:
        return {} if self._tradeoff is None else {"tradeoff": self._tradeoff}


def render_row(task: Task, row: int, shown: Shown | None, render_mode: str) -> npt.NDArray[np.uint8] | str:
    """One sketch of a task, and what was chosen for it, as a picture or as a line."""
    return picture(task, row, shown) if render_mode == "rgb_array" else sentence(task, row, shown)


def check_render_mode(render_mode: str | None) -> None:
    """Raise ValueError for a render mode that does not exist."""
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"unknown render_mode {render_mode!r}: there are {', '.join(RENDER_MODES)} and None")


def next_row(
    stream: sampling.Stream, generator: np.random.Generator, options: Mapping[str, Any] | None, n: int
) -> npt.NDArray[np.int64]:
    """The row that a `reset` shows, (1,) int64: the one asked for, or the next of the stream, which counts it.

    Args:
        stream: of the environment.
        generator: the environment's.
        options: of the reset; its "index" is the row asked for.
        n: rows of the split.

    Raises:
        ValueError: an index that the split does not have.
    """
    index = (options or {}).get("index")
    if index is not None:
        check_index(index, n)
    stream.follow(generator)
    if index is None:
        index = sampling.draw(stream.key, stream.episode, n)
        stream.episode += 1
    return np.array([index], dtype=np.int64)


def first_of(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """The first of each of the arrays, a number as Python has it."""
    return {name: array[0].copy() if array.ndim > 1 else array[0].item() for name, array in arrays.items()}


def check_index(index: object, n: int) -> None:
    """Raise ValueError unless `index` is a row of a split of n sketches."""
    if isinstance(index, bool) or not isinstance(index, int | np.integer) or not 0 <= index < n:
        raise ValueError(f"options['index'] must be an integer from 0 to {n - 1}, a row of the split, got {index!r}")


def check_preference(tradeoff: object, preferences: tuple[float, float] | None) -> None:
    """Raise ValueError unless episodes have tradeoffs of their own and `tradeoff` is in their range."""
    if preferences is None:
        raise ValueError(
            "options['tradeoff'] is for environments with preferences, such as SketchCanvasPreference-v0; here all "
            "episodes share the argument tradeoff"
        )
    low, high = preferences
    # The range is one of float32 numbers, which is what the tradeoff will be.
    if (
        not isinstance(tradeoff, int | float | np.integer | np.floating)
        or isinstance(tradeoff, bool)
        or not low <= np.float32(tradeoff) <= high
    ):
        raise ValueError(f"options['tradeoff'] must be a number in [{low:g}, {high:g}], got {tradeoff!r}")


def out_of_range(action: int, canvases: Sequence[int]) -> str:
    """What to say of an action that stands for no canvas."""
    sides = ", ".join(map(str, canvases))
    return f"action {action} is out of range: 0 to {len(canvases) - 1} stand for canvases {sides}"


def check_integer(action: object) -> int:
    """The action as an int; ValueError unless it is an integer."""
    if isinstance(action, np.ndarray) and action.shape == ():
        action = action[()]
    if isinstance(action, bool) or not isinstance(action, int | np.integer):
        raise ValueError(f"the action must be an integer, got {action!r} of type {type(action).__name__}")
    return int(action)


def check_action(action: object, canvases: Sequence[int]) -> int:
    """The action as an int; ValueError unless it is an integer that stands for a canvas."""
    choice = check_integer(action)
    if not 0 <= choice < len(canvases):
        raise ValueError(out_of_range(choice, canvases))
    return choice
