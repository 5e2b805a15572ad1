"""What holds for every case: numbers, training, exported file and config are those of Keras."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np

import kcompile
from kcompile.formats import from_json
from kcompile.ir.printer import print_graph
from kcompile.runtimes import reference
from tests.conformance.case import Case

RTOL, ATOL = 1e-4, 1e-5
#: Config keys of Keras that say nothing here: `from_config` accepts them at their defaults.
INERT = {
    *("quantization_config", "lora_rank", "lora_alpha"),
    *kcompile.layers.BatchNormalization.inert_config,
}


def close(found: Any, expected: Any, what: str = "") -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype), what
    np.testing.assert_allclose(found, expected, RTOL, ATOL, err_msg=what)


def all_close(found: Any, expected: Any) -> None:
    found, expected = flat(found), flat(expected)
    assert len(found) == len(expected)
    for number, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        close(ours, theirs, f"output {number}")


def flat(outputs: Any) -> list[Any]:
    return list(jax.tree.leaves(outputs))


def pair(case: Case) -> tuple[Any, Any]:
    """The model by ours and by Keras, with the same weights, positive where they are variances."""
    keras.backend.clear_session()
    ours, theirs = case.model(kcompile), case.model(keras)
    rng = np.random.default_rng(1)
    values = [_weight(rng, weight) for weight in theirs.weights]
    theirs.set_weights(values)
    ours.set_weights(values)
    for layer in theirs.layers:  # Keras's Normalization computes with a copy of its weights
        getattr(layer, "finalize_state", lambda: None)()
    assert [v.name for v in ours.weights] == [w.name for w in theirs.weights]
    assert [v.trainable for v in ours.weights] == [w.trainable for w in theirs.weights]
    return ours, theirs


def _weight(rng: np.random.Generator, weight: Any) -> Any:
    values = rng.uniform(0.2, 1.0, weight.shape)
    if "variance" not in weight.name:
        values *= rng.choice([-1, 1], weight.shape)
    return values.astype(str(weight.dtype))


def packed(arrays: list[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else arrays


def outputs_and_gradients(case: Case) -> None:
    """Outputs, gradients by every weight and every input of floats: XLA's are Keras's.

    The reference computes the same outputs.
    """
    ours, theirs = pair(case)
    inputs = case.arrays(ours, 3)
    expected = flat(theirs(packed(inputs)))
    (outputs, found), (by_keras, wanted) = (
        _our_gradients(ours, inputs, expected),
        _their_gradients(theirs, inputs, expected),
    )
    all_close(outputs, by_keras)
    for name, gradient in wanted.items():
        close(found[name], gradient, f"gradient by {name}")
    all_close(by_reference(ours, inputs), expected)


def _factors(outputs: list[Any]) -> list[Any]:
    rng = np.random.default_rng(2)
    return [rng.normal(size=y.shape).astype("f") for y in outputs]


def _projection(outputs: Any, factors: list[Any]) -> Any:
    return sum((y * factor).sum() for y, factor in zip(flat(outputs), factors, strict=True))


def _floats(inputs: list[Any]) -> dict[str, Any]:
    return {f"input {i}": x for i, x in enumerate(inputs) if x.dtype.kind == "f"}


def _our_gradients(model: Any, inputs: list[Any], expected: list[Any]) -> tuple[Any, Any]:
    function = kcompile.as_function(model)
    weights = {path: variable.numpy() for path, variable in model.named_weights().items()}
    paths = {variable: path for path, variable in model.named_weights().items()}
    trained = [paths[variable] for variable in model.trainable_weights]
    state = {path: array for path, array in weights.items() if path not in trained}
    factors = _factors(expected)

    def loss(values: Any) -> Any:
        params = {path: values[f"weight {i}"] for i, path in enumerate(trained)}
        given = [values.get(f"input {i}", x) for i, x in enumerate(inputs)]
        outputs, _ = function(params, state, packed(given))
        return _projection(outputs, factors), outputs

    return _differentiate(loss, [weights[path] for path in trained], inputs)


def _their_gradients(model: Any, inputs: list[Any], expected: list[Any]) -> tuple[Any, Any]:
    fixed = [variable.value for variable in model.non_trainable_variables]
    weights = [variable.value for variable in model.trainable_variables]
    factors = _factors(expected)

    def loss(values: Any) -> Any:
        params = [values[f"weight {i}"] for i in range(len(weights))]
        given = [values.get(f"input {i}", x) for i, x in enumerate(inputs)]
        outputs, _ = model.stateless_call(params, fixed, packed(given))
        return _projection(outputs, factors), outputs

    return _differentiate(loss, weights, inputs)


def _differentiate(loss: Any, weights: list[Any], inputs: list[Any]) -> tuple[Any, Any]:
    values = {f"weight {i}": array for i, array in enumerate(weights)} | _floats(inputs)
    (_, outputs), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(values)
    return outputs, gradients


def three_training_steps(case: Case) -> None:
    """Weights and statistics after three updates of four rows are Keras's."""
    ours, theirs = pair(case)
    x = packed([np.concatenate([row] * 3) for row in case.arrays(ours, 4)])
    outputs = flat(theirs(x))
    rng = np.random.default_rng(3)
    y = [rng.normal(size=output.shape).astype("f") for output in outputs]
    for model in (ours, theirs):
        model.compile("sgd", ["mse"] * len(y) if len(y) > 1 else "mse")
        model.fit(x, packed(y), batch_size=4, epochs=1, shuffle=False, verbose=0)
    for variable, weight in zip(ours.weights, theirs.weights, strict=True):
        close(variable.numpy(), weight.numpy(), variable.path)


