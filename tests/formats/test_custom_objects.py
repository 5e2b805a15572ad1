"""Classes and functions of the user's in files: known when passed or registered, else refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kcompile
from kcompile.formats import from_json, to_json
from kcompile.ir.errors import FormatError, SpecError
from kcompile.models import load_model
from kcompile.ops import registry
from tests.formats.models import assert_same_outputs, inputs_of, outputs_of

NAME = "m.keras"


def library(k: Any) -> dict[str, Any]:
    """The same classes and functions, written with kcompile or with Keras."""

    class Scale(k.layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self, factor: float = 2.0, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.factor = factor

        def build(self, input_shape: Any) -> None:
            self.offset = self.add_weight(
                shape=(input_shape[-1],), initializer="ones", name="offset"
            )

        def call(self, x: Any) -> Any:
            return x * self.factor + self.offset

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "factor": self.factor}

    class Block(k.layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self, units: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.units = units
            self.dense = k.layers.Dense(units)

        def build(self, input_shape: Any) -> None:
            self.dense.build(input_shape)
            self.dense.built = True

        def call(self, x: Any) -> Any:
            return self.dense(x)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "units": self.units}

    class Ramp(k.initializers.Initializer):  # type: ignore[misc, name-defined]
        def __init__(self, step: float = 1.0) -> None:
            self.step = step

        def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
            return np.full(shape, self.step, "float32")

        def get_config(self) -> dict[str, Any]:
            return {"step": self.step}

    class Penalty(k.regularizers.Regularizer):  # type: ignore[misc, name-defined]
        def __call__(self, x: Any) -> Any:
            return 0.5 * k.ops.sum(k.ops.abs(x))

        def get_config(self) -> dict[str, Any]:
            return {}

    class Cubic(k.losses.Loss):  # type: ignore[misc, name-defined]
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return k.ops.mean(k.ops.abs(y_true - y_pred) ** 3.0, axis=-1)

    def triple(x: Any) -> Any:
        return 3.0 * x

    def far(y_true: Any, y_pred: Any) -> Any:
        return k.ops.mean(k.ops.abs(y_true - y_pred) ** 4.0, axis=-1)

    classes = (Scale, Block, Ramp, Penalty, Cubic, triple, far)
    return {value.__name__: value for value in classes}


OURS, THEIRS = library(kcompile), library(keras)


def model_of(k: Any, own: dict[str, Any]) -> Any:
    layers = k.layers
    model = k.Sequential(
        [
            layers.Input((4,), name="x"),
            own["Scale"](3.0, name="scale"),
            own["Block"](5, name="block"),
            layers.Dense(
                2,
                activation=own["triple"],
                kernel_initializer=own["Ramp"](0.25),
                kernel_regularizer=own["Penalty"](),
                name="dense",
            ),
        ],
        name="m",
    )
    model.compile("sgd", own["Cubic"](name="cubic"), metrics=[own["far"]])
    return model


@pytest.fixture
def clean_registry() -> Iterator[None]:
    with registry.CustomObjectScope({}):
        yield


def test_passed_by_name_in_both_directions(tmp_path: Path) -> None:
    ours, theirs = model_of(kcompile, OURS), model_of(keras, THEIRS)
    theirs.save(tmp_path / "theirs.keras")
    again = load_model(tmp_path / "theirs.keras", custom_objects=OURS)
    assert_same_outputs(again, theirs)
    x = np.ones((8, 4), "float32")
    y = np.zeros((8, 2), "float32")
    wanted = theirs.evaluate(x, y, verbose=0, return_dict=True)
    found = again.evaluate(x, y, verbose=0, return_dict=True)
    assert found == pytest.approx(wanted, rel=1e-5)
    ours.save(tmp_path / "ours.keras")
    loaded = keras.models.load_model(tmp_path / "ours.keras", custom_objects=THEIRS)
    assert_same_outputs(ours, loaded)
    assert isinstance(again.layers[0], OURS["Scale"])
    assert again.layers[0].factor == 3.0


def test_refused_all_at_once(tmp_path: Path) -> None:
    model_of(keras, THEIRS).save(tmp_path / NAME)
    with pytest.raises(FormatError) as caught:
        load_model(tmp_path / NAME)
    text = str(caught.value)
    for place in ("Scale (layers[1])", "Block (layers[2])", "the function triple (layers[3])"):
        assert place in text
    hint = "'Scale': ..., 'Block': ..., 'triple': ..., 'Ramp': ..., 'Penalty': ..."
    assert f"custom_objects={{{hint}}}" in text
    with pytest.raises(FormatError, match=r"Block \(layers\[2\]\), the function triple"):
        load_model(tmp_path / NAME, custom_objects={"Scale": OURS["Scale"]})
    layers = {name: OURS[name] for name in ("Scale", "Block", "triple", "Ramp", "Penalty")}
    with pytest.raises(FormatError, match=r"compile_config.*'Cubic'.*compile=False"):
        load_model(tmp_path / NAME, custom_objects=layers)
    assert load_model(tmp_path / NAME, custom_objects=layers, compile=False).name == "m"


def test_registered(tmp_path: Path, clean_registry: None) -> None:
    own = library(kcompile)
    for value in own.values():
        if value is not own["Cubic"]:
            kcompile.saving.register_keras_serializable("mine")(value)
    kcompile.saving.register_keras_serializable("mine", "Third")(own["Cubic"])
    ours = model_of(kcompile, own)
    ours.save(tmp_path / NAME)
    config = json.loads(to_json(ours))["config"]["layers"]
    assert config[1]["registered_name"] == "mine>Scale"
    assert config[3]["config"]["activation"]["config"] == "mine>triple"
    again = load_model(tmp_path / NAME)
    for found, wanted in zip(
        outputs_of(again, inputs_of(ours)), outputs_of(ours, inputs_of(ours)), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
    assert type(again.layers[0]) is own["Scale"]


def test_within_a_scope(tmp_path: Path) -> None:
    model_of(keras, THEIRS).save(tmp_path / NAME)
    with kcompile.saving.CustomObjectScope(OURS):
        assert load_model(tmp_path / NAME).name == "m"
    with pytest.raises(FormatError, match="Scale"):
        load_model(tmp_path / NAME)


def test_in_functional_models_and_architectures() -> None:
    x = kcompile.Input((4,), name="x")
    ours = kcompile.Model(x, OURS["Scale"](name="s")(OURS["Block"](3, name="b")(x)), name="m")
    again = from_json(to_json(ours), OURS)
    again.set_weights(ours.get_weights())
    for found, wanted in zip(
        outputs_of(again, inputs_of(ours)), outputs_of(ours, inputs_of(ours)), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
    assert kcompile.models.model_from_json(to_json(ours), OURS).name == "m"


class Whole(kcompile.Model):
    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.dense = kcompile.layers.Dense(units)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "units": self.units}


def test_a_model_that_is_a_class(tmp_path: Path) -> None:
    model = Whole(3, name="whole")
    x = np.ones((2, 4), "float32")
    model(x)
    model.save(tmp_path / NAME)
    again = load_model(tmp_path / NAME, custom_objects={"Whole": Whole})
    np.testing.assert_array_equal(again(x), model(x))
    with pytest.raises(FormatError, match="this class is not known: Whole"):
        load_model(tmp_path / NAME)


def relu(x: Any) -> Any:
    return 5.0 * x


def test_a_name_that_another_function_has() -> None:
    """A reader would take it for Keras's own, and the model would compute something else."""
    model = kcompile.Sequential(
        [kcompile.Input((4,)), kcompile.layers.Dense(2, activation=relu, name="d")]
    )
    with pytest.raises(SpecError, match="the function has the name of the activation 'relu'"):
        to_json(model)


def test_an_instance_of_another_class() -> None:
    class Odd(OURS["Scale"]):  # type: ignore[misc, name-defined]
        @classmethod
        def from_config(cls, config: Any) -> Any:
            return 3

    model = kcompile.Sequential([kcompile.Input((4,)), Odd(name="odd")], name="m")
    with pytest.raises(FormatError, match=r"layers\[1\].*Odd\.from_config gave 3"):
        from_json(to_json(model), {"Odd": Odd})
