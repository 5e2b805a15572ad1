"""How losses and metrics run on arrays: as one graph, not as one for each op in them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from kcompile.ops.dispatch import has_keras_tensor
from kcompile.ops.trace import current_trace, run_eagerly

P = ParamSpec("P")
R = TypeVar("R")


def one_graph(method: Callable[..., R]) -> Callable[..., R]:
    """Make a method, written with `kcompile.ops`, run on arrays as one graph.

    Inside a trace, and on KerasTensors, it runs as it is.
    """

    @functools.wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> R:
        if current_trace() is not None or has_keras_tensor(args, kwargs):
            return method(self, *args, **kwargs)
        bound = functools.partial(method, self)
        return run_eagerly(method.__name__, bound, args, kwargs)

    return run


def one_graph_function(function: Callable[P, R]) -> Callable[P, R]:
    """`one_graph` for a function that is no method."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if current_trace() is not None or has_keras_tensor(args, kwargs):
            return function(*args, **kwargs)
        return run_eagerly(function.__name__, function, args, kwargs)

    return run
