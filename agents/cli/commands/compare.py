"""`compare`, `sweep` and `pick`: many runs of many algorithms, and a choice among their results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.output import goes_on, show, tell
from agents.cli.shared_options import (
    AsJson,
    SelectorName,
    Split,
    Steps,
    Threads,
    Tradeoff,
    environment,
    numbers_of,
    takes,
    workers,
)

if TYPE_CHECKING:
    from agents.evaluation.setting import EnvConfig
    from agents.experiments.workers import Workers


@takes(env=environment, where=workers)
def compare(
    *,
    preset: Annotated[
        str | None,
        typer.Option(
            help="quick: four agents, 5 seeds; the default. full: every algorithm, 10 seeds, twice the steps. "
            "cascade: agents that may look again, 10 seeds; the default of --cascade."
        ),
    ] = None,
    env: EnvConfig,
    tradeoff: Tradeoff = 0.2,
    algorithms: Annotated[
        str | None,
        typer.Option(
            help="Instead of the preset's, comma-separated (an unknown one lists all); 'ppo/gru' names the network too."
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each algorithm, instead of the preset's.")] = None,
    steps: Annotated[int | None, typer.Option(help="Environment steps of every run, instead of the preset's.")] = None,
    selector: SelectorName = None,
    threads: Threads = 1,
    split: Split = "val",
    where: Workers,
    out: Annotated[Path, typer.Option(help="Folder for the result, tables, plots and runs.")] = Path("runs/compare"),
    logdir: Annotated[Path | None, typer.Option(help="TensorBoard folder, one folder a run; default: none.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train algorithms over seeds, compare them with every baseline.

    Trains on the split train and evaluates every sketch of val (for final figures --split test). Prints a table and
    writes it to OUT as JSON, Markdown and plots. OUT keeps finished runs: the same command continues a stopped one,
    another --split trains nothing again, and 'sketchcanvas report' makes a page.

    Example: sketchcanvas compare --seeds 5 --tradeoff 0.3 --jobs 2

    Example: sketchcanvas compare --cascade --out runs/cascade --split test
    """
    from dataclasses import replace

    from agents.cli.progress import bars
    from agents.experiments.compare import compare as run
    from agents.experiments.settings import preset as ready
    from agents.reports.comparison import finding, summary
    from agents.reports.saving import report_of, save

    asked = {
        "total_steps": steps,
        "selector": selector,
        "algorithms": None if algorithms is None else tuple(algorithms.split(",")),
        "seeds": seeds,
    }
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    chosen = preset or ("cascade" if env.looks_again else "quick")
    config = replace(ready(chosen, replace(env, tradeoff=tradeoff)), split=split, threads=threads, **changes)
    with goes_on(), bars() as start:
        result = run(config, out, where, start, logdir)
    files = save(result, out)
    show(as_json, result.to_json(), *report_of(result).tables)
    if chosen == "quick" and algorithms is None:
        tell("quick: four agents; --preset full has all, with more seeds and steps")
    tell(finding(result))
    tell(f"{result.seconds:.0f} s; wrote {', '.join(map(str, files))} and the runs beside them")
    tell("\n".join(summary(result)))


@takes(env=environment, where=workers)
def sweep(
    *,
    env: EnvConfig,
    tradeoffs: Annotated[
        str, typer.Option(help="Tradeoffs, 0 to 1, rising, comma-separated.")
    ] = "0.02,0.1,0.2,0.4,0.7,1",
    algorithms: Annotated[
        str | None,
        typer.Option(
            help="Algorithms, comma-separated; an unknown one lists all. Default: reinforce,cost_sensitive; with "
            "--cascade reinforce and one that looks once."
        ),
    ] = None,
    preference: Annotated[
        str | None,
        typer.Option(
            help="Algorithms that also train one selector for all tradeoffs, comma-separated; '' for none. Default: "
            "cost_sensitive; with --cascade none."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each algorithm at each tradeoff.")] = 3,
    steps: Steps = 102_400,
    selector: SelectorName = None,
    threads: Threads = 1,
    split: Split = "val",
    where: Workers,
    out: Annotated[Path, typer.Option(help="Folder for the result, tables, plot and runs.")] = Path("runs/sweep"),
    as_json: AsJson = False,
) -> None:
    """Train selectors at several tradeoffs, and one for all of them.

    They form a front of accuracy against FLOPs, on val or for final figures on test (--split test). OUT keeps finished
    runs: the same command continues a stopped one. 'sketchcanvas pick' chooses from the result.

    Example: sketchcanvas sweep --tradeoffs 0.05,0.1,0.2 --seeds 5 --jobs 2
    """
    from agents.cli.progress import bars
    from agents.experiments.settings import CompareConfig
    from agents.experiments.sweep import SweepConfig
    from agents.experiments.sweep import sweep as run
    from agents.reports.saving import report_of, save

    cascade = env.looks_again
    if algorithms is None:
        algorithms = "one_shot:cost_sensitive/stats,reinforce" if cascade else "reinforce,cost_sensitive"
    if preference is None:
        preference = "" if cascade else "cost_sensitive"
    config = SweepConfig(
        compare=CompareConfig(
            env=env,
            algorithms=tuple(algorithms.split(",")),
            seeds=seeds,
            total_steps=steps,
            selector=selector or ("looks" if cascade else "thumb"),
            split=split,
            threads=threads,
        ),
        tradeoffs=numbers_of(tradeoffs, "--tradeoffs"),
        preference=tuple(one for one in preference.split(",") if one),
    )
    with goes_on(), bars() as start:
        result = run(config, out, where, start)
    files = save(result, out)
    show(as_json, result.to_json(), *report_of(result).tables)
    tell(f"{result.seconds:.0f} s; wrote {', '.join(map(str, files))} and the runs beside them")


def pick(
    folder: Annotated[Path, typer.Argument(help="Folder that 'sketchcanvas sweep' wrote.")] = Path("runs/sweep"),
    max_gflops: Annotated[
        float | None,
        typer.Option(help="Largest mean GFLOPs of a query, selector included; give this, --min-acc or both.", min=0.0),
    ] = None,
    min_acc: Annotated[float | None, typer.Option(help="Smallest acc@1, percent.", min=0.0, max=100.0)] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to save the chosen selector to (.safetensors); default: none.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Choose an operating point of a sweep by its cost or accuracy.

    The most accurate within --max-gflops, or the cheapest that reaches --min-acc; chosen on val among fixed canvases,
    selectors and cascades.

    Example: sketchcanvas pick runs/sweep --max-gflops 0.2 --out runs/picked
    """
    from agents.experiments.pick import pick as choose
    from agents.reports.sweeps import pick_table

    if max_gflops is None and min_acc is None:
        raise ValueError("say what to look for: give --max-gflops, --min-acc or both")
    found = choose(folder, max_gflops, None if min_acc is None else min_acc / 100)
    show(as_json, found.to_json(), pick_table(found))
    if out is not None and found.candidate.run is not None:
        tell(f"wrote {found.save_selector(out)}")
