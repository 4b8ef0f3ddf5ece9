"""Hold a policy of your own against the baselines: here, a threshold on the number of strokes, tuned on train.

python examples/own_policy.py
"""

import numpy as np

from agents import EnvConfig
from agents.evaluation.baselines import by_name
from agents.evaluation.evaluate import evaluate
from sketchcanvas_env import FEATURE_NAMES

env = EnvConfig(tradeoff=0.2)
strokes = FEATURE_NAMES.index("strokes")


def policy(stats: np.ndarray, threshold: float) -> np.ndarray:
    """Few strokes: 64 px (column 1); many: 128 px (column 2)."""
    return np.where(stats[:, strokes] < threshold, 1, 2)


train, rewards = env.task("train"), env.outcomes("train").rewards(**env.reward_weights())
thresholds = np.quantile(train.stats[:, strokes], np.linspace(0, 1, 21))
earned = [rewards[np.arange(len(rewards)), policy(train.stats, t)].mean() for t in thresholds]
best = thresholds[int(np.argmax(earned))]

table, val = env.outcomes("val"), env.task("val")
for name in ("fixed:64", "fixed:128", "random", "oracle"):
    result = evaluate(table, by_name(name, table, **env.reward_weights()), **env.reward_weights(), resamples=1000)
    print(f"{name:>10}: acc@1 {result.acc1:.3f} at {result.gflops:.3f} GFLOPs")
result = evaluate(table, policy(val.stats, best), **env.reward_weights(), resamples=1000)
low, high = result.hull_gain_interval
print(f"{'mine':>10}: acc@1 {result.acc1:.3f} at {result.gflops:.3f} GFLOPs")
print(f"{'':>10}  {result.hull_gain:+.3f} [{low:+.3f}, {high:+.3f}] above mixing fixed canvases")
