"""How much of a drawing must be there before its photo is found? Baselines that wait for a fixed share and look once.

python examples/unfinished_drawings.py

Nothing is sampled: every figure is an exact mean over the sketches of the split val, looked up in the table.
"""

import numpy as np

from sketchcanvas_env.tasks.stroke import StrokeArguments

task = StrokeArguments(split="val", stroke_cost=0.5, tradeoff=0.2).make()
canvases = task.task.canvases
print("waits for  sees   acc@1 at", *(f"{side:>5}" for side in canvases), "  best return")
for wanted in np.arange(1, 9) / 8:
    # The first step of each drawing at which that share of its strokes is there; the table has a row for each step.
    rows = [f + int(np.argmax(task.share[f : f + n] >= wanted)) for f, n in zip(task.first, task.steps, strict=True)]
    looks = np.array(rows)[:, None] * len(canvases) + np.arange(len(canvases))
    found = (task.ranks[looks] == 1).mean(axis=0)
    returns = task.returns[rows].mean(axis=0)
    print(
        f"{wanted:9.0%} {task.share[rows].mean():5.0%}           ",
        *(f"{100 * share:5.1f}" for share in found),
        f"  {returns.max():.3f} at {canvases[int(returns.argmax())]}",
    )
print(f"knowing everything, for each drawing the best time and canvas: return {task.oracle_returns.mean():.3f}")
