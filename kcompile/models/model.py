"""What all models share: weights, tracing, and the doors to training, saving and export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kcompile.ir.errors import SpecError
from kcompile.ir.graph import Graph
from kcompile.ir.types import TensorType
from kcompile.layers.base import Layer
from kcompile.layers.core import Input
from kcompile.models.steps import OwnSteps
from kcompile.models.tracing import trace_model
from kcompile.ops import seeds
from kcompile.ops.door import service
from kcompile.ops.structure import leaves, map_leaves, pack_like
from kcompile.ops.trace import Trace, unused_name
from kcompile.ops.variable import Variable


class Model(OwnSteps, Layer):
    """A layer that can be trained, evaluated, saved and compiled.

    `Model(inputs, outputs, name=None)` makes a functional model. A subclass with `call` is a model
    of its own.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        from kcompile.models.functional import Functional

        functional = bool(args) or "inputs" in kwargs or "outputs" in kwargs
        return super().__new__(Functional if cls is Model and functional else cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if type(self) is Model:
            raise SpecError("Model needs inputs and outputs, or a subclass with call")
        super().__init__(*args, **kwargs)
        if self.activity_regularizer is not None:
            raise NotImplementedError(
                f"model '{self.name}': give its layers, not the model, activity_regularizer"
            )

    # Structure

    @property
    def layers(self) -> list[Layer]:
        """The layers, inputs included, in the order of computation."""
        return self._sublayers

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer with that name, or at that index of `layers`.

        Raises:
            SpecError: there is none.
        """
        layers = self.layers
        if index is not None and index < len(layers):
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in layers)
        raise SpecError(
            f"no layer {name if index is None else index!r}",
            where=f"model '{self.name}'",
            hint=f"Its layers are {names}",
        )

    def named_variables(
        self, prefix: str = "", is_root: bool = True
    ) -> Iterator[tuple[str, Variable]]:
        """Each weight with its path; the root model's own name is no part of it."""
        inner = prefix if is_root and not prefix else f"{prefix}{self.name}/"
        own = self._own_variables
        for variable in [v for v in own if v.trainable] + [v for v in own if not v.trainable]:
            yield f"{inner}{variable.name}", variable
        for layer in self.layers:
            if isinstance(layer, Model):
                yield from layer.named_variables(inner, is_root=False)
            else:
                yield from layer.named_variables(inner)

    def named_weights(self) -> dict[str, Variable]:
        """Every weight once, by a path that is unique: the name of its value in graphs.

        States of stateful layers come last.
        """
        named: dict[str, Variable] = {}
        seen: set[Variable] = set()
        carried = ((variable.path, variable) for variable in self.all_carried_variables())
        for path, variable in (*self.named_variables(), *carried):
            if variable not in seen:
                seen.add(variable)
                named[unused_name(path, named)] = variable
        return named

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of that shape, batch included, by tracing `call`.

        A tuple of sizes stands for one input; a list or dict of them for several.
        """
        if input_shape is not None:
            self(_inputs_of_shape(input_shape))

    def build_for(self, data: Any) -> None:
        """Make the weights, if there are none yet, for inputs like the arrays in `data`."""
        if not self.built:
            self(map_leaves(_open_batch, data))

    def _ensure_built(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.built:
            self._example = map_leaves(_open_batch, args[0])
            self.built = True
            if type(self).build is not Model.build:
                self.build(map_leaves(lambda leaf: leaf.shape, args[0]))

    # Tracing

    @property
    def input_structure(self) -> Any:
        """KerasTensors in the structure of the first argument of `call`.

        Raises:
            SpecError: the model does not know its inputs yet.
        """
        if "_example" not in vars(self):
            raise SpecError(
                "it does not know its inputs yet",
                where=f"model '{self.name}'",
                hint="Call it on data, or call build(input_shape)",
            )
        return self._example

    def input_types(self) -> list[tuple[str, TensorType]]:
        """Name and type of each input, in the order of the leaves of `input_structure`."""
        structure = self.input_structure
        tensors = list(leaves(structure))
        if isinstance(structure, dict):
            names = sorted(structure)
        elif len(tensors) == 1:
            names = ["inputs"]
        else:
            names = [f"inputs_{index}" for index in range(len(tensors))]
        return [(name, tensor.type) for name, tensor in zip(names, tensors, strict=True)]

    @property
    def input_names(self) -> list[str]:
        return [name for name, _ in self.input_types()]

    @property
    def output_names(self) -> list[str]:
        return [name for name, _ in self.output_types()]

    def output_types(self) -> list[tuple[str, TensorType]]:
        """Name and type of each output, in the order of the leaves of `output_structure`."""
        return [(output.name, output.value.type) for output in self.graph().outputs]

    @property
    def output_structure(self) -> Any:
        """Anything in the structure of what `call` returns."""
        if "_output_example" not in vars(self):
            self.graph()
        return self._output_example

    def call_structure(self, inputs: list[Any], trace: Trace) -> Any:
        """The outputs in their structure, for inputs in the order of `input_types`."""
        keywords = {"training": trace.mode.training} if self._takes_training else {}
        return self.call(pack_like(self.input_structure, inputs), **keywords)

    def call_flat(self, inputs: list[Any], trace: Trace) -> list[tuple[str, Any]]:
        """Named outputs for inputs in the order of `input_types`."""
        outputs = self.call_structure(inputs, trace)
        self._output_example = map_leaves(lambda leaf: None, outputs)
        tensors = [trace.convert(leaf) for leaf in leaves(outputs)]
        if isinstance(outputs, dict):
            names = sorted(outputs)
        elif len(tensors) == 1:
            names = ["output"]
        else:
            names = [f"output_{index}" for index in range(len(tensors))]
        return list(zip(names, tensors, strict=True))

    def graph(self, training: bool = False) -> Graph:
        """The model as a graph: at inference, or as training computes it."""
        return trace_model(self, training)

    # Functional use

    def init(self, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """New initial weights, by path: `(params, state)`.

        They depend on the seed and the path alone. The model's own weights stay as they are.
        """
        self.input_types()
        params: dict[str, Any] = {}
        state: dict[str, Any] = {}
        for path, variable in self.named_weights().items():
            if variable.make_from_stream is None:
                raise SpecError("has no initializer", where=f"weight '{path}'")
            value = variable.make_from_stream(seeds.stream(seed, path))
            (params if variable.trainable else state)[path] = value
        return params, state

    # Doors

    @property
    def trainer(self) -> Any:
        """What trains this model; made when it is first needed."""
        if "_trainer" not in vars(self):
            self._trainer = service("trainer")(self)
        return self._trainer

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Set optimizer, loss and metrics; see `kcompile.training.trainer.Trainer.compile`."""
        self.trainer.compile(*args, **kwargs)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Train; see `kcompile.training.trainer.Trainer.fit`."""
        return self.trainer.fit(*args, **kwargs)

    def warmup(self, *args: Any, **kwargs: Any) -> None:
        """Compile for data to come; see `kcompile.training.trainer.Trainer.warmup`."""
        self.trainer.warmup(*args, **kwargs)

    def memory_report(self, *args: Any, **kwargs: Any) -> Any:
        """What training needs; see `kcompile.training.trainer.Trainer.memory_report`."""
        return self.trainer.memory_report(*args, **kwargs)

    def profile(self, *args: Any, **kwargs: Any) -> Any:
        """Where the time goes; see `kcompile.training.trainer.Trainer.profile`."""
        return self.trainer.profile(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Loss and metrics on data; see `kcompile.training.trainer.Trainer.evaluate`."""
        return self.trainer.evaluate(*args, **kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Outputs for data; see `kcompile.training.trainer.Trainer.predict`."""
        return self.trainer.predict(*args, **kwargs)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """One update; see `kcompile.training.trainer.Trainer.train_on_batch`."""
        return self.trainer.train_on_batch(*args, **kwargs)

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Loss and metrics of one batch; see `kcompile.training.trainer.Trainer.test_on_batch`."""
        return self.trainer.test_on_batch(*args, **kwargs)

    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Outputs for one batch; see `kcompile.training.trainer.Trainer.predict_on_batch`."""
        return self.trainer.predict_on_batch(*args, **kwargs)

    @property
    def optimizer(self) -> Any:
        """The optimizer that `compile` was given; None before."""
        return self.trainer.optimizer

    def save(self, filepath: Any, overwrite: bool = True, **options: Any) -> None:
        """Write the model to a file; see `kcompile.formats.saving.save_model`."""
        service("save_model")(self, filepath, overwrite, **options)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the weights to a `.weights.h5` file."""
        service("save_weights")(self, filepath, overwrite)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **options: Any) -> None:
        """Read the weights from a file; see `kcompile.formats.weights.load_weights`."""
        service("load_weights")(self, filepath, skip_mismatch, **options)

    def to_json(self, **kwargs: Any) -> str:
        """The architecture as JSON, in Keras 3's form."""
        return str(service("to_json")(self, **kwargs))

    def export(self, filepath: Any, format: str = "onnx", **kwargs: Any) -> Any:
        """Compile to a file; see `kcompile.compiler.compile`."""
        return service("export")(self, filepath, format, **kwargs)

    def summary(
        self, line_length: int | None = None, print_fn: Callable[[str], Any] | None = None
    ) -> None:
        """Print the layers with output shapes, numbers of parameters and connections."""
        service("summary")(self, line_length, print_fn)


def _inputs_of_shape(shape: Any) -> Any:
    """Inputs in the structure of `shape`, in which tuples of sizes are the leaves."""
    if isinstance(shape, dict):
        return {key: _inputs_of_shape(entry) for key, entry in shape.items()}
    if any(isinstance(entry, (list, tuple)) for entry in shape):
        return [_inputs_of_shape(entry) for entry in shape]
    return Input(batch_shape=tuple(shape), name="inputs")


def _open_batch(leaf: Any) -> Any:
    """An input like the tensor or array `leaf`, for a batch of any size; 64 bits become 32."""
    narrow = {"float64": "float32", "int64": "int32"}
    dtype = narrow.get(str(leaf.dtype), leaf.dtype)
    return Input(batch_shape=(None, *leaf.shape[1:]), dtype=dtype, name="inputs")
