"""Typed errors. Each says where, which rule, what was received and what to do."""

from __future__ import annotations


class KCompileError(Exception):
    """Base of every error that kcompile raises on purpose.

    Args:
        message: which rule was broken and what was received.
        where: layer path, file and key, or node; printed in front of the message.
        hint: what to do about it; printed after the message.
    """

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.message = message
        self.where = where
        self.hint = hint
        super().__init__(message)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}. {self.hint}" if self.hint else text

    def located(self, where: str) -> KCompileError:
        """This error with `where` put in front of the place that it already names."""
        self.where = f"{where}: {self.where}" if self.where else where
        return self


class SpecError(KCompileError, ValueError):
    """A model definition that is not understood: unknown name, unread key, missing argument."""


class ShapeError(SpecError):
    """Types or shapes that an op's type rule refuses."""


class JaxCodeError(SpecError):
    """JAX code that was given a symbolic tensor, which it cannot take."""


class VerifyError(KCompileError):
    """A graph that breaks an invariant of the IR, or an executable unlike its graph."""


class ParseError(KCompileError, ValueError):
    """Text that is not a graph in the text form."""


class PassError(KCompileError):
    """A pass that failed.

    Attributes:
        pass_name: the failing pass.
        passes_before: names of the passes that had run.
        graph: the graph that the pass was given.
    """

    def __init__(
        self,
        message: str,
        *,
        pass_name: str,
        passes_before: tuple[str, ...],
        graph: object,
    ) -> None:
        super().__init__(message, where=f"pass '{pass_name}'")
        self.pass_name = pass_name
        self.passes_before = passes_before
        self.graph = graph


class ExportError(KCompileError):
    """A graph that the target cannot hold without changing what it computes."""


class FormatError(KCompileError, ValueError):
    """A file that is not what it says it is, or that asks for something a file may not ask."""


class DataError(KCompileError, ValueError):
    """Data given to fit, evaluate, predict or run that does not fit the model."""


class TrainingError(KCompileError, RuntimeError):
    """Training that cannot go on."""


class NonFiniteLossError(TrainingError):
    """The loss, or a weight that a step updates, became NaN or infinite.

    Attributes:
        epoch: zero-based epoch; None outside `fit`.
        step: zero-based step within the epoch, or within the evaluation.
    """

    def __init__(
        self, message: str, *, epoch: int | None, step: int, hint: str | None = None
    ) -> None:
        place = f"step {step + 1}" if epoch is None else f"epoch {epoch + 1}, step {step + 1}"
        super().__init__(message, where=place, hint=hint)
        self.epoch = epoch
        self.step = step
