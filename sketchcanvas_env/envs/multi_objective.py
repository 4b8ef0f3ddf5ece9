"""`mo-SketchCanvas-v0`: the reward as a vector of accuracy and cost, for MO-Gymnasium."""

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
"""Reference point of hypervolumes, in (R_acc, R_comp); see `MOSketchCanvasEnv.reference_point`."""


class MOSketchCanvasEnv(SketchCanvasEnv):
    """`SketchCanvasEnv` with the vector reward (R_acc, R_comp) instead of the weighted sum.

    ## Description

    Task, episodes, observations and arguments are those of `SketchCanvasEnv`. `mo_gymnasium.make("mo-SketchCanvas-v0")`
    makes it. MO-Gymnasium (extra `mo`) has the wrappers that multi-objective algorithms use; the environment itself
    needs Gymnasium only.

    ## Rewards

    `step` returns a float64 array (R_acc, R_comp), both to be maximised, a copy of `info["reward_vector"]`. Its dot
    product with (1 - t, t) is the reward of `SketchCanvas-v0` with `tradeoff=t`. The arguments `tradeoff` and
    `preferences` affect only `oracle_action` and `regret` in `info`, `reward_range` and `render`.

    * `reward_space`, `reward_dim`: bounds for any student, and 2.
    * `pareto_front()`: exact front of the mean reward over the split.
    * `reference_point`: reference point of hypervolumes.

    `OutcomeTable.pareto_front` is a different front: acc@1 against FLOPs or milliseconds.

    ## Vectorized environment

    `mo_gymnasium.wrappers.vector.MOSyncVectorEnv` steps several. `gym.make_vec("SketchCanvas-v0", num_envs=N)` is much
    faster and has the same vectors in `info["final_info"]["reward_vector"]`.

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
        # Wrappers of MO-Gymnasium write into the reward, so return a copy.
        return observation, info["reward_vector"].copy(), terminated, truncated, info

    @property
    def reward_space(self) -> spaces.Box:
        """Bounds of the rewards for any student."""
        return self.reward_vector_space

    @property
    def reference_point(self) -> FloatArray:
        """Reference point of hypervolumes, (2,): `REFERENCE_POINT`, or lower where rewards may be lower.

        It is fixed so that hypervolumes can be compared between students, splits and sets of canvases. R_acc is at
        least -2.3 triplet_weight, -0.23 by default. R_comp is at least -q_max / (q_max - q_min), which is above -1.25
        if the most expensive canvas costs at least five times the cheapest. Where arguments allow lower rewards, the
        point is lowered to the bounds of `reward_space`.
        """
        return np.minimum(REFERENCE_POINT, self.reward_space.low)

    def pareto_front(self, gamma: float = 1.0) -> list[FloatArray]:
        """Exact concave front of the mean reward vector over the split; no policy is above it.

        The vertices are policies that choose one canvas for each sketch; mixtures of neighbours lie between them.

        Args:
            gamma: ignored, because episodes have one step; MO-Gymnasium's fronts have this argument.

        Returns:
            M vertices (mean R_acc, mean R_comp), from the cheapest to the most accurate.

        Raises:
            ValueError: live mode, in which only the outcome of the canvas chosen is known.
        """
        return list(mean_front(self.task.known.acc, self.task.comp))


def mean_front(acc: FloatArray, comp: FloatArray) -> FloatArray:
    """Upper right front of the mean (R_acc, R_comp) over all per-sketch choices.

    The mean of a policy is a sum over sketches of points of the sketch's own hull, divided by n: a Minkowski sum. Its
    front starts where every sketch has its cheapest canvas and adds the edges of all hulls in falling order of slope,
    so it is exact.

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
    # Edges of equal slope form one edge of the front.
    slopes, which = np.unique(-edges[:, 1] / edges[:, 0], return_inverse=True)
    steps = np.zeros((len(slopes), 2))
    np.add.at(steps, which, edges)
    front = np.vstack([start, start + np.cumsum(steps, axis=0) / len(acc)])
    return np.column_stack([front[:, 1], -front[:, 0]])
