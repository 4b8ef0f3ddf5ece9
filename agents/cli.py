"""The command line, `sketchcanvas`: each command does one step and can be called from Python as well.

Tables go to standard output (as JSON with `--json`), progress and errors to standard error. A user's mistake ends
with one line and exit code 2.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from agents.environment import EnvConfig
    from agents.runs import Workers
    from sketchcanvas_env.data import SketchDataset

app = typer.Typer(
    help="Learn which canvas a sketch needs: accuracy of sketch retrieval against FLOPs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(
    help="Look at a data set (counts, licences, pictures), check a folder of your own, make one of another data set.",
    no_args_is_help=True,
)
app.add_typer(data_app, name="data")
report_app = typer.Typer()
app.add_typer(report_app, name="report")

Dataset = Annotated[
    str, typer.Option(help="Name of the data set; of one in a folder of yours, 'folder:DIR', or 'folder' with --root.")
]
StudentName = Annotated[
    str | None, typer.Option("--student", help="Whose outcomes; default: the data set's default student.")
]
TablePath = Annotated[
    Path | None, typer.Option("--table", help="An outcome table of your own instead of a shipped one.")
]
Canvases = Annotated[str, typer.Option(help="Canvas sides on offer, pixels, rising.")]
Tradeoff = Annotated[float, typer.Option(help="Weight of compute against accuracy in the reward, 0 to 1.")]
Cost = Annotated[
    str, typer.Option(help="What the reward charges: flops, or latency (measured milliseconds, stored in the table).")
]
MaxPoints = Annotated[int, typer.Option(help="Points a sketch is bounded to before the selector sees it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
SelectorName = Annotated[str, typer.Option("--selector", help="Network: gru, conv, transformer, stats or linear.")]
Root = Annotated[Path | None, typer.Option(help="Folder of a data set that does not come with the package.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse a data set with files that cannot be used, instead of naming them.")
]
Steps = Annotated[int, typer.Option(help="Environment steps of every run, exactly.")]
Jobs = Annotated[int, typer.Option(help="Runs at once, each in a process of its own.")]
Engine = Annotated[str, typer.Option(help="Where runs go: local, or ray (extra 'ray').")]
Address = Annotated[str | None, typer.Option(help="Of a Ray cluster, such as auto; default: one on this machine.")]
Threads = Annotated[int, typer.Option(help="Torch threads, pinned; another number may give other weights.")]

DEFAULT_CANVASES = "32,64,128,256"


def _env(
    dataset: str,
    root: Path | None,
    student: str | None,
    table: Path | None,
    canvases: str,
    tradeoff: float,
    cost: str,
    max_points: int,
) -> EnvConfig:
    from agents.environment import EnvConfig

    return EnvConfig(
        dataset=dataset if root is None else f"{dataset}:{root}",
        student=student,
        table=str(table) if table is not None else None,
        canvases=_sides(canvases),
        tradeoff=tradeoff,
        cost=cost,
        max_points=max_points,
    )


def _workers(jobs: int, engine: str, address: str | None) -> Workers:
    from agents.runs import Workers

    return Workers(jobs=jobs, engine=engine, address=address)


def _sides(canvases: str) -> tuple[int, ...]:
    try:
        return tuple(int(side) for side in canvases.split(","))
    except ValueError:
        raise ValueError(
            f"canvases are sides in pixels separated by commas, such as 32,64,128; got {canvases!r}"
        ) from None


def _load_data(name: str, root: Path | None, strict: bool = False) -> SketchDataset:
    """The data set; what had to be left out of it is told on standard error."""
    import warnings

    from sketchcanvas_env.data import SkippedDataWarning, load

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SkippedDataWarning)
        loaded = load(name, root, strict)
    for warning in caught:
        _tell(f"sketchcanvas: {warning.message}")
    return loaded


def _command() -> str:
    """The command as typed, for provenance; where a user keeps a data set is nobody else's business."""
    import shlex

    from sketchcanvas_env.data import FOLDER_DATASETS

    words = list(sys.argv[1:])
    for index, word in enumerate(words):
        if word.startswith("--root="):
            words[index] = "--root=ROOT"
        elif index and words[index - 1] == "--root":
            words[index] = "ROOT"
        elif any(word.removeprefix("--dataset=").startswith(f"{name}:") for name in FOLDER_DATASETS):
            words[index] = word.partition(":")[0] + ":ROOT"
    return shlex.join(["sketchcanvas", *words])


