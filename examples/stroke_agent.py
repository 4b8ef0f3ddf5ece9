"""Learn when to look at a drawing that appears stroke by stroke: MaskablePPO beside waiting for a fixed share of it.

python examples/stroke_agent.py --steps 200000

Its default is too short to learn anything. Every figure is an exact mean over all drawings of the split val.
"""

import argparse

import gymnasium as gym
import numpy as np
from sb3_contrib import MaskablePPO

from agents.algorithms.sb3.adapter import SketchCanvasVecEnv
from agents.evaluation.bootstrap import paired_difference
from sketchcanvas_env.tasks.episodes import only
from sketchcanvas_env.tasks.stroke import StrokeArguments

READS = ("stats", "looks")  # what the agent sees; "points" would want a network that reads sequences
SETTINGS = {"stroke_cost": 0.5, "tradeoff": 0.2}


def waiting(task, wanted, column):
    """What comes of looking once, at the first step at which the share `wanted` of a drawing is there."""
    pairs = zip(task.first, task.steps, strict=True)
    rows = np.array([first + np.argmax(task.share[first : first + steps] >= wanted) for first, steps in pairs])
    flops = np.full(len(rows), task.task.flops[column])
    rank = task.ranks[rows * len(task.task.canvases) + column]
    return {"return": task.returns[rows, column], "share": task.share[rows], "rank": rank, "flops": flops}


def greedy(task, model):
    """What comes of the action that a model takes for the best, in every drawing of the split."""
    drawing, final = task.start(np.arange(len(task))), {}
    while len(drawing.rows):
        seen = task.observe(drawing)
        seen = {name: seen[name] for name in READS}
        actions, _ = model.predict(seen, deterministic=True, action_masks=task.action_mask(drawing))
        found = task.advance(drawing, actions)
        ended = only(found.state, found.ended)
        for name, values in task.final(ended).items():
            final.setdefault(name, np.zeros(len(task)))[ended.rows] = values if values.ndim == 1 else 0
        drawing = only(found.state, ~found.ended)
    return final


def line(name, told):
    """A row of the table."""
    acc1, gflops = 100 * np.mean(told["rank"] == 1), told["flops"].mean() / 1e9
    print(f"{name:>22} {told['return'].mean():6.3f} {told['share'].mean():5.0%} {acc1:5.1f} {gflops:7.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=4_096)
parser.add_argument("--seed", type=int, default=0)
asked = parser.parse_args()

train, val = (StrokeArguments(split=split, **SETTINGS).make() for split in ("train", "val"))
fixed = [(share, column) for share in np.arange(1, 9) / 8 for column in range(len(train.task.canvases))]
chosen = max(fixed, key=lambda rule: waiting(train, *rule)["return"].mean())
lucky = max(fixed, key=lambda rule: waiting(val, *rule)["return"].mean())

envs = gym.make_vec("sketchcanvas_env:SketchCanvasStroke-v0", 64, split="train", **SETTINGS)
model = MaskablePPO(
    "MultiInputPolicy",
    SketchCanvasVecEnv(envs, READS),
    n_steps=32,
    batch_size=256,
    gamma=1.0,  # with less, what is paid later counts less, whatever the environment says
    gae_lambda=1.0,  # episodes are short: whole returns rather than a critic that knows little yet
    ent_coef=0.01,
    seed=asked.seed,
    device="cpu",
)
model.learn(asked.steps)

print(f"{'on val':>22} return  sees acc@1  GFLOPs")
for name, (share, column) in (("fixed, chosen on train", chosen), ("fixed, best on val", lucky)):
    line(name, waiting(val, share, column))
    print(f"{'':>22} waits for {share:.0%}, looks once at {val.task.canvases[column]} px")
learned = greedy(val, model)
line(f"MaskablePPO, seed {asked.seed}", learned)
won = paired_difference(learned["return"], waiting(val, *chosen)["return"], val.task.photo_ids)
print(f"{'':>22} return {won.value:+.3f} [{won.interval.low:+.3f}, {won.interval.high:+.3f}] above the first", end="")
print(f", {learned['looks'].mean():.2f} looks a drawing, after {model.num_timesteps:,} steps")
print(f"knowing everything: return {val.oracle_returns.mean():.3f}")
