"""Names of Keras around models: settings, the registry, trees, input specs, divisors."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest

import kcompile
import kcompile.ops as ops
from kcompile import config, saving, tree
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ops.missing import is_missing

layers = kcompile.layers


def test_settings_are_those_of_keras() -> None:
    for name in ("floatx", "epsilon", "image_data_format", "backend", "max_epochs"):
        assert getattr(config, name)() == getattr(keras.config, name)(), name
    assert not config.is_traceback_filtering_enabled()
    assert not config.is_flash_attention_enabled() and not config.is_nnx_enabled()
    assert config.is_interactive_logging_enabled()
    for name in ("enable_interactive_logging", "disable_traceback_filtering"):
        assert getattr(config, name)() is None


@pytest.mark.parametrize(
    ("name", "only", "other"),
    [
        ("set_floatx", "float32", "float16"),
        ("set_epsilon", 1e-7, 1e-5),
        ("set_image_data_format", "channels_last", "channels_first"),
        ("set_backend", "jax", "torch"),
    ],
)
def test_settings_have_one_value(name: str, only: Any, other: Any) -> None:
    getattr(config, name)(only)
    with pytest.raises(NotImplementedError, match=rf"{name}: .* cannot be"):
        getattr(config, name)(other)


@pytest.mark.parametrize("module", ["config", "saving", "tree", "layers", "models", "utils"])
def test_every_name_is_there_or_says_why_not(module: str) -> None:
    theirs, ours = getattr(keras, module), getattr(kcompile, module)
    names = {name for name in dir(theirs) if not name.startswith("_")}
    assert {name for name in names if not hasattr(ours, name)} <= {"Config", "legacy"} | {
        "bounding_boxes"
    }
    for name in names:
        if is_missing(getattr(ours, name, None)):
            with pytest.raises(NotImplementedError, match=name):
                getattr(ours, name)()


@pytest.mark.parametrize("module", ["nn", "numpy"])
def test_second_names_of_ops(module: str) -> None:
    for name in dir(getattr(keras.ops, module)):
        if not name.startswith("_"):
            assert getattr(getattr(ops, module), name) is getattr(ops, name)
    with pytest.raises(AttributeError, match="no attribute 'tanhh'"):
        getattr(ops, module).tanhh  # noqa: B018


class Scale(layers.Layer):
    def __init__(self, factor: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        return inputs * self.factor


def test_layers_to_configs_and_back() -> None:
    dense = layers.Dense(3, "relu", name="dense")
    config_of = layers.serialize(dense)
    assert keras.layers.deserialize(config_of).get_config()["units"] == 3
    theirs = keras.layers.serialize(keras.layers.Dense(3, "relu", name="dense"))
    assert layers.deserialize(theirs).get_config() == dense.get_config()
    scale = layers.deserialize(layers.serialize(Scale(2.0)), custom_objects={"Scale": Scale})
    assert scale.factor == 2.0
    with pytest.raises(SpecError, match="unknown layer 'Scale'"):
        layers.deserialize(layers.serialize(Scale(2.0)))


def double(x: Any) -> Any:
    return 2 * x


def test_the_registry() -> None:
    before = dict(saving.get_custom_objects())
    registered = saving.register_keras_serializable("mine", "Scaling")(Scale)
    saving.register_keras_serializable("mine")(double)
    assert registered is Scale
    assert saving.get_registered_name(Scale) == "mine>Scaling"
    assert saving.get_registered_name(Case) == "Case"
    assert saving.get_registered_object("mine>double") is double
    entries = [Scale(3.0, name="scale"), double, {"rate": 0.5, "none": None}]
    scale, function, plain = saving.deserialize_keras_object(saving.serialize_keras_object(entries))
    assert (scale.factor, function, plain) == (3.0, double, {"rate": 0.5, "none": None})
    saving.get_custom_objects().clear()
    with pytest.raises(SpecError, match=r"mine>Scaling|not known"):
        saving.deserialize_keras_object(saving.serialize_keras_object(Scale(3.0)))
    saving.get_custom_objects().update(before)


class Case:
    """A class that nothing registers."""

    def get_config(self) -> dict[str, Any]:
        return {}


def test_a_scope_of_custom_objects() -> None:
    config_of = layers.serialize(Scale(2.0))
    with saving.custom_object_scope({"Scale": Scale}):
        assert saving.deserialize_keras_object(config_of).factor == 2.0
    assert saving.get_registered_object("Scale") is None
    with pytest.raises(SpecError, match="Scale is not known"):
        saving.deserialize_keras_object(config_of)


@pytest.mark.parametrize(
    "value",
    [
        kcompile.initializers.HeNormal(seed=1),
        kcompile.regularizers.L1L2(0.1, 0.2),
        kcompile.losses.Huber(0.5),
        kcompile.metrics.TopKCategoricalAccuracy(3),
        kcompile.optimizers.AdamW(0.1),
        kcompile.DTypePolicy("mixed_bfloat16"),
        kcompile.layers.Conv2D(3, 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_to_configs_and_back(value: Any) -> None:
    written = saving.serialize_keras_object(value)
    assert saving.deserialize_keras_object(written).get_config() == value.get_config()
    assert type(keras.saving.deserialize_keras_object(written)).__name__ == type(value).__name__


def test_functions_to_configs_and_back() -> None:
    written = saving.serialize_keras_object(kcompile.activations.relu)
    assert written == keras.saving.serialize_keras_object(keras.activations.relu)
    assert saving.deserialize_keras_object(written) is kcompile.activations.relu
    for unknown in (math.sin, Case()):
        with pytest.raises(SpecError, match="register_keras_serializable"):
            saving.serialize_keras_object(unknown)
    with pytest.raises(SpecError, match="os.system is not known"):
        saving.deserialize_keras_object({"module": "os", "class_name": "system", "config": {}})


def test_models_from_json() -> None:
    model = kcompile.Sequential([kcompile.Input((3,)), layers.Dense(2)])
    read = kcompile.models.model_from_json(model.to_json())
    assert read.to_json() == model.to_json()
    read = kcompile.models.model_from_json(model.to_json(), custom_objects={"Scale": Scale})
    assert read.to_json() == model.to_json()


def test_trees() -> None:
    structure = {"b": [1, (2, 3)], "a": None}
    assert tree.flatten(structure) == keras.tree.flatten(structure) == [None, 1, 2, 3]
    assert tree.is_nested(structure) and not tree.is_nested(1)
    assert tree.pack_sequence_as(structure, "wxyz") == {"a": "w", "b": ["x", ("y", "z")]}
    doubled = tree.map_structure(lambda a, b: a + b, [1, (2,)], [10, (20,)])
    assert doubled == [11, (22,)]
    assert tree.map_structure(lambda a: 1, {"a": None}, none_is_leaf=False) == {"a": None}
    assert tree.lists_to_tuples(structure) == {"b": (1, (2, 3)), "a": None}
    with pytest.raises(SpecError, match="differ"):
        tree.assert_same_structure([1, 2], [1])
    with pytest.raises(SpecError, match="has 2 leaves, got 3"):
        tree.pack_sequence_as([1, 2], [1, 2, 3])
    with pytest.raises(SpecError, match="needs a structure"):
        tree.map_structure(len)


SPECS: list[tuple[dict[str, Any], tuple[int, ...], str]] = [
    ({"ndim": 2}, (2, 3, 4), "needs 2 axes"),
    ({"min_ndim": 3}, (2, 3), "at least 3"),
    ({"max_ndim": 1}, (2, 3), "at most 1"),
    ({"axes": {-1: 4}}, (2, 3), "size 4 on axis -1"),
    ({"shape": (None, 4)}, (2, 3), r"the shape \(None, 4\)"),
    ({"dtype": "int32"}, (2, 3), "type int32"),
]


@pytest.mark.parametrize(("arguments", "shape", "message"), SPECS)
def test_input_specs(arguments: dict[str, Any], shape: tuple[int, ...], message: str) -> None:
    layer = Scale(1.0)
    layer.input_spec = layers.InputSpec(**arguments)
    theirs = keras.layers.InputSpec(**arguments)
    assert layers.InputSpec.from_config(layer.input_spec.get_config()).get_config() == (
        theirs.get_config()
    )
    with pytest.raises(ShapeError, match=message):
        layer(np.zeros(shape, "f"))


def test_inputs_that_fit_their_spec() -> None:
    layer = Scale(1.0)
    layer.input_spec = layers.InputSpec(shape=(None, 3, 1), allow_last_axis_squeeze=True)
    layer(np.zeros((2, 3), "f")), layer(np.zeros((2, 3, 1), "f"))
    with pytest.raises(SpecError, match="axis 2 is out of range"):
        layers.InputSpec(ndim=2, axes={2: 1})


PAIRS = np.array([[12, 18], [-12, 18], [0, 7], [0, 0], [17, 5], [1, 1], [-9, -6]], "int32").T


@pytest.mark.parametrize("name", ["gcd", "lcm"])
@pytest.mark.parametrize("dtype", ["int32", "int16", "uint8"])
def test_divisors(name: str, dtype: str) -> None:
    a, b = np.abs(PAIRS).astype(dtype) if dtype[0] == "u" else PAIRS.astype(dtype)
    expected = np.asarray(getattr(keras.ops, name)(a, b))
    found = np.asarray(getattr(ops, name)(a, b))
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    with pytest.raises(SpecError, match="needs integers"):
        getattr(ops, name)(a.astype("f"), b)


@pytest.mark.parametrize("name", ["gcd", "lcm"])
def test_divisors_are_exported(name: str) -> None:
    x, y = kcompile.Input((2,), dtype="int32"), kcompile.Input((1,), dtype="int32")
    executable = kcompile.compile(kcompile.Model([x, y], getattr(ops, name)(x, y)))
    assert executable.report["verification"]["kcompile.verification.status"] == "passed"
