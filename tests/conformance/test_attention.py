"""Attention, normalization and einsum layers against Keras.

Outputs and gradients, the exported file, and configs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import jax
import keras
import numpy as np
import pytest

import kcompile

RTOL, ATOL = 1e-5, 1e-5
#: Config keys of Keras that say nothing here: `from_config` accepts them at their defaults.
INERT = {"quantization_config"}

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Case:
    """A layer called on inputs of those shapes.

    Attributes:
        layer: class name.
        config: its arguments.
        shapes: of the inputs without the batch; None for a size that is 5 in the data.
        call: arguments of the call that are no tensors.
        tensors: arguments of the call that are, by name; those with `mask` in it are of bools.
        as_list: whether the inputs are one list.
    """

    layer: str
    config: dict[str, Any]
    shapes: tuple[Shape, ...]
    call: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Shape] = field(default_factory=dict)
    as_list: bool = False

    def __str__(self) -> str:
        parts = [self.config, *self.shapes, self.call, self.tensors]
        return f"{self.layer}-{'-'.join(json.dumps(part) for part in parts if part)}"

    def model(self, k: Any) -> Any:
        inputs = [k.Input(shape, name=f"x{i}") for i, shape in enumerate(self.shapes)]
        named = {
            name: k.Input(shape, name=name, dtype="bool" if "mask" in name else "float32")
            for name, shape in self.tensors.items()
        }
        call = {**self.call, **{key: value for key, value in named.items() if "[" not in key}}
        masks = {key: value for key, value in named.items() if "__" in key}
        if masks:  # mask__0, mask__1: a list of masks
            call = {key: value for key, value in call.items() if key not in masks}
            call["mask"] = [masks.get("mask__0"), masks.get("mask__1")]
        layer = getattr(k.layers, self.layer)(**self.config, name="layer")
        outputs = layer(list(inputs), **call) if self.as_list else layer(*inputs, **call)
        return k.Model([*inputs, *named.values()], outputs)

    def arrays(self, batch: int) -> list[np.ndarray]:
        rng = np.random.default_rng(batch)
        result = []
        for shape in self.shapes:
            full = [batch, *(5 if size is None else size for size in shape)]
            result.append(rng.normal(size=full).astype("f"))
        for name, shape in self.tensors.items():
            full = [batch, *(5 if size is None else size for size in shape)]
            drawn = rng.integers(0, 3, full) > 0 if "mask" in name else rng.normal(size=full)
            result.append(drawn if "mask" in name else drawn.astype("f"))
        return result


def case(layer: str, *shapes: Shape, call: Any = None, tensors: Any = None, **config: Any) -> Case:
    return Case(layer, config, shapes, call or {}, tensors or {})


def listed(
    layer: str, *shapes: Shape, call: Any = None, tensors: Any = None, **config: Any
) -> Case:
    return Case(layer, config, shapes, call or {}, tensors or {}, as_list=True)


SCORES = {"return_attention_scores": True}
CAUSAL = {"use_causal_mask": True}
MHA, GQA = "MultiHeadAttention", "GroupQueryAttention"
Q, V, K = (3, 6), (5, 4), (5, 7)
SEEN = {"attention_mask": (3, 5)}
STEPS = {"mask__0": (3,), "mask__1": (5,)}

NORMALIZATIONS = [
    case("LayerNormalization", (5,)),
    case("LayerNormalization", (3, 4), axis=[1, 2], center=False),
    case("LayerNormalization", (3, 4), axis=1, scale=False),
    case("LayerNormalization", (3, 1, 2), axis=(-1, 1), epsilon=0.1),
    case("LayerNormalization", (None, 4), gamma_initializer="zeros"),
    case("LayerNormalization", (1,), center=False, scale=False),
    case("RMSNormalization", (5,)),
    case("RMSNormalization", (3, 4), axis=(1, 2), epsilon=0.1),
    case("RMSNormalization", (None, 4, 3), axis=3),
    case("RMSNormalization", (4, 4), axis=1),
    case("GroupNormalization", (4,), groups=2),
    case("GroupNormalization", (3, 5, 6), groups=3, epsilon=0.1),
    case("GroupNormalization", (4, 3, 2), groups=-1, axis=1, center=False),
    case("GroupNormalization", (None, None, 4), groups=1, scale=False),
    case("UnitNormalization", (5,)),
    case("UnitNormalization", (3, 4), axis=1),
    case("UnitNormalization", (None, 4), axis=[1, 2]),
    case("Normalization", (4,)),
    case("Normalization", (3, 4), axis=(1, 2), invert=True),
    case("Normalization", (3, 4), axis=None, mean=0.5, variance=2.0),
    case("Normalization", (3, 4), axis=(1, 2), mean=[1.0, 2.0, 3.0, 4.0], variance=[0.0, 1, 2, 3]),
    case("Normalization", (None, 2), mean=[1.0, -1.0], variance=[4.0, 0.25], invert=True),
]
EINSUMS = [
    case("EinsumDense", (4,), equation="ab,bc->ac", output_shape=3),
    case("EinsumDense", (3, 4), equation="abc,cd->abd", output_shape=(None, 5), bias_axes="d"),
    case("EinsumDense", (3, 4), equation="abc,cde->abde", output_shape=(None, 2, 3), bias_axes="d"),
    case("EinsumDense", (3, 4), equation="abc,bd->adc", output_shape=(2, 4), bias_axes="dc"),
    case("EinsumDense", (None, 4), equation="...x,xy->...y", output_shape=2, bias_axes="y"),
    case(
        "EinsumDense",
        (2, 3, 4),
        equation="...ab,bc->...ac",
        output_shape=(3, 5),
        activation="relu",
        bias_axes="a",
    ),
    case("EinsumDense", (4, 3, 1), equation="ab...,bc->ac...", output_shape=2, bias_axes="c"),
    case("EinsumDense", (3, 2, 4), equation="abcd,cde->abe", output_shape=(None, 5), bias_axes="e"),
    listed("Dot", (4,), (4,), axes=1),
    listed("Dot", (3, 4), (4, 5), axes=(2, 1)),
    listed("Dot", (3, 4), (5, 4), axes=-1, normalize=True),
    listed("Dot", (4,), (4, 3), axes=1),
    listed("Dot", (3, 4), (4,), axes=(2, 1)),
    listed("Dot", (2, 3, 4), (5, 3), axes=2),
]
ACTIVATIONS = [
    *(
        case("Activation", (3, 4), activation=name)
        for name in (
            *("celu", "glu", "hard_shrink", "hard_silu", "hard_swish", "hard_tanh", "log_sigmoid"),
            *("soft_shrink", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus"),
            "tanh_shrink",
        )
    ),
    case("PReLU", (3, 4)),
    case("PReLU", (None, 3, 4), shared_axes=[1, 2], alpha_initializer="he_normal"),
    case("Softmax", (3, 4), axis=[1, 2]),
    case("Softmax", (3, None, 4), axis=(1, 3)),
    case("Softmax", (3, 4), tensors={"mask": (3, 4)}),
    case("Softmax", (3, 4), tensors={"mask": (1, 4)}, axis=[1, 2]),
]
PLAIN = [
    listed("Attention", (3, 4), (5, 4)),
    listed("Attention", (3, 4), (5, 6), (5, 4), call=SCORES, use_scale=True),
    listed("Attention", (3, 4), (5, 4), tensors=STEPS, call=CAUSAL),
    listed("Attention", (3, 4), (5, 4), tensors={"mask__1": (5,)}, dropout=0.5, seed=3),
    listed("Attention", (None, 4), (None, 4), call=CAUSAL, score_mode="concat"),
    listed(
        "Attention", (3, 4), (5, 4), tensors={"mask__0": (3,)}, score_mode="concat", use_scale=True
    ),
    listed("Attention", (2, 3, 4), (2, 5, 4)),
    listed("AdditiveAttention", (3, 4), (5, 4)),
    listed("AdditiveAttention", (3, 4), (5, 6), (5, 4), call={**SCORES, **CAUSAL}, use_scale=False),
    listed("AdditiveAttention", (None, 4), (5, 4), tensors={"mask__0": (None,), "mask__1": (5,)}),
]
HEADS = [
    case(MHA, Q, (5, 6), num_heads=2, key_dim=3),
    case(MHA, Q, V, K, num_heads=3, key_dim=2, use_bias=False),
    case(MHA, Q, V, K, call=SCORES, num_heads=2, key_dim=3, value_dim=4, output_shape=5),
    case(MHA, Q, V, tensors=SEEN, num_heads=2, key_dim=3),
    case(MHA, Q, V, tensors=SEEN, call={**SCORES, **CAUSAL}, num_heads=1, key_dim=1),
    case(MHA, Q, V, call=CAUSAL, num_heads=2, key_dim=3),
    case(MHA, (None, 4), (None, 4), call=CAUSAL, num_heads=2, key_dim=2),
    case(
        MHA, (None, 4), (None, 4), tensors={"attention_mask": (None, None)}, num_heads=2, key_dim=2
    ),
    case(MHA, Q, V, tensors={"attention_mask": (2, 3, 5)}, num_heads=2, key_dim=2),
    case(MHA, Q, V, tensors={"value_mask": (5,)}, num_heads=2, key_dim=3),
    case(
        MHA,
        Q,
        V,
        K,
        tensors={"value_mask": (5,), "key_mask": (5,)},
        call=CAUSAL,
        num_heads=2,
        key_dim=3,
    ),
    case(MHA, Q, V, tensors=SEEN, num_heads=2, key_dim=3, dropout=0.3, seed=1),
    case(MHA, Q, V, call=CAUSAL, num_heads=2, key_dim=3, dropout=0.3),
    case(MHA, Q, V, num_heads=2, key_dim=3, sliding_window=2, use_gate=True),
    case(MHA, Q, V, call=CAUSAL, num_heads=2, key_dim=3, sliding_window=1, output_shape=(2, 3)),
    case(MHA, (2, 3, 4), (2, 3, 4), num_heads=2, key_dim=3),
    case(MHA, (2, 3, 4), (2, 5, 4), num_heads=2, key_dim=3, attention_axes=2),
    case(
        MHA,
        (3, 2, 4),
        (5, 2, 4),
        tensors={"attention_mask": (3, 5)},
        num_heads=1,
        key_dim=3,
        attention_axes=(1,),
    ),
    case(GQA, Q, (5, 6), head_dim=3, num_query_heads=4, num_key_value_heads=2),
    case(GQA, Q, (5, 6), (5, 7), call=SCORES, head_dim=2, num_query_heads=3, num_key_value_heads=1),
    case(
        GQA,
        Q,
        (5, 6),
        call=CAUSAL,
        tensors=SEEN,
        head_dim=2,
        num_query_heads=2,
        num_key_value_heads=2,
    ),
    case(
        GQA, (None, 4), (None, 4), call=CAUSAL, head_dim=2, num_query_heads=2, num_key_value_heads=1
    ),
    case(
        GQA,
        Q,
        (5, 6),
        head_dim=3,
        num_query_heads=2,
        num_key_value_heads=1,
        use_gate=True,
        use_bias=False,
        dropout=0.2,
    ),
    case(
        GQA,
        Q,
        (5, 6),
        tensors={"value_mask": (5,)},
        head_dim=3,
        num_query_heads=2,
        num_key_value_heads=1,
        sliding_window=3,
    ),
]
CASES = [*NORMALIZATIONS, *EINSUMS, *ACTIVATIONS, *PLAIN, *HEADS]
FIRST = {entry.layer: entry for entry in reversed(CASES)}
#: The first case of each layer and some others run always, the rest with the slow tests.
QUICK = [*FIRST.values(), NORMALIZATIONS[1], EINSUMS[4], PLAIN[2], HEADS[3], HEADS[6], HEADS[15]]
ENTRIES = [
    pytest.param(entry, id=str(entry), marks=() if entry in QUICK else pytest.mark.slow)
    for entry in CASES
]


def close(found: Any, expected: Any) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, RTOL, ATOL)


def same_weights(ours: Any, theirs: Any) -> None:
    """Random weights, positive where they are variances, in both models."""
    rng = np.random.default_rng(1)
    values = [rng.uniform(0.2, 1.0, w.shape).astype(w.dtype) for w in theirs.weights]
    theirs.set_weights(values)
    ours.set_weights(values)
    for layer in theirs.layers:  # Keras's Normalization computes with a copy of its weights
        getattr(layer, "finalize_state", lambda: None)()
    assert [v.path for v in ours.weights] == [w.path for w in theirs.weights]
    assert [v.trainable for v in ours.weights] == [w.trainable for w in theirs.weights]


def pair(entry: Case) -> tuple[Any, Any]:
    ours, theirs = entry.model(kcompile), entry.model(keras)
    same_weights(ours, theirs)
    return ours, theirs


def flat(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


@pytest.mark.parametrize("entry", ENTRIES)
def test_outputs_and_gradients_equal_keras(entry: Case) -> None:
    ours, theirs = pair(entry)
    arrays = entry.arrays(3)
    function = kcompile.as_function(ours)
    weights = {path: variable.numpy() for path, variable in ours.named_weights().items()}
    trained = [variable.path for variable in ours.trainable_weights]
    params = {path: weights[path] for path in trained}
    state = {path: array for path, array in weights.items() if path not in params}
    rng = np.random.default_rng(2)
    expected = flat(theirs(arrays))
    factors = [rng.normal(size=y.shape).astype("f") for y in expected]

    def loss(params: Any) -> Any:
        outputs, _ = function(params, state, arrays)
        outputs = flat(outputs)
        total = sum((y * c).sum() for y, c in zip(outputs, factors, strict=True))
        return total, outputs

    def their_loss(values: Any) -> Any:
        others = [variable.value for variable in theirs.non_trainable_variables]
        outputs, _ = theirs.stateless_call(values, others, arrays)
        return sum((y * c).sum() for y, c in zip(flat(outputs), factors, strict=True))

    (_, outputs), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    their_values = [variable.value for variable in theirs.trainable_variables]
    their_gradients = jax.jit(jax.grad(their_loss))(their_values)
    for found, wanted in zip(outputs, expected, strict=True):
        close(found, wanted)
    for path, wanted in zip(trained, their_gradients, strict=True):
        close(gradients[path], wanted)


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_exported_file_equals_keras(entry: Case) -> None:
    ours, theirs = pair(entry)
    executable = kcompile.compile(ours)  # verifies the file against the reference
    assert executable.report["opset"] == 17
    for batch in (1, 3):
        arrays = entry.arrays(batch)
        found = list(executable.run(dict(zip(ours.input_names, arrays, strict=True))).values())
        for y, expected in zip(found, flat(theirs(arrays)), strict=True):
            close(y, expected)


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=keras.saving.serialize_keras_object))


@pytest.mark.parametrize("entry", ENTRIES)
def test_configs_go_both_ways(entry: Case) -> None:
    ours, theirs = (entry.model(k).get_layer("layer") for k in (kcompile, keras))
    our_config, their_config = as_json(ours.get_config()), as_json(theirs.get_config())
    assert set(their_config) - set(our_config) <= INERT
    assert {key: their_config[key] for key in our_config} == our_config
    again = type(ours).from_config(their_config)
    assert as_json(again.get_config()) == our_config
    loaded = type(theirs).from_config(our_config)
    assert as_json(loaded.get_config()) == their_config
