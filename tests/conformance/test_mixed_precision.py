"""Dtype policies against Keras: outputs, three steps, the exported file, configs."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

import kcompile
from kcompile import dtype_policies, layers, mixed_precision, optimizers
from kcompile.ir.errors import SpecError
from kcompile.ir.types import DType

_SPEC = importlib.util.spec_from_file_location(
    "op_tolerances", Path(__file__).parents[1] / "ops" / "tolerances.py"
)
_TABLE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_TABLE)

#: Layers of a Sequential, by what they are made from (`kcompile.layers` or `keras.layers`).
MODELS = {
    "dense": (lambda of: [of.Dense(5, activation="relu"), of.Dense(3)], (4,)),
    "convolution and batch normalization": (
        lambda of: [
            of.Conv2D(4, 3),
            of.BatchNormalization(momentum=0.5),
            of.ReLU(),
            of.MaxPooling2D(),
            of.Flatten(),
            of.Dense(3, activation="softmax"),
        ],
        (6, 6, 2),
    ),
    "float32 at the end": (
        lambda of: [of.Dense(4), of.Dense(3, dtype="float32"), of.Softmax(dtype="float32")],
        (5,),
    ),
    "layer normalization": (
        lambda of: [of.LayerNormalization(), of.Dense(3), of.LayerNormalization()],
        (5,),
    ),
    "other normalizations": (
        lambda of: [of.GroupNormalization(2), of.RMSNormalization(), of.Dense(3)],
        (4,),
    ),
    "recurrent": (lambda of: [of.LSTM(4, return_sequences=True), of.GRU(3)], (5, 3)),
    "both directions": (
        lambda of: [of.SimpleRNN(4, return_sequences=True), of.Bidirectional(of.LSTM(3))],
        (5, 3),
    ),
    "embedding": (lambda of: [of.Embedding(9, 4), of.GlobalMaxPooling1D(), of.Dense(3)], (5,)),
    "other convolutions": (
        lambda of: [
            of.SeparableConv2D(4, 2),
            of.DepthwiseConv2D(3),
            of.Conv2DTranspose(2, 2),
            of.AveragePooling2D(),
            of.PReLU(),
        ],
        (8, 8, 2),
    ),
}
QUICK = ("dense", "convolution and batch normalization", "float32 at the end")
POLICIES = ("mixed_bfloat16", "mixed_float16")
CASES = [
    pytest.param(name, policy, marks=[] if name in QUICK else [pytest.mark.slow])
    for name in MODELS
    for policy in POLICIES
]


@pytest.fixture(autouse=True)
def _float32_afterwards():
    yield
    keras.config.set_dtype_policy("float32")
    mixed_precision.set_global_policy("float32")


def pair(name, policy):
    """The same model in kcompile and Keras, with the same weights, and data."""
    make, shape = MODELS[name]
    keras.config.set_dtype_policy(policy)
    mixed_precision.set_global_policy(policy)
    theirs = keras.Sequential([keras.Input(shape), *make(keras.layers)])
    ours = kcompile.Sequential([kcompile.Input(shape), *make(layers)])
    random = np.random.default_rng(0)
    weights = [
        np.full(v.shape, 1.3, np.float32)
        if "variance" in v.path
        else random.standard_normal(v.shape).astype(np.float32) / 2
        for v in theirs.weights
    ]
    theirs.set_weights(weights)
    ours.set_weights(weights)
    x = random.standard_normal((6, *shape)).astype(np.float32)
    return ours, theirs, np.floor(np.abs(x) * 3) if name == "embedding" else x


def assert_close(actual, expected, policy):
    """Within the tolerance of the type that was computed in."""
    rtol, atol = _TABLE.tolerance(DType.of(dtype_policies.get(policy).compute_dtype))
    wide = np.asarray(expected).astype(np.float64)
    np.testing.assert_allclose(np.asarray(actual).astype(np.float64), wide, rtol, atol)


@pytest.mark.parametrize(("name", "policy"), CASES)
def test_outputs_steps_and_export_equal_keras(name, policy):
    ours, theirs, x = pair(name, policy)
    expected, actual = np.asarray(theirs.predict(x, verbose=0)), ours.predict(x, verbose=0)
    assert str(actual.dtype) == str(expected.dtype)
    assert [v.dtype for v in ours.weights] == [str(v.dtype) for v in theirs.weights]
    assert_close(actual, expected, policy)

    y = np.random.default_rng(1).standard_normal(expected.shape).astype(np.float32)
    theirs.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse", metrics=["mae"])
    ours.compile(optimizers.SGD(0.05, momentum=0.9), "mse", metrics=["mae"])
    assert type(ours.optimizer).__name__ == type(theirs.optimizer).__name__
    wanted = theirs.fit(x, y, batch_size=6, epochs=3, shuffle=False, verbose=0).history
    history = ours.fit(x, y, batch_size=6, epochs=3, shuffle=False, verbose=0).history
    for key, values in wanted.items():
        assert_close(history[key], values, policy)
    for mine, value in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert mine.dtype == np.float32
        assert_close(mine, value, policy)

    executable = kcompile.compile(ours)
    for size in (1, 3):
        (output,) = executable.run(x[:size]).values()
        assert_close(output, ours.predict(x[:size], verbose=0), policy)


def test_the_exported_file_casts_explicitly():
    ours, _, _ = pair("float32 at the end", "mixed_bfloat16")
    model = onnx.load_from_string(kcompile.compile(ours).to_bytes())
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    targets = {attribute.i for node in casts for attribute in node.attribute}
    assert {onnx.TensorProto.BFLOAT16, onnx.TensorProto.FLOAT} <= targets
    assert all(i.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for i in model.graph.input)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16", "float16"])
def test_policies_of_layers_go_both_ways(policy):
    ours, theirs = layers.Dense(3, dtype=policy), keras.layers.Dense(3, dtype=policy)
    assert (ours.dtype, ours.compute_dtype) == (theirs.dtype, theirs.compute_dtype)
    assert ours.get_config()["dtype"] == theirs.get_config()["dtype"]
    assert keras.layers.Dense.from_config(ours.get_config()).dtype_policy.name == policy
    assert layers.Dense.from_config(theirs.get_config()).dtype_policy.name == policy


def test_policy_objects():
    policy = mixed_precision.Policy("mixed_float16")
    assert (policy.compute_dtype, policy.variable_dtype) == ("float16", "float32")
    assert dtype_policies.get(dtype_policies.serialize(policy)) == policy
    assert dtype_policies.get(np.float16) == dtype_policies.DTypePolicy("float16")
    mixed_precision.set_global_policy(policy)
    assert mixed_precision.global_policy() == policy == layers.Dense(2).dtype_policy
    assert layers.Dense(2, dtype="float32").compute_dtype == "float32"
    assert kcompile.Input((3,)).dtype == "float32"
    with pytest.raises(SpecError, match="no dtype policy 'mixed_float8'"):
        dtype_policies.get("mixed_float8")
    with pytest.raises(NotImplementedError, match="int8_from_float32"):
        layers.Dense(2, dtype="int8_from_float32")
    with pytest.raises(NotImplementedError, match="QuantizedDTypePolicy"):
        dtype_policies.get({"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}})


def test_own_layers_read_weights_in_the_type_they_compute_in():
    """As in Keras: `autocast=False` leaves a weight, or all of a layer, as it is."""

    def layer(base):
        class Own(base):
            def build(self, input_shape):
                self.cast = self.add_weight((2,), "ones", name="cast")
                self.kept = self.add_weight((2,), "ones", name="kept", autocast=False)

            def call(self, x):
                seen.append((str(x.dtype), str(self.cast.dtype), str(self.kept.dtype)))
                return x * self.cast

        return Own

    x = np.ones((1, 2), np.float32)
    for options in ({}, {"dtype": "float32"}):
        seen = []
        options = {"dtype": "mixed_bfloat16", **options}
        layer(layers.Layer)(**options)(x)
        layer(keras.layers.Layer)(**options)(x)
        assert seen[0] == seen[-1]


def test_a_loss_scale_that_is_too_large_is_halved_and_fit_goes_on():
    ours, theirs, x = pair("dense", "mixed_float16")
    y = np.random.default_rng(1).standard_normal((6, 3)).astype(np.float32)
    for model, library in ((ours, optimizers), (theirs, keras.optimizers)):
        inner = library.SGD(library.schedules.ExponentialDecay(0.1, 2, 0.5))
        model.compile(library.LossScaleOptimizer(inner, initial_scale=2.0**20), "mse")
        model.fit(x, y, batch_size=6, epochs=8, shuffle=False, verbose=0)
    assert ours.optimizer.dynamic_scale == float(theirs.optimizer.dynamic_scale) < 2.0**20
    assert ours.optimizer.iterations == int(theirs.optimizer.iterations) < 8
    for mine, value in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_close(mine, value, "mixed_float16")


def test_averages_of_weights_after_fit_equal_keras():
    ours, theirs, x = pair("dense", "float32")
    y = np.random.default_rng(1).standard_normal((6, 3)).astype(np.float32)
    arguments = {"use_ema": True, "ema_momentum": 0.6, "gradient_accumulation_steps": 2}
    ours.compile(optimizers.Adam(0.05, **arguments), "mse")
    theirs.compile(keras.optimizers.Adam(0.05, **arguments), "mse")
    for model in (ours, theirs):
        model.fit(x, y, batch_size=2, epochs=2, shuffle=False, verbose=0)
    for mine, value in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, value, rtol=1e-5, atol=1e-6)
    assert ours.optimizer.iterations == int(theirs.optimizer.iterations)
    assert sorted(ours.optimizer.averages) == sorted(v.path for v in ours.trainable_weights)
