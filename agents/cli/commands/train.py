"""`train` and `distill`: train one selector, train one student."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.locks import alone
from agents.cli.output import show, tell
from agents.cli.shared_options import (
    AsJson,
    Root,
    SelectorName,
    Threads,
    Tradeoff,
    environment,
    takes,
    typed_command,
)

if TYPE_CHECKING:
    from agents.evaluation.setting import EnvConfig


@takes(env=environment)
def train(
    algorithm: Annotated[str, typer.Argument(help="Algorithm; an unknown name lists all.")] = "reinforce",
    *,
    env: EnvConfig,
    tradeoff: Tradeoff = 0.2,
    seed: Annotated[int, typer.Option(help="Seed of weights, sketches and actions.")] = 0,
    steps: Annotated[int, typer.Option(help="Environment steps.")] = 102_400,
    selector: SelectorName = None,
    threads: Threads = 1,
    out: Annotated[Path, typer.Option(help="File to save the selector to (.safetensors).")] = Path("runs/selector"),
    logdir: Annotated[Path | None, typer.Option(help="TensorBoard folder; default: none.")] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Continue from the checkpoint of a stopped run beside OUT; report on a finished one."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train one selector, save it, and evaluate it on the split val.

    An existing selector or checkpoint is never overwritten.

    Example: sketchcanvas train reinforce --tradeoff 0.3 --logdir runs/tb --out runs/mine
    """
    from dataclasses import replace

    from agents.algorithms import registry
    from agents.cli.progress import bars
    from agents.evaluation.evaluate import evaluate_options
    from agents.reports import tables as report
    from agents.store import saved

    env = replace(env, tradeoff=tradeoff)
    network = {} if selector is None else registry.network_of(algorithm, selector, env=env)
    config = registry.make_config(algorithm, env=env, seed=seed, total_steps=steps, threads=threads, **network)
    env = config.env  # a network that reads thumbnails has them shown
    env.options("train")  # unknown names and bad values end here, before any work
    place = out.with_name(out.name + ".checkpoint.safetensors")
    path = saved.weights_path(out)
    with alone(out.with_name(out.name + ".lock"), out):
        if not resume:
            _check_free(path, place)
        if not (resume and path.exists()):  # else it was killed between saving and reporting
            keeps = resume or registry.find(algorithm, env).resumable
            with bars() as start:
                run = registry.train_run(
                    config,
                    on_progress=start(f"{algorithm}, seed {seed}", steps),
                    logdir=logdir,
                    checkpoint=place if keeps else None,
                    resume=resume,
                )
            path = saved.save(out, run, env.outcomes("train"))
        place.unlink(missing_ok=True)  # a finished run needs no checkpoint
    found = saved.load(path)
    if (found.card["algorithm"], found.env) != (algorithm, env):
        raise ValueError(f"{path} was trained in another setting: repeat its options, or choose another --out")
    choice, thinking = env.decide(found.selector, "val")
    result = evaluate_options(env.options("val"), choice, selector_flops=thinking)
    ran = found.card["run"]
    title = f"{env.dataset}, split val, after {ran['steps']:,} steps in {ran['seconds']:.0f} s"
    shown = report.Table(title, report.POLICY_COLUMNS, (report.policy_cells(algorithm, result),))
    show(as_json, {"saved": str(path), "val": result.to_json()}, shown)
    tell(f"wrote {path}")


def _check_free(weights: Path, checkpoint: Path) -> None:
    """Raise ValueError if an earlier run left a selector or a checkpoint."""
    if weights.exists():
        raise ValueError(
            f"there is a selector at {weights} already: report on it with --resume, choose another --out, or delete it"
        )
    if checkpoint.exists():
        raise ValueError(
            f"{checkpoint} is of a run that was stopped: go on with --resume, choose another --out, or delete it"
        )


def distill(
    config: Annotated[
        str,
        typer.Argument(help="Configuration of the run: a shipped name (an unknown one lists all) or a JSON file."),
    ],
    dataset: Annotated[str | None, typer.Option(help="Data set, instead of the configuration's.")] = None,
    root: Root = None,
    teacher: Annotated[
        str | None, typer.Option(help="A shipped student or a path, instead of the configuration's.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, log and TensorBoard events.")] = Path(
        "runs/distill"
    ),
    save: Annotated[
        Path | None, typer.Option(help="File for the weights; default: student.safetensors in OUT.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps, instead of the configuration's.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, instead of the configuration's.", min=0)] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Torch threads, instead of the configuration's. Two runs of one thread are faster than one of two.",
            min=1,
        ),
    ] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="Train directly, without the configuration's teacher.")
    ] = False,
) -> None:
    """Train a student, by a teacher or directly.

    Directly if the configuration names no teacher; teachers are made so. Continues from the checkpoint in OUT if there
    is one.

    Example: sketchcanvas distill folder-mobilenet_v2 --root mine --out runs/mine

    The next example needs more pictures; 'python -m students.training.pool.renderings --help' says how to get them.

    Example: sketchcanvas distill emoji-mobilenet_v2 --out runs/emoji --seed 1
    """
    import shlex
    from dataclasses import replace

    from students.training import train as training
    from students.training.config import TrainConfig

    asked: dict[str, Any] = {
        "dataset": dataset,
        "root": None if root is None else str(root),
        "teacher": teacher,
        "steps": steps,
        "seed": seed,
        "threads": threads,
    }
    settings = replace(TrainConfig.read(config), **{name: value for name, value in asked.items() if value is not None})
    if direct:
        settings = replace(settings, teacher=None)
    with alone(out / ".lock", out):
        path = training.run(settings, out, save, typed_command())
    words = ["sketchcanvas", "evaluate", "--student", str(path), "--dataset", settings.dataset]
    if settings.root is not None:
        words += ["--root", settings.root]
    tell(f"wrote {path}; evaluate it with\n{shlex.join(words)}")
