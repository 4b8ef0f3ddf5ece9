"""Accuracy and cost kept apart: the environment with a vector reward, for MO-Gymnasium."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sketchcanvas_env.envs.base import Observation
from sketchcanvas_env.envs.canvas import SketchCanvasEnv
from sketchcanvas_env.outcomes.hull import upper_hull

FloatArray = npt.NDArray[np.float64]

REFERENCE_POINT = (-0.25, -1.25)
"""Where hypervolumes are measured from, in (R_acc, R_comp): `MOSketchCanvasEnv` says why there."""


class MOSketchCanvasEnv(SketchCanvasEnv):
    """`SketchCanvasEnv` with the vector reward (R_acc, R_comp) instead of their weighted sum.

    ## Description

    The task, the episodes, the observations, the arguments and what `reset` returns are those of `SketchCanvasEnv`,
    which describes them. `mo_gymnasium.make("mo-SketchCanvas-v0")` makes it; MO-Gymnasium (extra `mo`) has the wrappers
    that multi-objective algorithms use, the environment itself needs Gymnasium only.

    ## Rewards

    `step` returns a float64 array (R_acc, R_comp), both to be maximised: a fresh copy of `info["reward_vector"]`. A
    tradeoff t between the two is a weight (1 - t, t): the reward of `SketchCanvas-v0` with `tradeoff=t` is the dot
    product. The arguments `tradeoff` and `preferences` say only what `oracle_action` and `regret` in `info`,
    `reward_range` and `render` go by.

    * `reward_space`, `reward_dim`: bounds that hold for any student, and 2.
    * `pareto_front()`: what is possible in the mean over the split, exactly.
    * `reference_point`: where hypervolumes are measured from.

    `OutcomeTable.pareto_front` is another front: acc@1 against FLOPs or milliseconds, for reports. This one is of the
    rewards that an agent is paid.

    ## Vectorized environment

    `mo_gymnasium.wrappers.vector.MOSyncVectorEnv` steps several. Much quicker, and without the steps that it spends on
    resets: `gym.make_vec("SketchCanvas-v0", num_envs=N)` gives the same vectors in
    `info["final_info"]["reward_vector"]`.

    ## Examples

    >>> import gymnasium as gym
    >>> import numpy as np
    >>> import sketchcanvas_env
    >>> env = gym.make("mo-SketchCanvas-v0", split="val")
    >>> _ = env.reset(seed=0)
    >>> _, reward, terminated, _, info = env.step(1)
    >>> reward.shape, reward.tolist() == info["reward_vector"].tolist(), terminated
    ((2,), True, True)
    >>> front = np.array(env.unwrapped.pareto_front())
    >>> bool((np.diff(front[:, 0]) > 0).all() and (np.diff(front[:, 1]) < 0).all())
    True

    ## Version History

    * v0: first version.
    """

    reward_dim = 2

    def step(  # type: ignore[override]  # Gymnasium's rewards are numbers, MO-Gymnasium's are vectors
        self, action: np.int64
    ) -> tuple[Observation, FloatArray, bool, bool, dict[str, Any]]:
        """Choose a canvas, which ends the episode; see `SketchCanvasEnv.step`.

        Returns:
            As there, with (R_acc, R_comp) as the reward.
        """
        observation, _, terminated, truncated, info = super().step(action)
        # A copy: wrappers of MO-Gymnasium write into the reward.
        return observation, info["reward_vector"].copy(), terminated, truncated, info

    @property
    def reward_space(self) -> spaces.Box:
        """Bounds of the rewards that hold for any student, as MO-Gymnasium calls them."""
        return self.reward_vector_space

    @property
    def reference_point(self) -> FloatArray:
        """(2,) a point that no policy falls below, for hypervolumes: `REFERENCE_POINT` wherever that is one.

        It is fixed so that hypervolumes of students, splits and sets of canvases can be compared. R_acc is never below
        -2.3 triplet_weight, which is -0.23 by default, and R_comp, -q_max / (q_max - q_min) at worst, not below -1.25
        as long as the dearest canvas costs at least five times the cheapest. Where arguments allow lower rewards, the
        point is lowered to the bounds of `reward_space`.
        """
        return np.minimum(REFERENCE_POINT, self.reward_space.low)

    def pareto_front(self, gamma: float = 1.0) -> list[FloatArray]:
        """The front of the mean reward vector over the split, of all policies that may know every outcome.

        Any policy, whatever it looks at, lies on this concave front or below. Its vertices are policies that pick one
        canvas for each sketch; between two neighbours lie mixtures of them.

        Args:
            gamma: says nothing, because episodes are of one step; MO-Gymnasium's fronts have this argument.

        Returns:
            M vertices (mean R_acc, mean R_comp), from the cheapest to the most accurate.

        Raises:
            ValueError: live mode, in which only the outcome of the canvas chosen is known.
        """
        return list(mean_front(self.task.known.acc, self.task.comp))


def mean_front(acc: FloatArray, comp: FloatArray) -> FloatArray:
    """The upper right front of the means of (R_acc, R_comp) that choosing for each sketch reaches.

    Means over policies are sums over sketches of points of the sketch's own hull, divided by n: a Minkowski sum. Its
    front starts where every sketch has its cheapest canvas and takes up the edges of all hulls in falling order of what
    they give for their price, so it is exact.

    Args:
        acc: (n, K) R_acc of each sketch at each canvas.
        comp: (K,) R_comp of each canvas.

    Returns:
        (M, 2) vertices (R_acc, R_comp), the first column rising, the second falling, slopes falling.

    Example:
        >>> mean_front(np.array([[0.0, 1.0], [0.5, 0.5]]), np.array([-1.0, -2.0])).tolist()
        [[0.25, -1.0], [0.75, -1.5]]
    """
    hulls = [upper_hull(np.column_stack([-comp, row])) for row in acc]
    start = np.mean([hull[0] for hull in hulls], axis=0)
    edges = np.concatenate([np.diff(hull, axis=0) for hull in hulls])
    # Edges of one slope are one edge of the front.
    slopes, which = np.unique(-edges[:, 1] / edges[:, 0], return_inverse=True)
    steps = np.zeros((len(slopes), 2))
    np.add.at(steps, which, edges)
    front = np.vstack([start, start + np.cumsum(steps, axis=0) / len(acc)])
    return np.column_stack([front[:, 1], -front[:, 0]])
