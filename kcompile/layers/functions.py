"""Functions as layers: of `kcompile.ops`, or of JAX."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from kcompile.ir.dims import Dim
from kcompile.ir.errors import JaxCodeError, ShapeError, SpecError
from kcompile.layers.base import Layer
from kcompile.ops.door import service
from kcompile.ops.structure import leaves, map_leaves
from kcompile.ops.tensor import TracedTensor


class Lambda(Layer):
    """`y = function(x)`.

    A function of `kcompile.ops` is traced like any layer. A JAX function is taken over from its
    jaxpr, with its derivatives. What of it the IR does not hold trains, and is not exported. Open
    sizes are symbols in it: `x.shape[0] == 3` is false for one, and `x.shape[0] > 3` is refused.

    Args:
        function: takes the inputs, and `mask` (None where there is none, and while shapes are
            inferred) and `training` if it has such parameters. A JAX function is pure.
        output_shape: what the shape without the batch must be, or a function that gives the whole
            shape for that of the inputs; it follows from the function and is only checked.
        mask: the outputs' mask, or a function of the inputs and their mask that gives it.
        arguments: further arguments of the function, by name.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise SpecError(
                f"needs a function, got {function!r}",
                where=f"layer '{self.name}'",
                hint="A config holds no Python code; make the layer in code",
            )
        self.function = function
        self.output_shape = output_shape
        self.mask = mask
        self.arguments = dict(arguments or {})
        self.supports_masking = mask is not None
        self._bound = functools.partial(function, **self.arguments) if arguments else function
        parameters = inspect.signature(function).parameters
        self._passed = [name for name in ("mask", "training") if name in parameters]

    def call(self, inputs: Any, mask: Any = None, training: bool = False) -> Any:
        given = {"mask": mask, "training": training}
        passed = {name: given[name] for name in self._passed}
        outputs = call_function(self._bound, (inputs,), passed)
        self._check_shape(inputs, outputs)
        return outputs

    def _check_shape(self, inputs: Any, outputs: Any) -> None:
        """Hold the shape against the one that was given."""
        wanted = self.output_shape
        if wanted is None or len(list(leaves(outputs))) != 1:
            return
        if callable(wanted):
            wanted = wanted(map_leaves(lambda x: x.shape, inputs))
        else:
            wanted = (None, *wanted)
        (output,) = leaves(outputs)
        sizes = output.type.shape
        same = len(sizes) == len(wanted) and all(
            size == told
            for size, told in zip(sizes, wanted, strict=True)
            if told is not None and not isinstance(size, Dim)
        )
        if not same:
            raise ShapeError(
                f"output_shape is {tuple(wanted)} and the function gives {output.type}",
                where=f"layer '{self.name}'",
                hint="Leave output_shape out: it follows from the function",
            )

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return self.mask(inputs, previous_mask) if callable(self.mask) else self.mask

    def get_config(self) -> NoReturn:
        raise SpecError(
            "its function is Python code, which a config does not hold",
            where=f"layer '{self.name}'",
            hint="Make the model in code and load its weights, or write a layer of your own",
        )


def call_function(function: Callable[..., Any], args: Any, static: dict[str, Any]) -> Any:
    """What a function of `kcompile.ops`, or of JAX, returns for tensors of the current trace."""
    try:
        return function(*args, **static)
    except JaxCodeError:
        return _call_jax(function, args, static)
    except (AttributeError, TypeError) as error:
        if _is_of_jax(error.__cause__):
            return _call_jax(function, args, static)
        try:  # `x.T`, or arithmetic with an open size: there are such on JAX's arrays
            return _call_jax(function, args, static)
        except (AttributeError, TypeError):
            raise error from None


def _call_jax(function: Callable[..., Any], args: Any, static: dict[str, Any]) -> Any:
    tensors = {key: x for key, x in static.items() if isinstance(x, TracedTensor)}
    plain = {key: value for key, value in static.items() if key not in tensors}
    return service("trace_jax_function")(function, args, tensors, plain)


def _is_of_jax(error: BaseException | None) -> bool:
    """Whether JAX itself raised it: functions with own derivatives do so for any other object."""
    return type(error).__module__.partition(".")[0] == "jax"