def _print(as_json: bool, value: Any, *tables: Table) -> None:
    if as_json:
        print(json.dumps(value, indent=2, allow_nan=False))
        return
    from rich.console import Console

    # A pipe has no width; 80 columns would break every row.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    for table in tables:
        console.print(table)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


@app.command()
def compare(
    preset: Annotated[
        str, typer.Option(help="quick: few agents, 3 seeds, a look. full: every algorithm and network, 10 seeds.")
    ] = "quick",
    dataset: Dataset = "emoji",
    root: Root = None,
    student: StudentName = None,
    table: TablePath = None,
    canvases: Canvases = DEFAULT_CANVASES,
    tradeoff: Tradeoff = 0.2,
    cost: Cost = "flops",
    max_points: MaxPoints = 64,
    algorithms: Annotated[
        str | None,
        typer.Option(help="Instead of the preset's, by commas; 'ppo/gru' names the network too."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each algorithm, instead of the preset's.")] = None,
    steps: Steps = 30_720,
    selector: SelectorName = "stats",
    threads: Threads = 1,
    split: Annotated[str, typer.Option(help="Split that is reported.")] = "test",
    jobs: Jobs = 1,
    engine: Engine = "local",
    address: Address = None,
    out: Annotated[Path, typer.Option(help="Folder for the result, tables, plots and runs.")] = Path("runs/compare"),
    logdir: Annotated[Path | None, typer.Option(help="TensorBoard folder, one folder a run.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train algorithms over seeds and hold them against every baseline: the main job.

    Trains on the split train, evaluates exhaustively on the reported split, prints the table and writes it
    as JSON, Markdown and plots. Finished runs are kept in OUT: the same command goes on from there, and
    'sketchcanvas report' makes a page of it.

    Example: sketchcanvas compare --seeds 5 --tradeoff 0.3 --jobs 2
    """
    from dataclasses import replace

    from agents import plots, report
    from agents.compare import RESULT_FILE
    from agents.compare import compare as run
    from agents.compare import preset as ready
    from agents.progress import bars
    from sketchcanvas_env.files import atomic_write

    changes: dict[str, Any] = {"total_steps": steps, "selector": selector, "split": split, "threads": threads}
    if algorithms is not None:
        changes["algorithms"] = tuple(algorithms.split(","))
    if seeds is not None:
        changes["seeds"] = seeds
    env = _env(dataset, root, student, table, canvases, tradeoff, cost, max_points)
    config = replace(ready(preset, env), **changes)
    with bars() as start:
        result = run(config, out, _workers(jobs, engine, address), start, logdir)
    result.save(out / RESULT_FILE)
    with atomic_write(out / "result.md") as temporary:
        temporary.write_text(report.compare_markdown(result), encoding="utf-8")
    picture = plots.accuracy_against_gflops(result, out / "accuracy-gflops.png")
    plots.learning_curves(result, out / "learning-curves.png")
    _print(as_json, result.to_json(), report.compare_table(result), report.verdict_table(result))
    if preset == "quick" and algorithms is None:
        _tell("quick: a look with few agents and seeds; --preset full is the evidence")
    _tell(report.finding(result))
    _tell(f"{result.seconds:.0f} s; wrote {out / RESULT_FILE}, {picture} and the runs beside them")


@app.command()
def sweep(
    dataset: Dataset = "emoji",
    root: Root = None,
    student: StudentName = None,
    table: TablePath = None,
    canvases: Canvases = DEFAULT_CANVASES,
    cost: Cost = "flops",
    max_points: MaxPoints = 64,
    tradeoffs: Annotated[str, typer.Option(help="Tradeoffs, rising, separated by commas.")] = "0.02,0.1,0.2,0.4,0.7,1",
    algorithms: Annotated[str, typer.Option(help="Algorithms, by commas.")] = "reinforce,cost_sensitive",
    preference: Annotated[
        str, typer.Option(help="Algorithms that also train one selector for all tradeoffs, by commas; '' for none.")
    ] = "cost_sensitive",
    seeds: Annotated[int, typer.Option(help="Runs of each algorithm at each tradeoff.")] = 3,
    steps: Steps = 30_720,
    selector: SelectorName = "stats",
    threads: Threads = 1,
    split: Annotated[str, typer.Option(help="Split that is reported.")] = "test",
    jobs: Jobs = 1,
    engine: Engine = "local",
    address: Address = None,
    out: Annotated[Path, typer.Option(help="Folder for the result, tables, plot and runs.")] = Path("runs/sweep"),
    as_json: AsJson = False,
) -> None:
    """Train selectors at several tradeoffs, and one for all of them: the front of accuracy against FLOPs.

    Finished runs are kept in OUT: the same command goes on from there. 'sketchcanvas pick' chooses from the result.

    Example: sketchcanvas sweep --tradeoffs 0.05,0.1,0.2 --seeds 5 --jobs 2
    """
    from agents import plots, report
    from agents.compare import CompareConfig
    from agents.progress import bars
    from agents.sweep import SWEEP_FILE, SweepConfig
    from agents.sweep import sweep as run
    from sketchcanvas_env.files import atomic_write

    config = SweepConfig(
        compare=CompareConfig(
            env=_env(dataset, root, student, table, canvases, 0.0, cost, max_points),
            algorithms=tuple(algorithms.split(",")),
            seeds=seeds,
            total_steps=steps,
            selector=selector,
            split=split,
            threads=threads,
        ),
        tradeoffs=tuple(float(one) for one in tradeoffs.split(",")),
        preference=tuple(one for one in preference.split(",") if one),
    )
    with bars() as start:
        result = run(config, out, _workers(jobs, engine, address), start)
    result.save(out / SWEEP_FILE)
    with atomic_write(out / "sweep.md") as temporary:
        temporary.write_text(report.sweep_markdown(result), encoding="utf-8")
    picture = plots.pareto(result, out / "pareto.png")
    _print(as_json, result.to_json(), *report.sweep_tables(result))
    _tell(f"{result.seconds:.0f} s; wrote {out / SWEEP_FILE}, {picture} and the runs beside them")


@app.command()
def pick(
    folder: Annotated[Path, typer.Argument(help="Folder of a sweep.")] = Path("runs/sweep"),
    max_gflops: Annotated[
        float | None, typer.Option(help="Mean GFLOPs that a query may cost, selector included.", min=0.0)
    ] = None,
    min_acc: Annotated[float | None, typer.Option(help="acc@1 to reach, percent.", min=0.0, max=100.0)] = None,
    as_json: AsJson = False,
) -> None:
    """Choose an operating point of a sweep: the best under a budget, or the cheapest that is good enough.

    The choice is made on val; fixed canvases take part. What is printed says where the selector is saved.

    Example: sketchcanvas pick runs/sweep --max-gflops 0.2
    """
    from agents import report
    from agents.sweep import pick as choose

    found = choose(folder, max_gflops, None if min_acc is None else min_acc / 100)
    _print(as_json, found.to_json(), report.pick_table(found))


@app.command()
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
    logdir: Annotated[Path | None, typer.Option(help="TensorBoard folder.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint beside OUT.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train one selector, save it, and evaluate it on the split val.

    Example: sketchcanvas train reinforce --tradeoff 0.3 --logdir runs/tb --out runs/mine
    """
    from agents import algorithms as registry
    from agents import policy, report, saved
    from agents.evaluate import evaluate as judge
    from agents.progress import bars

    env = _env(dataset, root, student, table, canvases, tradeoff, cost, max_points)
    network = registry.network_of(algorithm, selector)
    config = registry.make_config(algorithm, env=env, seed=seed, total_steps=steps, threads=threads, **network)
    env.task("train")  # unknown names and bad values end here, before any work
    place = out.with_name(out.name + ".checkpoint.safetensors")
    with bars() as start:
        run = registry.train_run(
            config,
            on_progress=start(f"{algorithm}, seed {seed}", steps),
            logdir=logdir,
            checkpoint=place if resume or registry.ALGORITHMS[algorithm].resumable else None,
            resume=resume,
        )
    path = saved.save(out, run, env.outcomes("train"))
    task = env.task("val")
    result = judge(
        env.outcomes("val"),
        policy.actions_of(run.selector, task),
        selector_flops=policy.flops_of(run.selector, task),
        **env.reward_weights(),
    )
    title = f"{dataset}, split val, after {run.steps:,} steps in {run.seconds:.0f} s"
    rows = [report.policy_cells(algorithm, result)]
    _print(
        as_json,
        {"saved": str(path), "val": result.to_json()},
        report.rich_table(title, report.POLICY_COLUMNS, rows),
    )
    _tell(f"wrote {path}")


@app.command()
def evaluate(
    policies: Annotated[
        list[str] | None,
        typer.Argument(
            help="Saved selectors (paths) or baselines: fixed:64, random, best_fixed, oracle. Without any, the student."
        ),
    ] = None,
    dataset: Dataset = "emoji",
    student: Annotated[
        str | None,
        typer.Option(
            help="With policies: whose outcomes, default the data set's default student. Without: the student to "
            "evaluate, a shipped name, a .safetensors path, or hog."
        ),
    ] = None,
    table: TablePath = None,
    canvases: Annotated[
        str | None,
        typer.Option(help=f"Sides, pixels, rising; default {DEFAULT_CANVASES} for policies, all it has for a student."),
    ] = None,
    tradeoff: Tradeoff = 0.2,
    cost: Cost = "flops",
    split: Annotated[str, typer.Option(help="Which split; touch test once.")] = "val",
    root: Root = None,
    strict: Strict = False,
    role: Annotated[
        str | None, typer.Option(help="Of a student: 'teacher' for one that others learned from; else its card says.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for a student's row, see 'report students'.")] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate policies, or a student, on every sketch of a split, exactly: nothing is sampled.

    Example: sketchcanvas evaluate fixed:64 random oracle runs/compare/ppo-0

    Example: sketchcanvas evaluate --student hog --out runs/rows/hog.json
    """
    if policies:
        if strict or role is not None or out is not None:
            raise ValueError("--strict, --role and --out belong to a student: leave the policies out")
        sides = canvases or DEFAULT_CANVASES
        _evaluate_policies(policies, dataset, root, student, table, sides, tradeoff, cost, split, as_json)
    elif student is None:
        raise ValueError("name policies to evaluate (such as fixed:64), or a student with --student")
    elif table is not None:
        raise ValueError("--table belongs to evaluating policies: a student is evaluated from its weights")
    else:
        _evaluate_student(student, _load_data(dataset, root, strict), canvases, split, role, out, as_json)


def _evaluate_student(
    name: str,
    dataset: SketchDataset,
    canvases: str | None,
    split: str,
    role: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    from agents import report, student_report
    from students.evaluation import evaluate_student, open_student

    sides = None if canvases is None else _sides(canvases)
    embedder, card = open_student(name, dataset.name)
    row = evaluate_student(embedder, dataset, split, sides, card=card, role=role, command=_command(), progress=True)
    if out is not None:
        row.write(out)
    line = student_report.line_of(row)
    _print(
        as_json,
        line.to_json(),
        report.rich_table(
            f"{row.name}, {row.role}, on {student_report.place(row)}",
            student_report.SCORE_COLUMNS,
            student_report.score_cells(line),
        ),
    )
    if out is not None:
        _tell(f"wrote {out}")


def _evaluate_policies(
    policies: list[str],
    dataset: str,
    root: Path | None,
    student: str | None,
    table: Path | None,
    canvases: str,
    tradeoff: float,
    cost: str,
    split: str,
    as_json: bool,
) -> None:
    from dataclasses import replace

    from agents import baselines, policy, report, saved
    from agents.evaluate import evaluate as judge

    results = {}
    for name in policies:
        env = _env(dataset, root, student, table, canvases, tradeoff, cost, 64)
        if baselines.is_name(name):
            outcomes = env.outcomes(split)
            choice: Any = baselines.by_name(name, outcomes, **env.reward_weights())
            own_flops: Any = 0.0
        else:
            one = saved.load(name)
            if one.canvases != env.canvases:
                raise ValueError(
                    f"{name} chooses from canvases {one.canvases}: pass --canvases {','.join(map(str, one.canvases))}"
                )
            env = replace(env, max_points=one.max_points)
            outcomes, task = env.outcomes(split), env.task(split)
            choice, own_flops = policy.actions_of(one.selector, task), policy.flops_of(one.selector, task)
        results[name] = judge(outcomes, choice, selector_flops=own_flops, **env.reward_weights())
    rows = [report.policy_cells(name, result) for name, result in results.items()]
    title = f"{dataset}, split {split}, tradeoff {tradeoff} against {cost}"
    _print(
        as_json,
        {name: result.to_json() for name, result in results.items()},
        report.rich_table(title, report.POLICY_COLUMNS, rows),
    )


@app.command()
def tabulate(
    student: Annotated[
        str,
        typer.Option(help="A shipped student, a .safetensors path, or hog (the baseline that learns nothing)."),
    ] = "emoji",
    dataset: Dataset = "emoji",
    root: Root = None,
    strict: Strict = False,
    canvases: Annotated[str | None, typer.Option(help="Sides, rising; default: all the student has.")] = None,
    out: Annotated[Path, typer.Option(help="The table's file.")] = Path("runs/table.npz"),
    as_json: AsJson = False,
) -> None:
    """Build the outcome table of a student: rank, distance, triplet loss and FLOPs of every sketch at every canvas.

    Works in blocks beside OUT (OUT.unfinished): the same command goes on where a killed one stopped.

    Example: sketchcanvas tabulate --student runs/emoji/student.safetensors --out runs/table.npz
    """
    import students
    from agents import report
    from students.hog import HogRetriever
    from students.tabulate import Embedder, build_table, scores

    sides = None if canvases is None else _sides(canvases)
    embedder: Embedder = HogRetriever() if student == "hog" else students.load(student)
    result = build_table(embedder, _load_data(dataset, root, strict), out, sides, progress=True)
    title = f"{result.student} on {dataset}: sketches of {len(result.photos)} photos"
    _print(
        as_json,
        {"table": str(out), "hash": result.hash, "scores": scores(result)},
        report.rich_table(title, report.SCORE_COLUMNS, report.score_cells(result)),
    )
    _tell(f"wrote {out} ({out.stat().st_size / 1e6:.2f} MB)")


@app.command()
def latency(
    table: Annotated[Path, typer.Argument(help="Outcome table to add the latency to.")],
    student: Annotated[str, typer.Option(help="Its student: a shipped name or a path of weights.")] = "emoji",
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Measure a student's latency and store it in its outcome table: then '--cost latency' can be chosen.

    One thread, one sketch at a time, raster and network. Run it while the machine does nothing else.

    Example: sketchcanvas latency runs/table.npz --student runs/emoji/student.safetensors
    """
    import students
    from agents import report
    from sketchcanvas_env.table import OutcomeTable
    from students.latency import add_latency

    dataset = _load_data(OutcomeTable.load(table).dataset, root, strict=False)
    measured = add_latency(table, students.load(student), dataset)
    rows = [
        (str(side), f"{median:.2f}", f"{p95:.2f}", f"{drawing:.2f}")
        for side, median, p95, drawing in zip(
            measured.canvases,
            measured.total.median_ms,
            measured.total.p95_ms,
            measured.drawing.median_ms,
            strict=True,
        )
    ]
    title = f"{measured.machine['cpu']}, one thread, milliseconds"
    _print(as_json, measured.to_json(), report.rich_table(title, ("canvas", "median", "p95", "of it raster"), rows))
    _tell(f"wrote {table}")


@app.command()
def distill(
    config: Annotated[Path, typer.Argument(help="JSON file with the settings of the run, see students/configs.")],
    dataset: Annotated[str | None, typer.Option(help="Name of the data set, instead of the file's.")] = None,
    root: Root = None,
    teacher: Annotated[str | None, typer.Option(help="A shipped student or a path, instead of the file's.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, log and TensorBoard events.")] = Path(
        "runs/distill"
    ),
    save: Annotated[Path | None, typer.Option(help="The weights' file, instead of one in OUT.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps, instead of the file's.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, instead of the file's.", min=0)] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Torch threads, instead of the file's. Two runs of one thread beat one of two.", min=1),
    ] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="Leave the teacher out: the same run, trained directly.")
    ] = False,
) -> None:
    """Train a student from a config file: by a teacher, or directly where the file names none (this makes teachers).

    Goes on from the checkpoint in OUT when there is one.

    Example: sketchcanvas distill students/configs/emoji-mobilenet_v2.json --out runs/emoji --seed 1
    """
    from dataclasses import replace

    from students import train as training

    asked: dict[str, Any] = {
        "dataset": dataset,
        "root": None if root is None else str(root),
        "teacher": teacher,
        "steps": steps,
        "seed": seed,
        "threads": threads,
    }
    settings = replace(
        training.TrainConfig.read(config), **{name: value for name, value in asked.items() if value is not None}
    )
    if direct:
        settings = replace(settings, teacher=None)
    path = training.run(settings, out, save, _command())
    _tell(f"wrote {path}; 'sketchcanvas evaluate --student {path}' says what it scores")


@report_app.callback(invoke_without_command=True)
def report(
    context: typer.Context,
    folder: Annotated[Path, typer.Option("--compare", help="Folder of a comparison.")] = Path("runs/compare"),
    sweep_folder: Annotated[Path | None, typer.Option("--sweep", help="Folder of a sweep to show beside it.")] = None,
    out: Annotated[Path | None, typer.Option(help="The HTML file; default: report.html in the comparison.")] = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="Only evaluate the stored selectors anew and compare every number.")
    ] = False,
) -> None:
    """Write one self-contained HTML page (and Markdown) about a comparison, or check that its numbers still follow.

    Example: sketchcanvas report --compare runs/compare --sweep runs/sweep

    Example: sketchcanvas report --compare agents/results/emoji-full --validate
    """
    if context.invoked_subcommand is not None:
        return
    if validate:
        _validate(folder)
        return
    from agents import page

    for file in page.write(folder, sweep_folder, out or folder / "report.html"):
        _tell(f"wrote {file}")


def _validate(folder: Path) -> None:
    from agents.compare import validate

    lines = validate(folder)
    if lines:
        more = f" (and {len(lines) - 20} more)" if len(lines) > 20 else ""
        raise ValueError(f"{folder} does not follow from its selectors:\n" + "\n".join(lines[:20]) + more)
    _tell(f"{folder}: every stored number follows from the stored selectors")


@report_app.command("students")
def report_students(
    rows: Annotated[
        Path | None, typer.Option(help="Folder of rows ('evaluate --student --out'); default: the stored ones.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for students.json and students.md.")] = Path("runs/students"),
    as_json: AsJson = False,
) -> None:
    """The paper's table from stored rows: teacher, trained directly, distilled, with intervals and differences.

    Example: sketchcanvas report students --rows runs/rows --out runs/students
    """
    from agents import report, student_report
    from students.evaluation import RESULTS_FOLDER, read_rows

    result = student_report.build(read_rows(RESULTS_FOLDER if rows is None else rows))
    files = result.save(out)
    tables = []
    for section in result.sections:
        title = student_report.section_title(section)
        tables.append(report.rich_table(title, student_report.COLUMNS, student_report.headline_cells(section)))
        tables.append(
            report.rich_table("by canvas", student_report.canvas_columns(), student_report.canvas_cells(section))
        )
        if section.differences:
            columns, cells = student_report.DIFFERENCE_COLUMNS, student_report.difference_cells(section)
            tables.append(report.rich_table("paired differences", columns, cells))
    _print(as_json, result.to_json(), *tables)
    for section in result.sections:
        for note in section.notes:
            _tell(f"{section.dataset} {section.split}: {note}")
    _tell(f"wrote {files[0]} and {files[1]}")


@report_app.command("pilot")
def report_pilot(
    student: Annotated[str, typer.Option(help="A shipped student or a .safetensors path.")] = "emoji",
    dataset: Dataset = "emoji",
    root: Root = None,
    strict: Strict = False,
    split: Annotated[str, typer.Option(help="Which split; touch test once.")] = "val",
    canvases: Annotated[str | None, typer.Option(help="Sides, rising; default: all the student has.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for pilot.json, pilot.md and pilot.png.")] = Path("runs/students"),
    as_json: AsJson = False,
) -> None:
    """The pilot study: accuracy against canvas size, for sketches and for photos as queries.

    Example: sketchcanvas report pilot --student emoji-mobilenet_v2 --out runs/pilot
    """
    from agents import plots, report, student_report
    from students.embedder import Student
    from students.evaluation import open_student

    embedder, card = open_student(student, dataset)
    if card is None or not isinstance(embedder, Student):
        raise ValueError(f"the pilot study asks a network with photos of any size; {student!r} is none")
    result = student_report.pilot(
        embedder,
        _load_data(dataset, root, strict),
        split,
        None if canvases is None else _sides(canvases),
        card=card,
        command=_command(),
        progress=True,
    )
    files = (*result.save(out), plots.accuracy_against_canvas(result, out / "pilot.png"))
    columns, cells = student_report.pilot_columns(result), student_report.pilot_cells(result)
    _print(as_json, result.to_json(), report.rich_table(f"acc@1 on {dataset}, split {split}", columns, cells))
    _tell(f"wrote {', '.join(map(str, files))}")


@report_app.command("selectors")
def report_selectors(
    student: Annotated[str, typer.Option(help="A shipped student or a .safetensors path.")] = "emoji",
    dataset: Dataset = "emoji",
    root: Root = None,
    sketches: Annotated[int, typer.Option(help="How many sketches of val to measure on.", min=1)] = 50,
    max_points: MaxPoints = 64,
    out: Annotated[Path, typer.Option(help="The JSON file.")] = Path("runs/selectors.json"),
    as_json: AsJson = False,
) -> None:
    """What each selector network costs beside the student's cheapest canvas: FLOPs, and milliseconds on one thread.

    Run it while the machine does nothing else.

    Example: sketchcanvas report selectors --sketches 20
    """
    import students
    from agents import report
    from agents.selector_latency import measure

    data = _load_data(dataset, root)
    drawn = [data.sketch(int(row)) for row in data.indices("val")[:sketches]]
    found = measure(students.load(student), drawn, max_points=max_points)
    found.save(out)
    title = f"{found.student} at {found.canvas} px: {found.student_flops / 1e6:.1f} MFLOPs, {found.student_ms:.2f} ms"
    _print(as_json, found.to_json(), report.rich_table(title, report.COST_COLUMNS, report.cost_cells(found)))
    _tell(f"wrote {out}")


@report_app.command("ceiling")
def report_ceiling(
    student: Annotated[str, typer.Option(help="A shipped student or a .safetensors path.")] = "emoji",
    dataset: Dataset = "emoji",
    root: Root = None,
    split: Annotated[str, typer.Option(help="Which split; touch test once.")] = "val",
    copies: Annotated[int, typer.Option(help="Moved copies of every sketch.", min=2)] = 8,
    threads: Threads = 1,
    out: Annotated[Path, typer.Option(help="Folder for ceiling.json, ceiling.md and ceiling.png.")] = Path(
        "runs/ceiling"
    ),
    as_json: AsJson = False,
) -> None:
    """How much of the oracle's gap is luck of the raster, and how much can be foreseen from the strokes.

    Example: sketchcanvas report ceiling --copies 4
    """
    import students
    from agents.ceiling import study
    from agents.training import pinned_threads

    with pinned_threads(threads):
        found = study(students.load(student), _load_data(dataset, root), split, copies=copies, progress=True)
    found.save(out)
    print(json.dumps(found.to_json(), indent=2, allow_nan=False) if as_json else found.markdown())
    _tell(f"wrote ceiling.json, ceiling.md and ceiling.png to {out}")


@data_app.command("info")
def data_info(
    dataset: Annotated[str, typer.Argument(help="Name of the data set.")] = "emoji",
    root: Root = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Counts by split and abstraction level, the hash, and the licences.

    Example: sketchcanvas data info
    """
    import numpy as np

    from agents import report
    from sketchcanvas_env.data import SPLITS

    loaded = _load_data(dataset, root, strict)
    counts = {}
    for split in SPLITS:
        rows = loaded.indices(split)
        if not len(rows):
            continue  # a data set need not have all four
        points = [loaded.sketch(int(row)).n_points for row in rows]
        counts[split] = {
            "photos": len(np.unique(loaded.photo_ids[rows])),
            "gallery": len(loaded.gallery(split)),
            "sketches": len(rows),
            "median points": float(np.median(points)),
            "p95 points": float(np.percentile(points, 95)),
        }
    columns = ("split", *next(iter(counts.values())))
    cells = [(split, *(f"{value:g}" for value in row.values())) for split, row in counts.items()]
    _print(
        as_json,
        {
            "name": loaded.name,
            "hash": loaded.hash,
            "splits": counts,
            "licence": loaded.licence,
            "citation": loaded.citation,
            "skipped": [list(one) for one in loaded.skipped],
        },
        report.rich_table(f"{loaded.name} ({loaded.hash[:12]})", columns, cells),
    )
    if not as_json:
        print("\n".join(text for text in (loaded.licence, loaded.citation) if text))


@data_app.command("show")
def data_show(
    dataset: Annotated[str, typer.Argument(help="Name of the data set.")] = "emoji",
    root: Root = None,
    split: Annotated[str, typer.Option(help="Which split.")] = "train",
    photos: Annotated[int, typer.Option(help="How many photos.", min=1, max=200)] = 16,
    seed: Annotated[int, typer.Option(help="Which ones.")] = 0,
    out: Annotated[Path, typer.Option(help="The PNG file.")] = Path("runs/contact-sheet.png"),
) -> None:
    """Draw photos with their sketches, level by level.

    Example: sketchcanvas data show --split val --out sheet.png
    """
    from agents import plots

    _tell(f"wrote {plots.contact_sheet(_load_data(dataset, root), split, photos, out, seed)}")


@data_app.command("check")
def data_check(
    folder: Annotated[Path, typer.Argument(help="Folder with photos/ and sketches/.")],
    as_json: AsJson = False,
) -> None:
    """Read every file of a folder of photos and sketches and say what is wrong with each; exit code 2 if anything is.

    Example: sketchcanvas data check my-sketches
    """
    from agents import report
    from sketchcanvas_env.data import SPLITS
    from sketchcanvas_env.data.folder import check_folder

    loaded, wrong = check_folder(folder)
    counts = (
        {}
        if loaded is None
        else {split: {"photos": len(loaded.gallery(split)), "sketches": len(loaded.indices(split))} for split in SPLITS}
    )
    cells = [(split, str(row["photos"]), str(row["sketches"])) for split, row in counts.items()]
    if not as_json:
        for file, reason in wrong:
            print(f"{file if file.isprintable() else repr(file)}: {reason}")
    _print(
        as_json,
        {"splits": counts, "wrong": [list(one) for one in wrong]},
        report.rich_table("can be used", ("split", "photos", "sketches"), cells),
    )
    if wrong:
        raise ValueError(f"{folder}: {len(wrong)} to mend, each named above")
    _tell(f"{folder} is in order")


@data_app.command("import")
def data_import(
    dataset: Annotated[str, typer.Argument(help="Name of the data set.")],
    places: Annotated[
        list[Path], typer.Argument(metavar="[ROOT] FOLDER", help="Where it is, if in a folder; the folder to write.")
    ],
    strict: Strict = False,
) -> None:
    """Write a data set as a folder of photos and sketches, which loads faster and can be edited.

    Goes on where it was interrupted.

    Example: sketchcanvas data import chairv2 ~/ChairV2 chairs
    """
    from agents.progress import bars
    from sketchcanvas_env.data.folder import write_folder

    if len(places) > 2:
        raise ValueError(f"name the data set's folder and the one to write, not {len(places)} folders")
    loaded = _load_data(dataset, places[0] if len(places) == 2 else None, strict)
    files = len({photo for gallery in loaded.galleries.values() for photo in gallery.tolist()}) + len(loaded)
    done = 0
    with bars() as start:
        tell = start(f"writing {places[-1]}", files)

        def on_file() -> None:
            nonlocal done
            done += 1
            tell(done)

        lost = write_folder(loaded, places[-1], on_file)
    for sentence in lost:
        _tell(f"not kept: {sentence}")
    _tell(f"wrote {len(loaded)} sketches to {places[-1]}: '--dataset folder:{places[-1]}' names it")


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except (ValueError, KeyError, OSError, ImportError) as error:
        # str(KeyError) quotes its message.
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        _tell(f"sketchcanvas: {message}")
        sys.exit(2)


if __name__ == "__main__":
    main()
