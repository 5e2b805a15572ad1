"""Tracing: running Python code that defines a model, and keeping the graph of what it did."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from kcompile.ir.builder import Builder
from kcompile.ir.dims import Dim, Size
from kcompile.ir.errors import SpecError
from kcompile.ir.graph import Graph, Role, Value
from kcompile.ir.op import Op
from kcompile.ir.text import text_array
from kcompile.ir.types import DimMismatchError, DType, TensorType, format_shape
from kcompile.ops import limits, scopes
from kcompile.ops.structure import leaves, map_leaves
from kcompile.ops.tensor import KerasTensor, TracedTensor
from kcompile.ops.variable import Variable

T = TypeVar("T")

RNG_NAME = "rng"
RNG_TYPE = TensorType(DType.UINT32, (2,))

_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def current_trace() -> Trace | None:
    """The trace that is being made, if any."""
    return _current.get()


@dataclass(frozen=True)
class Mode:
    """Whether layers compute as in training, and whether the model asks for that itself.

    `forced` is set where the definition says `training=True`, so that it holds at inference too.
    """

    training: bool = False
    forced: bool = False


class Trace:
    """A graph in the making, and what layers and variables need to know while it is made.

    Args:
        name: the graph's name.
        training: whether layers compute as in training.
        names: names of variables; others are named by their path.
    """

    def __init__(
        self,
        name: str,
        *,
        training: bool = False,
        names: Mapping[Variable, str] | None = None,
    ) -> None:
        self.builder = Builder(name)
        self.mode = Mode(training)
        self.autocast: DType | None = None
        self.losses: list[TracedTensor] = []
        self.variables: dict[str, Variable] = {}
        self._replaced: dict[Variable, TracedTensor] = {}
        self._names = dict(names or {})
        self._num_streams = 0

    @contextlib.contextmanager
    def active(self) -> Iterator[Trace]:
        """Ops inside go into this trace."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)

    @contextlib.contextmanager
    def in_mode(self, mode: Mode) -> Iterator[None]:
        """Layers called inside compute in `mode`."""
        before, self.mode = self.mode, mode
        try:
            yield
        finally:
            self.mode = before

    @contextlib.contextmanager
    def autocasting(self, dtype: DType | None) -> Iterator[None]:
        """Floating-point variables are read as `dtype` inside; None reads them as they are."""
        before, self.autocast = self.autocast, dtype
        try:
            yield
        finally:
            self.autocast = before

    def dtype_of(self, variable: Variable) -> DType:
        """The element type in which `variable` is read here."""
        own = variable.type.dtype
        if self.autocast is None or not variable.autocast or not own.is_floating:
            return own
        return self.autocast

    def input(self, name: str, type: TensorType) -> TracedTensor:
        """A DATA input."""
        limits.check_types((type,))
        return TracedTensor(self, self.builder.input(name, type))

    def rng(self) -> Value:
        """The RNG input."""
        return self.builder.input(RNG_NAME, RNG_TYPE, Role.RNG)

    def stream(self, seed: int | None = None) -> int:
        """A number for a random op here: its position among the model's random ops, and the seed.

        Training and inference number them alike, and so does the same model built again.
        """
        self._num_streams += 1
        return zlib.crc32(f"{self._num_streams}:{seed}".encode())

    def read(self, variable: Variable) -> TracedTensor:
        """The value that `variable` has at this point."""
        value = self._replaced.get(variable)
        if value is None:
            value = TracedTensor(self, self.builder.updated(self._input_of(variable)))
        dtype = self.dtype_of(variable)
        return value if dtype is variable.type.dtype else self.cast(value, dtype)

    @contextlib.contextmanager
    def replacing(self, variable: Variable, value: TracedTensor) -> Iterator[None]:
        """Inside, `variable` is read as `value`, which has its type; nothing is assigned."""
        self._replaced[variable] = value
        try:
            yield
        finally:
            del self._replaced[variable]

    def assign(self, variable: Variable, value: Any) -> TracedTensor:
        """Make `value` the next value of a non-trainable variable.

        Raises:
            SpecError: the variable is trainable, or the type differs.
        """
        state = self._input_of(variable)
        where = f"weight '{variable.path}'"
        if variable.trainable:
            raise SpecError(
                "a trainable weight cannot be assigned in call",
                where=where,
                hint="Make it with trainable=False",
            )
        new = self.convert(value, variable.type.dtype)
        if new.type != variable.type:
            raise SpecError(f"it is {variable.type} and cannot become {new.type}", where=where)
        self.builder.update(state, new.value)
        return new

    def _input_of(self, variable: Variable) -> Value:
        name = self._names.get(variable)
        if name is None:
            name = unused_name(variable.path, self.variables)
            self._names[variable] = name
        self.variables[name] = variable
        role = Role.PARAM if variable.trainable else Role.STATE
        return self.builder.input(name, variable.type, role)

    def tensor_with(self, symbol: str) -> TracedTensor:
        """An input that has the symbol as the whole size of an axis."""
        found = self._input_with(symbol)
        assert found is not None  # symbols come from inputs
        return found

    def _input_with(self, symbol: str) -> TracedTensor | None:
        for entry in self.builder.inputs:
            if any(isinstance(s, Dim) and str(s) == symbol for s in entry.type.shape):
                return TracedTensor(self, entry.value)
        return None

    def convert(self, value: Any, dtype: DType | None = None) -> TracedTensor:
        """`value` as a tensor of this trace: a tensor, variable, array or number.

        Args:
            dtype: element type for numbers and arrays, and to cast others to.
        """
        if isinstance(value, Variable):
            value = self.read(value)
        if isinstance(value, TracedTensor):
            if value.trace is not self:
                raise SpecError(
                    f"the tensor {value.value} belongs to another graph",
                    hint="Do not keep tensors from one call of a layer for the next",
                )
            return value if dtype in (None, value.type.dtype) else self.cast(value, dtype)
        if isinstance(value, KerasTensor):
            raise SpecError(
                f"the KerasTensor {value.name} is used inside a layer's call",
                hint="Pass it to the layer as an argument",
            )
        array = _constant_array(value, dtype)
        limits.count_constant(array.nbytes)
        return TracedTensor(self, self.builder.constant(array))

    def cast(self, tensor: TracedTensor, dtype: DType) -> TracedTensor:
        from kcompile.ir.ops import Cast

        return self.emit(Cast(dtype), tensor)

    def emit(self, op: Op, *operands: Any) -> Any:
        """The results of `op`: one tensor, or a tuple of them."""
        limits.count_steps(1 + len(operands))
        values = [None if x is None else self.convert(x).value for x in operands]
        made = self.builder.emit(op, *values)
        limits.check_types(value.type for value in made)
        results = tuple(TracedTensor(self, value) for value in made)
        return results[0] if len(results) == 1 else results

    def finish(self, outputs: list[tuple[str, TracedTensor]]) -> Graph:
        """The graph that returns `outputs`."""
        return self.builder.finish((name, tensor.value) for name, tensor in outputs)


