"""Functional models: structures, order of layers, nesting, functions between layers."""

import keras
import numpy as np
import pytest

from kcompile import layers, losses, ops
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.models import Functional, Model, Sequential
from kcompile.runtimes import reference

RTOL = 1e-5


def residual(layers, model):
    x = layers.Input((4,), name="x")
    a = layers.Dense(4, name="a")(x)
    b = layers.Dense(4, name="b")(a)
    c = layers.Add(name="c")([x, b])
    d = layers.Add(name="d")([a, c])
    return model(x, layers.Dense(2, name="out")(d))


def branches_of_different_depth(layers, model):
    x = layers.Input((4,), name="x")
    long = x
    for i in range(3):
        long = layers.Dense(4, name=f"long_{i}")(long)
    short = layers.Dense(4, name="short")(x)
    middle = layers.Dense(4, name="middle_1")(layers.Dense(4, name="middle_0")(x))
    joined = layers.Concatenate(name="joined")([short, long, middle, x])
    return model(x, joined)


def two_inputs_and_a_shared_layer(layers, model):
    a, b = layers.Input((4,), name="a"), layers.Input((3,), name="b")
    shared = layers.Dense(4, name="shared")
    first = shared(a)
    second = shared(layers.Dense(4, name="before")(b))
    out = layers.Multiply(name="out")([second, first])
    return model([a, b], [out, shared(out)])


def outputs_at_different_depths(layers, model):
    x, y = layers.Input((4,), name="x"), layers.Input((4,), name="y")
    a = layers.Dense(4, name="a")(y)
    early = layers.Dense(1, name="early")(a)
    b = layers.Add(name="b")([a, layers.Dense(4, name="c")(x)])
    late = layers.Dense(2, name="late")(layers.Dense(3, name="d")(b))
    return model([y, x], [late, early, a])


def a_model_in_a_model(layers, model):
    inner_x = layers.Input((4,), name="inner_x")
    inner = model(inner_x, layers.Dense(4, name="inner_dense")(inner_x), name="inner")
    x = layers.Input((4,), name="x")
    skip = layers.Dense(4, name="skip")(x)
    y = inner(layers.Dense(4, name="before")(x))
    return model(x, layers.Add(name="sum")([inner(y), skip, y]))


def a_diamond_of_diamonds(layers, model):
    x = layers.Input((4,), name="x")
    top = layers.Dense(4, name="top")(x)
    left, right = layers.Dense(4, name="left")(top), layers.Dense(4, name="right")(top)
    low = layers.Dense(4, name="low")(left)
    first = layers.Add(name="first")([right, left])
    second = layers.Maximum(name="second")([low, right])
    return model(x, layers.Average(name="last")([second, first, top]))


TOPOLOGIES = [
    residual,
    branches_of_different_depth,
    two_inputs_and_a_shared_layer,
    outputs_at_different_depths,
    a_model_in_a_model,
    a_diamond_of_diamonds,
]


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda f: f.__name__)
def test_order_of_layers_and_outputs_equal_keras(topology):
    """Weight files go by the order of layers."""
    ours, theirs = topology(layers, Model), topology(keras.layers, keras.Model)
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    random = np.random.default_rng(0)
    values = [random.normal(size=w.shape).astype("f") for w in theirs.weights]
    ours.set_weights(values)
    theirs.set_weights(values)
    arrays = [random.normal(size=(3, *x.shape[1:])).astype("f") for x in theirs.inputs]
    inputs = arrays if len(arrays) > 1 else arrays[0]
    found, expected = ours(inputs), theirs(inputs)
    many = isinstance(expected, list)
    for a, b in zip(found if many else [found], expected if many else [expected], strict=True):
        np.testing.assert_allclose(a, b, RTOL, RTOL)


def run(model, **arrays):
    """The outputs of the model's graph, in the reference runtime."""
    weights = {path: variable.numpy() for path, variable in model.named_weights().items()}
    return reference.run(model.graph(), {**arrays, **weights})[0]


