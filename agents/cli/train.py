"""`train`: one selector."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agents.cli.common import env_config, show, tell
from agents.cli.options import (
    DEFAULT_CANVASES,
    AsJson,
    Canvases,
    Cost,
    Dataset,
    MaxPoints,
    Root,
    SelectorName,
    StudentName,
    TablePath,
    Threads,
    Tradeoff,
)


def train(
    algorithm: Annotated[
        str, typer.Argument(help="Name of the algorithm; an unknown one lists them all.")
    ] = "reinforce",
    dataset: Dataset = "emoji",
    root: Root = None,
    student: StudentName = None,
    table: TablePath = None,
    canvases: Canvases = DEFAULT_CANVASES,
    tradeoff: Tradeoff = 0.2,
    cost: Cost = "flops",
    max_points: MaxPoints = 64,
    seed: Annotated[int, typer.Option(help="Seed of weights, sketches and actions.")] = 0,
    steps: Annotated[int, typer.Option(help="Environment steps, exactly.")] = 40_960,
    selector: SelectorName = "stats",
    threads: Threads = 1,
    out: Annotated[Path, typer.Option(help="Where to save the selector (.safetensors and .json).")] = Path(
        "runs/selector"
    ),
    logdir: Annotated[Path | None, typer.Option(help="TensorBoard folder; default: none.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint that a stopped run left beside OUT.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train one selector, save it, and evaluate it on the split val.

    Nothing is written over.

    Example: sketchcanvas train reinforce --tradeoff 0.3 --logdir runs/tb --out runs/mine
    """
    from agents.algorithms import registry
    from agents.evaluation.evaluate import evaluate as judge
    from agents.experiments.progress import bars
    from agents.reports import tables as report
    from agents.selectors import policy
    from agents.store import saved

    env = env_config(dataset, root, student, table, canvases, tradeoff, cost, max_points)
    network = registry.network_of(algorithm, selector)
    config = registry.make_config(algorithm, env=env, seed=seed, total_steps=steps, threads=threads, **network)
    env.task("train")  # unknown names and bad values end here, before any work
    place = out.with_name(out.name + ".checkpoint.safetensors")
    if not resume:
        _check_free(saved.stem(out).with_suffix(".safetensors"), place)
    keeps = resume or registry.ALGORITHMS[algorithm].resumable
    with bars() as start:
        run = registry.train_run(
            config,
            on_progress=start(f"{algorithm}, seed {seed}", steps),
            logdir=logdir,
            checkpoint=place if keeps else None,
            resume=resume,
        )
    path = saved.save(out, run, env.outcomes("train"))
    place.unlink(missing_ok=True)  # a finished run has nothing to go on with
    task = env.task("val")
    result = judge(
        env.outcomes("val"),
        policy.actions_of(run.selector, task),
        selector_flops=policy.flops_of(run.selector, task),
        **env.reward_weights(),
    )
    title = f"{dataset}, split val, after {run.steps:,} steps in {run.seconds:.0f} s"
    rows = [report.policy_cells(algorithm, result)]
    show(
        as_json,
        {"saved": str(path), "val": result.to_json()},
        report.rich_table(title, report.POLICY_COLUMNS, rows),
    )
    tell(f"wrote {path}")


def _check_free(weights: Path, checkpoint: Path) -> None:
    """Raise ValueError where an earlier run left a selector or a checkpoint: hours of work may be in them."""
    if weights.exists() or weights.with_suffix(".json").exists():
        raise ValueError(f"there is a selector at {weights} already: choose another --out, or delete it first")
    if checkpoint.exists():
        raise ValueError(
            f"{checkpoint} is of a run that was stopped: go on with --resume, choose another --out, or delete it"
        )