def exported_file(case: Case) -> None:
    """The file, verified against the reference, computes what Keras does at two batches.

    The verification itself runs two batches and two lengths, with all optimizations off and on.
    """
    ours, theirs = pair(case)
    executable = kcompile.compile(ours)
    assert executable.report["verification"]["kcompile.verification.status"] == "passed"
    for batch, length in ((1, 7), (3, 5)):
        arrays = case.arrays(ours, batch, length)
        found = executable.run(dict(zip(ours.input_names, arrays, strict=True)))
        all_close(list(found.values()), theirs(packed(arrays)))


def configs(case: Case) -> None:
    """Our config is Keras's, and each library makes the layer from the other's."""
    ours, theirs = case.instance(kcompile), case.instance(keras)
    our_config, their_config = as_json(ours.get_config()), as_json(theirs.get_config())
    assert set(their_config) - set(our_config) <= INERT
    assert {key: their_config.get(key) for key in our_config} == our_config
    again = type(ours).from_config(their_config)
    assert as_json(again.get_config()) == our_config
    loaded = type(theirs).from_config(our_config)
    assert as_json(loaded.get_config()) == their_config


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=keras.saving.serialize_keras_object))


def architecture(case: Case) -> None:
    """Each library reads the other's JSON as the model that its own code makes."""
    ours, theirs, loaded = same_architecture(case.model)
    assert as_json(loaded.get_config()) == as_json(theirs.get_config())
    again = from_json(theirs.to_json())
    if print_graph(again.graph()) != print_graph(ours.graph()):
        # Keras writes masks as steps of their own: the nodes may differ, the numbers do not.
        again.set_weights(ours.get_weights())
        inputs = case.arrays(ours, 3)
        all_close(by_reference(again, inputs), by_reference(ours, inputs))


def same_architecture(make: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
    """The model by ours, by Keras, and by Keras from our JSON, of which ours make ours again."""
    kcompile.utils.clear_session()
    keras.backend.clear_session()
    ours, theirs = make(kcompile), make(keras)
    text = ours.to_json()
    again = from_json(text)
    assert again.to_json() == text
    assert print_graph(again.graph()) == print_graph(ours.graph())
    keras.backend.clear_session()
    return ours, theirs, keras.models.model_from_json(text)


def by_reference(model: Any, inputs: list[Any]) -> list[Any]:
    graph = model.graph()
    arrays = {path: variable.numpy() for path, variable in model.named_weights().items()}
    arrays |= dict(zip(model.input_names, inputs, strict=True))
    results, _ = reference.run(graph, {entry.name: arrays[entry.name] for entry in graph.inputs})
    return [np.asarray(y) for y in results.values()]
