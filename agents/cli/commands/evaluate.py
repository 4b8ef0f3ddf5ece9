"""`evaluate`: policies or a student on every sketch of a split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.output import sentence_of, show, tell, tell_leakage
from agents.cli.shared_options import (
    DEFAULT_CANVASES,
    AsJson,
    Batch,
    Cost,
    Dataset,
    Root,
    Split,
    Strict,
    TablePath,
    Tradeoff,
    environment,
    load_data,
    sides_of,
    typed_command,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from agents.evaluation.evaluate import Evaluation
    from agents.evaluation.setting import EnvConfig
    from sketchcanvas_env.data import SketchDataset


def evaluate(
    policies: Annotated[
        list[str] | None,
        typer.Argument(
            help="Selectors (shipped names or paths) or baselines (fixed:64, random, best_fixed, oracle); none to "
            "evaluate the student."
        ),
    ] = None,
    dataset: Dataset = "emoji",
    student: Annotated[
        str | None,
        typer.Option(
            help="With policies: the student whose outcomes to use; default: the data set's own. Without: the student "
            "to evaluate, a shipped name, a .safetensors path, or hog (extra 'train')."
        ),
    ] = None,
    table: TablePath = None,
    canvases: Annotated[
        str | None,
        typer.Option(help=f"Sides, pixels, rising; default: {DEFAULT_CANVASES} for policies, all of a student's."),
    ] = None,
    tradeoff: Tradeoff = 0.2,
    cost: Cost = "flops",
    split: Split = "val",
    root: Root = None,
    strict: Strict = False,
    role: Annotated[
        str | None,
        typer.Option(help="A student's role in its row: 'teacher' if others learnt from it; default: from its card."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="JSON file for a student's row, which 'report students' reads; default: none.")
    ] = None,
    batch: Batch = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate policies, or a student, on every sketch of a split.

    Nothing is sampled. Policies that do not fit the options are named and left out.

    Example: sketchcanvas evaluate fixed:64 random oracle emoji

    Example: sketchcanvas evaluate --student hog --out runs/rows/hog.json
    """
    if policies:
        if strict or role is not None or out is not None or batch is not None:
            raise ValueError("--strict, --role, --out and --batch are for students: leave them or the policies out")
        sides = canvases or DEFAULT_CANVASES
        _evaluate_policies(policies, dataset, root, student, table, sides, tradeoff, cost, split, as_json)
    elif student is None:
        raise ValueError("name policies to evaluate (such as fixed:64), or a student with --student")
    elif table is not None:
        raise ValueError("--table is for policies: a student is evaluated from its weights")
    else:
        _evaluate_student(student, load_data(dataset, root, strict), canvases, split, role, out, batch, as_json)


def _evaluate_student(
    name: str,
    dataset: SketchDataset,
    canvases: str | None,
    split: str,
    role: str | None,
    out: Path | None,
    batch: int | None,
    as_json: bool,
) -> None:
    from agents.reports import students
    from agents.studies.students import line_of
    from students.network.embedder import Student
    from students.tables.evaluation import evaluate_student, open_student

    sides = None if canvases is None else sides_of(canvases)
    embedder, card = open_student(name, dataset.name)
    if isinstance(embedder, Student):
        embedder.batch = batch
    if card is not None:
        tell_leakage(card, dataset, (split,))
    row = evaluate_student(
        embedder, dataset, split, sides, card=card, role=role, command=typed_command(), progress=True
    )
    if out is not None:
        row.write(out)
    line = line_of(row)
    show(as_json, line.to_json(), students.score_table(row, line))
    if out is not None:
        tell(f"wrote {out}")


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

    from agents.reports import tables as report

    env = environment(dataset=dataset, root=root, student=student, table=table, canvases=canvases, cost=cost)
    env = replace(env, tradeoff=tradeoff)
    results: dict[str, Evaluation] = {}
    groups: dict[str, dict[str, Evaluation]] = {}
    refused: dict[str, Exception] = {}
    for name in policies:
        try:
            results[name], groups[name] = _evaluate_policy(name, env, split)
        except (ValueError, OSError) as error:
            refused[name] = error
    if not results:
        raise next(iter(refused.values()))
    rows = [report.policy_cells(name, result) for name, result in results.items()]
    title = f"{dataset}, split {split}, tradeoff {tradeoff} against {cost}"
    values = {
        name: {**result.to_json(), "groups": {group: part.to_json() for group, part in groups[name].items()}}
        for name, result in results.items()
    }
    split_up = [report.group_table(groups)] if any(groups.values()) else []
    show(as_json, values, report.Table(title, report.POLICY_COLUMNS, tuple(rows)), *split_up)
    for name, reason in refused.items():
        tell(f"sketchcanvas: {name} is left out: {sentence_of(reason)}")
    if refused:
        raise typer.Exit(2)


def _evaluate_policy(name: str, env: EnvConfig, split: str) -> tuple[Evaluation, dict[str, Evaluation]]:
    """The evaluation of a baseline or a saved selector, and those by group (`evaluate_groups`).

    A selector's own max_points replaces that of `env`.

    Raises:
        ValueError: it does not fit the setting.
        FileNotFoundError: no such selector.
    """
    from dataclasses import asdict, replace

    from agents.evaluation import baselines
    from agents.evaluation.setting import CascadeConfig
    from agents.store import saved

    if baselines.is_name(name):
        side = name.removeprefix("fixed:")
        if side.isdecimal() and int(side) not in env.canvases:
            raise ValueError(f"{side} is not among --canvases {','.join(map(str, env.canvases))}")
        choice = baselines.by_name(name, env.outcomes(split), **env.reward_weights())
        return _evaluated(env, split, choice, 0.0)
    one = saved.load(name)
    if one.canvases != env.canvases:
        raise ValueError(
            f"{name} chooses from canvases {one.canvases}: pass --canvases {','.join(map(str, one.canvases))}"
        )
    env = replace(env, max_points=one.max_points, thumbnail=one.env.thumbnail)
    if isinstance(one.env, CascadeConfig):
        env = CascadeConfig(**asdict(env), ranking=one.env.ranking)
    choice, own_flops = env.decide(one.selector, split)
    return _evaluated(env, split, choice, own_flops)


def _evaluated(
    env: EnvConfig, split: str, choice: ArrayLike, own_flops: ArrayLike
) -> tuple[Evaluation, dict[str, Evaluation]]:
    from agents.evaluation.evaluate import evaluate_groups, evaluate_options

    options = env.options(split)
    whole = evaluate_options(options, choice, selector_flops=own_flops)
    return whole, evaluate_groups(options, choice, own_flops, env.outcomes(split))