def unused_name(wish: str, taken: Mapping[str, Any] | set[str]) -> str:
    """`wish`, or the first of `wish_1`, `wish_2`, ... that is not in `taken`."""
    name, count = wish, 0
    while name in taken:
        count += 1
        name = f"{wish}_{count}"
    return name


def _constant_array(value: Any, dtype: DType | None) -> np.ndarray[Any, Any]:
    """`value` as an array: Python floats as float32, ints as int32, NumPy's 64 bits as 32."""
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        return text_array(array)
    if dtype is not None:
        with np.errstate(over="ignore"):  # what is beyond a type's range is infinite in it
            return array.astype(dtype.numpy)
    if array.dtype == np.float64:
        return array.astype(np.float32)
    if array.dtype == np.int64:
        narrow = array.astype(np.int32)
        if not np.array_equal(narrow, array):
            raise SpecError(
                f"an int64 array {format_shape(array.shape)} has numbers that do not fit int32, in"
                f" which it would be computed with: {array.min()} to {array.max()}",
                hint="Convert it first, with x.astype(...), to the type that is meant",
            )
        return narrow
    if array.dtype.kind not in "biufV":
        raise SpecError(f"cannot make a tensor of {value!r}")
    return array


def require_trace() -> Trace:
    """The trace that is being made."""
    trace = current_trace()
    if trace is None:
        raise SpecError("this runs only inside a layer's call or a function of kcompile.ops")
    return trace


def emit(op: Op, *operands: Any) -> Any:
    """The results of `op` in the current trace: one tensor, or a tuple of them."""
    return require_trace().emit(op, *operands)


