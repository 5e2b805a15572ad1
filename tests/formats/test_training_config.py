"""Training goes on where it stopped, in both directions between Keras and kcompile."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kcompile
from kcompile.ir.errors import FormatError, SpecError
from kcompile.models import load_model

RNG = np.random.default_rng(0)
X = RNG.standard_normal((16, 4)).astype("float32")
Y = RNG.standard_normal((16, 2)).astype("float32")


def make(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [
            layers.Input((4,), name="x"),
            layers.Dense(3, activation="tanh", name="a", kernel_regularizer="l2"),
            layers.BatchNormalization(name="b"),
            layers.Dense(2, name="c"),
        ],
        name="m",
    )


def steps(model: Any, number: int = 3) -> list[float]:
    return [float(model.train_on_batch(X, Y, return_dict=True)["loss"]) for _ in range(number)]


def optimizer(name: str, **options: Any) -> Callable[[Any], Any]:
    return lambda k: getattr(k.optimizers, name)(learning_rate=0.01, **options)


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "Adadelta": optimizer("Adadelta"),
    "Adafactor": optimizer("Adafactor"),
    "Adagrad": optimizer("Adagrad"),
    "Adam": optimizer("Adam"),
    "Adam amsgrad": optimizer("Adam", amsgrad=True, clipnorm=0.5),
    "Adam averaged": optimizer("Adam", use_ema=True),
    "Adam accumulated": optimizer("Adam", gradient_accumulation_steps=2),
    "Adam averaged and accumulated": optimizer("Adam", use_ema=True, gradient_accumulation_steps=2),
    "AdamW": optimizer("AdamW"),
    "Adamax": optimizer("Adamax"),
    "Ftrl": optimizer("Ftrl"),
    "Lamb": optimizer("Lamb"),
    "Lion": optimizer("Lion"),
    "LossScale": lambda k: k.optimizers.LossScaleOptimizer(k.optimizers.Adam(0.01)),
    "Muon": optimizer("Muon"),
    "Nadam": optimizer("Nadam"),
    "RMSprop": optimizer("RMSprop"),
    "RMSprop centered": optimizer("RMSprop", momentum=0.9, centered=True),
    "SGD": optimizer("SGD"),
    "SGD momentum": optimizer("SGD", momentum=0.9, nesterov=True),
    "SGD schedule": lambda k: k.optimizers.SGD(
        k.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5), momentum=0.5
    ),
    "ScheduleFreeAdamW": optimizer("ScheduleFreeAdamW"),
}
QUICK = ("Adam averaged", "SGD schedule")


def close(found: list[float], wanted: list[float]) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
@pytest.mark.parametrize(
    "choose",
    [
        pytest.param(choose, id=name, marks=() if name in QUICK else pytest.mark.slow)
        for name, choose in OPTIMIZERS.items()
    ],
)
def test_training_goes_on_in_both_directions(choose: Callable[[Any], Any], tmp_path: Path) -> None:
    theirs = make(keras)
    theirs.compile(choose(keras), "mse", metrics=["mae"])
    steps(theirs)
    theirs.save(tmp_path / "theirs.keras")
    ours = load_model(tmp_path / "theirs.keras")
    ours.save(tmp_path / "untouched.keras")
    untouched = keras.models.load_model(tmp_path / "untouched.keras")
    wanted = steps(theirs)
    close(steps(ours), wanted)
    close(steps(untouched), wanted)
    ours.save(tmp_path / "ours.keras")
    wanted = steps(theirs)
    close(steps(keras.models.load_model(tmp_path / "ours.keras")), wanted)
    close(steps(load_model(tmp_path / "ours.keras")), wanted)


def test_a_learning_rate_that_was_changed_is_kept(tmp_path: Path) -> None:
    ours = make(kcompile)
    ours.compile("adam", "mse")
    steps(ours, 1)
    ours.optimizer.learning_rate = 0.25
    ours.save(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras").optimizer.learning_rate == 0.25
    assert float(keras.models.load_model(tmp_path / "m.keras").optimizer.learning_rate) == 0.25


def test_a_model_that_has_not_begun_is_compiled(tmp_path: Path) -> None:
    theirs = make(keras)
    theirs.compile("adam", "mse")
    theirs.save(tmp_path / "theirs.keras")
    ours = load_model(tmp_path / "theirs.keras")
    wanted = steps(theirs)
    close(steps(ours), wanted)


def two_heads(k: Any) -> Any:
    x = k.Input((4,), name="x")
    dense = k.layers.Dense
    return k.Model(x, {"p": dense(1, name="p")(x), "q": dense(2, name="q")(x)}, name="heads")


def test_losses_and_metrics_in_dicts(tmp_path: Path) -> None:
    def compiled(k: Any) -> Any:
        model = two_heads(k)
        model.compile(
            "sgd",
            loss={"p": "mse", "q": k.losses.CategoricalCrossentropy(from_logits=True)},
            loss_weights={"p": 0.5, "q": 2.0},
            metrics={"q": ["accuracy", k.metrics.MeanAbsoluteError(name="error")]},
            weighted_metrics={"p": "mae"},
        )
        return model

    y = {"p": X[:, :1], "q": np.eye(2, dtype="float32")[np.arange(16) % 2]}
    theirs, ours = compiled(keras), compiled(kcompile)
    theirs.save(tmp_path / "theirs.keras")
    again = load_model(tmp_path / "theirs.keras")
    wanted = theirs.evaluate(X, y, return_dict=True, verbose=0)
    found = again.evaluate(X, y, return_dict=True, verbose=0)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)
    ours.set_weights(theirs.get_weights())
    ours.save(tmp_path / "ours.keras")
    loaded = keras.models.load_model(tmp_path / "ours.keras")
    assert loaded.evaluate(X, y, return_dict=True, verbose=0) == pytest.approx(wanted)


def compile_config(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        found: dict[str, Any] = json.loads(archive.read("config.json"))["compile_config"]
    return found


def test_the_config_is_as_keras_writes_it(tmp_path: Path) -> None:
    def saved(k: Any, path: Path) -> dict[str, Any]:
        model = make(k)
        rate = k.optimizers.schedules.CosineDecay(0.1, 100)
        metrics = ["mae", k.metrics.RootMeanSquaredError(name="r")]
        model.compile(
            k.optimizers.Adam(rate, name="a"),
            k.losses.BinaryCrossentropy(label_smoothing=0.25),
            metrics=metrics,
        )
        model.save(path)
        return compile_config(path)

    assert saved(kcompile, tmp_path / "o.keras") == saved(keras, tmp_path / "k.keras")


def test_without_the_optimizer(tmp_path: Path) -> None:
    ours = make(kcompile)
    ours.compile("adam", "mse")
    ours.save(tmp_path / "m.keras", include_optimizer=False)
    assert compile_config(tmp_path / "m.keras") == {}
    assert load_model(tmp_path / "m.keras").optimizer is None
    ours.save(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras", compile=False).optimizer is None


def test_what_has_no_form_in_a_file(tmp_path: Path) -> None:
    ours = make(kcompile)
    ours.compile("adam", lambda y, p: (y - p) ** 2)
    with pytest.raises(SpecError, match=r"compile: loss: .*Pass include_optimizer=False"):
        ours.save(tmp_path / "m.keras")
    assert list(tmp_path.iterdir()) == []


def changed(path: Path, key: str, value: Any) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["compile_config"][key] = value
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


FUNCTION = {"module": "os", "class_name": "function", "config": "system", "registered_name": None}
ADAM = {"module": "keras.optimizers", "class_name": "Adam", "config": {"rate": 1}}
REFUSED: dict[str, tuple[str, Any, str]] = {
    "loss by name": ("loss", "my_loss", r"compile_config.*my_loss.*Pass compile=False"),
    "loss of a module": ("loss", FUNCTION, r"compile_config.*system"),
    "loss of a class": (
        "loss",
        {"module": "builtins", "class_name": "eval", "config": {}, "registered_name": None},
        r"compile_config\.loss: unknown loss 'eval'",
    ),
    "metric": ("metrics", ["mae", FUNCTION], r"compile_config.*system"),
    "optimizer": ("optimizer", None, r"compile_config\.optimizer: needs an object, got None"),
    "optimizer's key": ("optimizer", ADAM, r"the config keys \['rate'\] are not understood"),
    "other optimizer": ("optimizer", {**ADAM, "class_name": "os"}, r"unknown optimizer 'os'"),
    "smaller optimizer": (
        "optimizer",
        {"module": "keras.optimizers", "class_name": "SGD", "config": {}},
        r"optimizer/vars has 14 arrays, and the optimizer 'sgd' has 2",
    ),
    "key": ("callbacks", [], r"compile_config\.callbacks: this key is not understood"),
}


@pytest.mark.parametrize(("key", "value", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(key: str, value: Any, message: str, tmp_path: Path) -> None:
    ours = make(kcompile)
    ours.compile("adam", "mse")
    ours.save(tmp_path / "m.keras")
    changed(tmp_path / "m.keras", key, value)
    with pytest.raises(FormatError, match=message):
        load_model(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras", compile=False).name == "m"