def test_dict_inputs_and_outputs():
    inputs = {"b": layers.Input((2,), name="b"), "a": layers.Input((2,), name="a")}
    outputs = {"sum": inputs["a"] + inputs["b"], "gap": inputs["a"] - inputs["b"]}
    model = Model(inputs, outputs)
    a, b = np.array([[1.0, 2.0]], "f"), np.array([[10.0, 20.0]], "f")
    result = model({"a": a, "b": b})
    assert set(result) == {"sum", "gap"}
    np.testing.assert_array_equal(result["gap"], a - b)
    np.testing.assert_array_equal(run(model, a=a, b=b)["gap"], a - b)
    np.testing.assert_array_equal(run(model, a=a, b=b)["sum"], a + b)


def test_a_dict_goes_by_input_names():
    a, b = layers.Input((2,), name="a"), layers.Input((2,), name="b")
    model = Model([a, b], a - b)
    x, y = np.ones((1, 2), "f"), np.zeros((1, 2), "f")
    np.testing.assert_array_equal(model({"b": y, "a": x}), x)
    with pytest.raises(SpecError, match=r"takes the inputs \['a', 'b'\], got \['a'\]"):
        model({"a": x})


def test_outputs_are_named_by_their_layers():
    model = outputs_at_different_depths(layers, Model)
    assert model.input_names == ["y", "x"]
    assert model.output_names == ["late", "early", "a"]
    assert [output.name for output in model.graph().outputs] == model.output_names


def test_one_layer_twice_among_the_outputs():
    x = layers.Input((2,), name="x")
    dense = layers.Dense(2, name="dense")
    model = Model(x, [dense(x), dense(dense(x))])
    assert model.output_names == ["dense", "dense_1"]


def test_an_input_is_an_output():
    x = layers.Input((2,), name="x")
    model = Model(x, [x, layers.ReLU(name="relu")(x)])
    value = np.array([[-1.0, 2.0]], "f")
    first, second = model(value)
    np.testing.assert_array_equal(first, value)
    np.testing.assert_array_equal(second, [[0, 2]])


def test_functions_and_operators_between_layers():
    x = layers.Input((4,), name="x")
    y = layers.Input((4,), name="y")
    h = ops.maximum(x, 0.0) * 2 - y / 4 + 1
    h = ops.concatenate([h, -x, x[:, :2]], axis=-1)
    model = Model([x, y], ops.softmax(h) ** 2)
    a, b = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("f")
    h = np.concatenate([np.maximum(a, 0) * 2 - b / 4 + 1, -a, a[:, :2]], -1)
    expected = (np.exp(h) / np.exp(h).sum(-1, keepdims=True)) ** 2
    np.testing.assert_allclose(model([a, b]), expected, 1e-4, 1e-6)
    np.testing.assert_allclose(list(run(model, x=a, y=b).values())[0], expected, 1e-4, 1e-6)
    assert [layer.name for layer in model.layers] == ["x", "y"]


def test_a_constant_array_in_a_functional_model():
    x = layers.Input((3,))
    weights = np.array([1.0, 2.0, 3.0], "f")
    np.testing.assert_array_equal(Model(x, x * weights)(np.ones((2, 3), "f")), [weights] * 2)


def test_nested_models_have_their_name_in_the_paths():
    model = a_model_in_a_model(layers, Model)
    assert "inner/inner_dense/kernel" in model.named_weights()
    assert model.get_layer("inner").get_layer("inner_dense").units == 4


def test_an_inner_tensor_is_an_input_of_a_smaller_model():
    x = layers.Input((4,), name="x")
    hidden = layers.Dense(3, name="hidden")(x)
    out = layers.Dense(2, name="out")(hidden)
    head = Model(hidden, out)
    value = np.ones((2, 3), "f")
    dense = head.get_layer("out")
    np.testing.assert_allclose(head(value), value @ dense.get_weights()[0], RTOL)
    assert len(head.weights) == 2


def test_two_open_axes_are_made_one():
    a, b = layers.Input((None, 3), name="a"), layers.Input((None, 3), name="b")
    model = Model([a, b], layers.Add()([a, b]))
    graph = model.graph()
    assert len({entry.type.shape[1] for entry in graph.inputs}) == 1
    x = np.ones((2, 5, 3), "f")
    np.testing.assert_array_equal(model([x, x]), x + x)
    with pytest.raises(ShapeError, match="broadcast"):
        model([x, np.ones((2, 4, 3), "f")])


