"""Example of an own environment: guess whether the student finds a sketch's photo at the smallest canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from sketchcanvas_env.envs.base import SketchEnv
from sketchcanvas_env.envs.vector import SketchVectorEnv
from sketchcanvas_env.tasks.arguments import Arguments
from sketchcanvas_env.tasks.canvas import CanvasArguments, Task
from sketchcanvas_env.tasks.episodes import Advanced, Arrays, Episodes, Shown, look_up


class Guesses(NamedTuple):
    rows: Any
    right: Any


@dataclass(frozen=True, eq=False)
class GuessTask(Episodes[Guesses]):
    task: Task
    arguments: Arguments
    reward_range = (0.0, 1.0)

    def observation_space(self) -> spaces.Dict:
        return self.task.observation_space()

    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(2)

    def reward_vector_space(self) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (1,))

    def start(self, rows: Any, drawn: Any) -> Guesses:
        return Guesses(rows, np.zeros(len(rows), dtype=bool))

    def advance(self, state: Guesses, actions: Any) -> Advanced[Guesses]:
        right = (self.task.table.ranks[state.rows, 0] == 1) == actions  # type: ignore[union-attr]
        return Advanced(right.astype(float), Guesses(state.rows, right), np.ones(len(right), dtype=bool))

    def observe(self, state: Guesses, out: Arrays | None = None) -> Arrays:
        into = self.room(len(state.rows)) if out is None else out
        look_up(self.task.pictures, state.rows, into)
        return into

    def going(self, state: Guesses) -> Arrays:
        return {"sketch_index": state.rows.copy()}

    def final(self, state: Guesses) -> Arrays:
        return {"sketch_index": state.rows, "right": state.right}

    def out_of_range(self, action: int) -> str:
        return f"action {action} is out of range: 0 says no, 1 says yes"

    def shown(self, state: Guesses, place: int, earned: float) -> Shown:
        return Shown(int(state.rows[place]), None)


class GuessArguments(Arguments):
    def make(self) -> GuessTask:
        return GuessTask(CanvasArguments.shared_by(self).make(), self)


class GuessEnv(SketchEnv):
    arguments = GuessArguments


class GuessVectorEnv(SketchVectorEnv):
    arguments = GuessArguments
