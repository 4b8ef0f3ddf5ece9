"""`SketchCanvas-v0` and `SketchCanvasPreference-v0`: one choice of a canvas for each sketch."""

from __future__ import annotations

from sketchcanvas_env.envs.base import SketchEnv
from sketchcanvas_env.envs.vector import SketchVectorEnv
from sketchcanvas_env.tasks.canvas_making import CanvasArguments


class SketchCanvasEnv(SketchEnv):
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
        tradeoff=0.2, rank_weight=1.0, triplet_weight=0.1, cost="flops", max_points=200, thumbnail=False,
        table=None,
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

    arguments = CanvasArguments


class SketchCanvasVectorEnv(SketchVectorEnv):
    """N copies of `SketchCanvasEnv` stepped by array look-ups; `gym.make_vec("SketchCanvas-v0")` makes one.

    With the same seed and actions it gives what `SyncVectorEnv` over N single environments in SAME_STEP mode
    gives, bit for bit: observations, rewards, terminations and infos. A seed s means s + i in
    sub-environment i.

    Every step ends every episode, so the observation that `step` returns shows the *next* sketches (autoreset
    mode SAME_STEP). `info` follows:

    * `info["final_info"]` is about the episodes that the step ended: a dict of arrays with the keys of the
      single environment's info, `reward_vector` of shape (N, 2) and the others (N,).
    * `info["sketch_index"]`, and with preferences `info["tradeoff"]`, is about the sketches now shown.
    * Each key has a mask `_key`, here always all True. The masks are one read-only array.

    `final_obs`, which `SyncVectorEnv` adds, is left out: the last observation of a one-step episode is its
    first, which the caller has just acted on, and N dicts of copies would cost more than all the rest.

    With `copy=False` the observations lie in two sets of buffers that take turns. An observation stays as it
    is during the next `step`, so that what was acted on and what came of it can be used together, and is
    overwritten by the `step` or `reset` after that. Rewards, terminations and infos are fresh arrays always.

    Args:
        num_envs: number of sub-environments, N.
        copy: whether observations are fresh arrays in every call.
        dataset: as all that follow, see `SketchCanvasEnv`.
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
        preferences: see there.
        task: see there.

    Live mode is not vectorised here; `SyncVectorEnv` over single environments does it.

    **Wrappers.** Gymnasium's vector observation wrappers (`gym.wrappers.vector.FlattenObservation` and the like) refuse
    every environment that resets in SAME_STEP mode, and `gym.make_vec(..., wrappers=[...])` is for its sync and async
    modes. Change the arrays in a line of your own, or wrap single environments, which is slower; the last example does
    both. What leaves observations alone works: `RecordEpisodeStatistics`, `NormalizeReward`.

    Example:
        >>> import gymnasium as gym
        >>> import numpy as np
        >>> import sketchcanvas_env
        >>> envs = gym.make_vec("SketchCanvas-v0", num_envs=3, canvases=(32, 256))
        >>> observations, infos = envs.reset(seed=0)
        >>> observations["points"].shape, observations["stats"].shape[0]
        ((3, 1000), 3)
        >>> flat = np.concatenate([observations["points"], observations["stats"]], axis=1)
        >>> observations, rewards, terminations, truncations, infos = envs.step(np.array([0, 1, 0]))
        >>> infos["final_info"]["canvas"]
        array([ 32, 256,  32])
        >>> bool(terminations.all()), bool(truncations.any()), rewards.dtype
        (True, False, dtype('float64'))

        The same flat observations by a wrapper, around single environments:

        >>> slower = gym.make_vec(
        ...     "SketchCanvas-v0", num_envs=3, vectorization_mode="sync", wrappers=[gym.wrappers.FlattenObservation],
        ...     vector_kwargs={"autoreset_mode": "SameStep"}, canvases=(32, 256),
        ... )
        >>> bool(np.array_equal(slower.reset(seed=0)[0], flat))
        True
    """

    arguments = CanvasArguments
