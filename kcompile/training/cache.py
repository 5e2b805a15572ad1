"""The compiled programs of a model, kept for as long as the model stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.training import programs
from kcompile.training.blocks import BlockLength
from kcompile.training.data import DataSet
from kcompile.training.host_stage import structure_of
from kcompile.training.objective import Objective, Settings


class ProgramCache:
    """Objective, programs and their block lengths for one model.

    Attributes:
        objective: losses and metrics; None before `resolve`.
        metric_names: the name of each metric's variable in programs.
        steps: programs that train and evaluate.
        predictors: programs that predict.
        own_steps: the compiled steps that the model defines itself, by method.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.objective: Objective | None = None
        self.metric_names: dict[Any, str] = {}
        self.steps: dict[programs.Signature, Any] = {}
        self.predictors: dict[Any, Any] = {}
        self.own_steps: dict[str, Any] = {}
        self._lengths: dict[Any, BlockLength] = {}
        self._structure: Any = None

    def clear(self) -> None:
        """Forget everything."""
        self.objective = None
        self.metric_names = {}
        self.steps.clear()
        self.predictors.clear()
        self.own_steps.clear()
        self._lengths.clear()

    def follow_model(self) -> None:
        """Forget everything if the model's layers are others than at the last call."""
        structure = structure_of(self.model)
        if structure != self._structure:
            self._structure = structure
            self.clear()

    def resolve(self, settings: Settings, data: DataSet) -> Objective:
        """The losses and metrics, which are found once it is known what targets look like."""
        if self.objective is None:
            self.objective = programs.make_objective(self.model, settings, data)
            taken = set(self.model.named_weights())
            self.metric_names = self.objective.variable_names(taken)
        return self.objective

    def step(self, key: programs.Signature, transformation: Any, remat: Any = None) -> Any:
        """The program of a step; `resolve` has been called."""
        assert self.objective is not None
        if key not in self.steps:
            self.steps[key] = programs.make_program(
                self.model, self.objective, key, self.metric_names, transformation, remat
            )
        return self.steps[key]

    def predictor(self, sizes: Mapping[str, int]) -> Any:
        """The program of the model at inference."""
        key = (tuple(sorted(sizes.items())), tuple(self.model.named_weights()))
        if key not in self.predictors:
            self.predictors[key] = programs.make_predictor(self.model, sizes)
        return self.predictors[key]

    def length(self, program: Any, fixed: int | None, *shape: int) -> BlockLength:
        """The block length of a program, which remembers how long steps on such data took."""
        return self._lengths.setdefault((program, fixed, *shape), BlockLength(fixed))