def test_two_open_axes_stay_two_where_nothing_joins_them():
    a, b = layers.Input((None, 3), name="a"), layers.Input((None, 3), name="b")
    model = Model([a, b], layers.Concatenate(1)([a, b]))
    assert len({entry.type.shape[1] for entry in model.graph().inputs}) == 2
    x, y = np.ones((2, 5, 3), "f"), np.zeros((2, 4, 3), "f")
    assert model([x, y]).shape == (2, 9, 3)


def test_the_graph_is_the_same_each_time():
    from kcompile.ir.printer import print_graph

    model = residual(layers, Model)
    assert print_graph(model.graph()) == print_graph(model.graph())


def test_model_of_inputs_is_functional():
    model = residual(layers, Model)
    assert isinstance(model, Functional) and isinstance(model, Model)
    assert model.input_shape == (None, 4)
    assert model.output_shape == (None, 2)
    assert model.count_params() == 2 * 20 + 10


def test_initial_weights_depend_on_seed_and_path_alone():
    params, state = residual(layers, Model).init(0)
    again, _ = residual(layers, Model).init(0)
    other, _ = residual(layers, Model).init(1)
    assert not state
    for path, value in params.items():
        np.testing.assert_array_equal(value, again[path])
    assert not np.array_equal(params["a/kernel"], other["a/kernel"])
    assert not np.array_equal(params["a/kernel"], params["b/kernel"])


def test_a_subclass_of_model_made_of_inputs():
    x = layers.Input((4,))

    class Doubled(Model):
        def __init__(self, units):
            super().__init__()
            self.dense = layers.Dense(units)

        def call(self, inputs):
            return 2 * self.dense(inputs)

    inner = Doubled(3)
    model = Model(x, inner(x))
    value = np.ones((2, 4), "f")
    np.testing.assert_allclose(model(value), 2 * value @ inner.dense.get_weights()[0], RTOL)


# Errors


def test_an_output_that_needs_another_input():
    x, y = layers.Input((2,), name="x"), layers.Input((2,), name="y")
    with pytest.raises(SpecError, match="depends on 'y', which is not among the model's inputs"):
        Model(x, layers.Add(name="sum")([x, y]), name="m")


def test_two_layers_of_one_name():
    x = layers.Input((2,))
    h = layers.Dense(2, name="same")(x)
    with pytest.raises(SpecError, match="model 'm': two layers are named 'same'"):
        Model(x, layers.Dense(2, name="same")(h), name="m")


def test_inputs_that_are_no_tensors():
    with pytest.raises(SpecError, match="must be tensors made by Input"):
        Model(np.ones(3), layers.Input((2,)))
    with pytest.raises(SpecError, match="there are no outputs"):
        Model(layers.Input((2,)), [])


def test_a_wrong_number_of_inputs():
    model = two_inputs_and_a_shared_layer(layers, Model)
    with pytest.raises(SpecError, match="takes 2 inputs \\(a, b\\), got 1"):
        model(np.ones((2, 4), "f"))


def test_data_of_another_shape():
    model = residual(layers, Model)
    with pytest.raises(ShapeError, match="4"):
        model(np.ones((2, 5), "f"))


def test_no_such_layer():
    model = residual(layers, Model)
    with pytest.raises(SpecError, match="no layer 'nope'. Its layers are x, a"):
        model.get_layer("nope")
    assert model.get_layer(index=1).name == "a"


def test_model_without_anything():
    with pytest.raises(SpecError, match="Model needs inputs and outputs, or a subclass"):
        Model()


def test_a_loss_in_a_model_has_the_losses_shape():
    x, y = layers.Input((3,)), layers.Input((3,))
    assert Model([x, y], losses.mean_squared_error(x, y)).output_shape == (None,)


def test_a_sequential_in_a_functional_model():
    x = layers.Input((3,))
    stack = Sequential([layers.Dense(4, name="d0"), layers.Dense(2, name="d1")], name="stack")
    model = Model(x, stack(x))
    assert list(model.named_weights())[0] == "stack/d0/kernel"
    assert model(np.ones((5, 3), "f")).shape == (5, 2)