def with_equal_sizes(build: Callable[[dict[str, Size]], T]) -> T:
    """What `build` returns, given the symbols that the model needs to be equal.

    Two inputs with open sizes have different symbols. Where a layer needs the two to be equal, they
    are made one, and running the graph on different sizes is an error.
    """
    equal: dict[str, Size] = {}
    while True:
        try:
            return build(equal)
        except DimMismatchError as error:
            left, right = error.left, error.right
            both_open = (
                isinstance(left, Dim)
                and isinstance(right, Dim)
                and left.is_symbol
                and right.is_symbol
            )
            if not both_open or str(right) in equal or left == right:
                raise
            equal = {name: left if size == right else size for name, size in equal.items()} | {
                str(right): left
            }


def infer_outputs(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The types of what `function` returns for KerasTensors, found by tracing it."""

    def build(equal: dict[str, Size]) -> Any:
        trace = Trace("shapes")
        with trace.active():
            replaced = replace_tensors(trace, (args, kwargs), equal)
            result = function(*replaced[0], **replaced[1])
            return map_leaves(lambda x: None if x is None else trace.convert(x).type, result)

    return with_equal_sizes(build)


def replace_tensors(trace: Trace, structure: Any, equal: Mapping[str, Size]) -> Any:
    """`structure` with an input of `trace` in the place of each KerasTensor."""
    inputs: dict[KerasTensor, TracedTensor] = {}

    def replace(leaf: Any) -> Any:
        if not isinstance(leaf, KerasTensor):
            return leaf
        if leaf not in inputs:
            inputs[leaf] = trace.input(f"x{len(inputs)}", leaf.type.substitute(equal))
        return inputs[leaf]

    return map_leaves(replace, structure)


def run_eagerly(
    name: str,
    function: Callable[..., Any],
    args: Any,
    kwargs: Any,
    *,
    training: bool = False,
    rng: np.ndarray[Any, Any] | None = None,
) -> Any:
    """What `function` returns for arrays: traced into a graph, which is run.

    Variables that it reads are given to the graph, and those that it assigns get their next value.

    Args:
        rng: the key of its random ops, `u32[2]`; a new one by default.
    """
    from kcompile.ops.door import service

    trace = Trace(name, training=training)
    arrays: dict[str, Any] = {}

    def replace(leaf: Any) -> Any:
        if not hasattr(leaf, "dtype") or isinstance(leaf, (Variable, TracedTensor)):
            return leaf
        if callable(leaf):  # a layer, as the body of a loop
            return leaf
        array = _eager_array(leaf)
        key = f"x{len(arrays)}"
        arrays[key] = array
        return trace.input(key, TensorType.of(array))

    with trace.active():
        args, kwargs = map_leaves(replace, args), map_leaves(replace, kwargs)
        result = function(*args, **kwargs)
        flat = [trace.convert(leaf) for leaf in leaves(result) if leaf is not None]
    losses = scopes.loss_list()
    if losses is not None:
        flat += trace.losses
    if not flat and not trace.builder.has_updates:
        return result
    graph = trace.finish([(f"y{i}", tensor) for i, tensor in enumerate(flat)])
    for entry in graph.inputs_with(Role.PARAM, Role.STATE):
        arrays[entry.name] = trace.variables[entry.name].array
    if graph.inputs_with(Role.RNG):
        arrays[RNG_NAME] = eager_rng() if rng is None else rng
    outputs, states = service("run_graph")(graph, arrays)
    for state, value in states.items():
        trace.variables[state].assign(value)
    remaining = (outputs[f"y{i}"] for i in range(len(flat)))
    returned = map_leaves(lambda leaf: None if leaf is None else next(remaining), result)
    if losses is not None:
        losses += remaining
    return returned


def eager_rng() -> np.ndarray[Any, Any]:
    """A new key for random ops outside a model's own step count."""
    from kcompile.ops.seeds import next_seed

    if (key := scopes.next_key()) is not None:
        return key
    seed = next_seed()
    return np.array([seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF], np.uint32)


def _eager_array(leaf: Any) -> Any:
    """An array for the runtime, in the element types of `_constant_array`."""
    if isinstance(leaf, (np.ndarray, np.generic)):
        return _constant_array(leaf, None)
    return leaf
