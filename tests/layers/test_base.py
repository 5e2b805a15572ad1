"""What all layers do: weights and their paths, modes, custom layers, and errors."""

import numpy as np
import pytest

from kcompile import layers, ops
from kcompile.ir.errors import KCompileError, ShapeError, SpecError
from kcompile.ir.graph import Role
from kcompile.ir.ops import Dropout
from kcompile.models import Model, Sequential
from kcompile.ops.trace import Trace


class Affine(layers.Layer):
    """`x * scale + offset`, one of each per column."""

    def build(self, input_shape):
        self.scale = self.add_weight((input_shape[-1],), "ones", name="scale")
        self.offset = self.add_weight((input_shape[-1],), "zeros", name="offset")

    def call(self, inputs):
        return inputs * self.scale + self.offset


class Block(layers.Layer):
    """Sublayers in an attribute, a list and a dict."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = layers.Dense(units, name="first")
        self.rest = [layers.Dense(units, name=f"rest_{i}") for i in range(2)]
        self.named = {"norm": layers.BatchNormalization(name="norm"), "affine": Affine(name="aff")}

    def call(self, inputs, training=False):
        x = self.first(inputs)
        for layer in self.rest:
            x = layer(x)
        return self.named["affine"](self.named["norm"](x, training=training))


class Counter(layers.Layer):
    """Adds how often it was called in training."""

    def build(self, input_shape):
        self.calls = self.add_weight((), "zeros", trainable=False, name="calls")

    def call(self, inputs, training=False):
        if training:
            self.calls.assign_add(1.0)
        return inputs + self.calls


def model_of(*stack, shape=(3,)):
    tensor = first = layers.Input(shape)
    for layer in stack:
        tensor = layer(tensor)
    return Model(first, tensor)


# Custom layers


def test_a_custom_layer_computes_eagerly_and_in_a_model():
    layer = Affine()
    x = np.arange(6, dtype="f").reshape(2, 3)
    np.testing.assert_array_equal(layer(x), x)
    layer.set_weights([np.full(3, 2.0, "f"), np.ones(3, "f")])
    np.testing.assert_array_equal(layer(x), 2 * x + 1)
    np.testing.assert_array_equal(model_of(layer)(x), 2 * x + 1)


def test_sublayers_are_found_in_attributes_lists_and_dicts():
    model = model_of(Block(4, name="block"))
    assert list(model.named_weights()) == [
        "block/first/kernel",
        "block/first/bias",
        "block/rest_0/kernel",
        "block/rest_0/bias",
        "block/rest_1/kernel",
        "block/rest_1/bias",
        "block/aff/scale",
        "block/aff/offset",
        "block/norm/gamma",
        "block/norm/beta",
        "block/norm/moving_mean",
        "block/norm/moving_variance",
    ]
    assert len(model.trainable_weights) == 10
    assert len(model.non_trainable_weights) == 2


def test_paths_of_weights_are_those_in_the_graph():
    model = model_of(Block(4, name="block"))
    assert [v.path for v in model.weights] == list(model.named_weights())
    graph = model.graph()
    inputs = [entry.name for entry in graph.inputs_with(Role.PARAM, Role.STATE)]
    assert sorted(inputs) == sorted(model.named_weights())
    assert all(node.source.startswith("block") for node in graph.nodes)


def test_equal_names_inside_different_layers_have_different_paths():
    class Twice(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.a = layers.Dense(3, name="same")
            self.b = layers.Dense(3, name="same")

        def call(self, inputs):
            return self.b(self.a(inputs))

    model = model_of(Twice(name="twice"), Twice(name="again"))
    names = list(model.named_weights())
    assert len(set(names)) == len(names) == 8
    assert names[:4] == [
        "twice/same/kernel",
        "twice/same/bias",
        "twice/same/kernel_1",
        "twice/same/bias_1",
    ]
    model.graph()


def test_a_shared_layer_has_its_weights_once():
    dense = layers.Dense(3, name="shared")
    a, b = layers.Input((3,), name="a"), layers.Input((3,), name="b")
    model = Model([a, b], layers.Add()([dense(a), dense(dense(b))]))
    assert list(model.named_weights()) == ["shared/kernel", "shared/bias"]
    x = np.random.default_rng(0).normal(size=(2, 2, 3)).astype("f")
    kernel, bias = dense.get_weights()
    expected = x[0] @ kernel + bias + ((x[1] @ kernel + bias) @ kernel + bias)
    np.testing.assert_allclose(model(list(x)), expected, rtol=1e-5, atol=1e-6)


def test_weights_of_the_same_layer_object_kept_twice_count_once():
    class Tied(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.encoder = layers.Dense(3)
            self.alias = self.encoder

        def call(self, inputs):
            return self.alias(self.encoder(inputs))

    assert len(model_of(Tied()).weights) == 2


def test_a_custom_layer_has_a_config():
    config = Block(4, name="block").get_config()
    assert config["units"] == 4 and config["name"] == "block"
    assert Block.from_config(config).first.units == 4


def test_an_argument_that_is_not_kept_has_no_config():
    class Forgetful(layers.Layer):
        def __init__(self, size, **kwargs):
            super().__init__(**kwargs)

        def call(self, inputs):
            return inputs

    with pytest.raises(SpecError, match="no attribute 'size'"):
        Forgetful(3).get_config()


# Training


def test_freezing_a_layer_freezes_what_is_inside():
    block = Block(4)
    model = model_of(block)
    block.trainable = False
    assert model.trainable_weights == []
    assert not model.graph(training=True).updates
    block.trainable = True
    assert len(model.trainable_weights) == 10
    assert len(model.non_trainable_weights) == 2
    assert len(model.graph(training=True).updates) == 2


def test_a_layer_made_frozen_stays_so_when_built():
    layer = layers.Dense(3, trainable=False)
    model_of(layer)
    assert layer.trainable_weights == [] and len(layer.non_trainable_weights) == 2


def test_freezing_reaches_layers_made_in_build():
    class Late(layers.Layer):
        def build(self, input_shape):
            self.inner = layers.Dense(2)

        def call(self, inputs):
            return self.inner(inputs)

    layer = Late(trainable=False)
    model_of(layer)
    assert layer.trainable_weights == [] and len(layer.weights) == 2


def test_state_changes_in_training_only():
    layer = Counter()
    x = np.zeros((1, 2), "f")
    layer(x)
    assert layer.calls.numpy() == 0
    layer(x, training=True)
    layer(x, training=True)
    assert layer.calls.numpy() == 2
    np.testing.assert_array_equal(layer(x), x + 2)


def test_state_read_after_an_assignment_is_the_new_one():
    model = model_of(Counter(name="counter"), shape=(2,))
    assert not model.graph().updates
    (update,) = model.graph(training=True).updates
    assert update.state.name == "counter/calls"


def test_a_trainable_weight_cannot_be_assigned_in_call():
    class Wrong(Affine):
        def call(self, inputs):
            self.scale.assign(self.scale * 2)
            return inputs

    with pytest.raises(SpecError, match="trainable weight cannot be assigned"):
        Wrong()(np.ones((2, 3), "f"))


def test_dropout_asked_for_by_the_model_stays_in_inference():
    x = layers.Input((3,))
    kept = Model(x, layers.Dropout(0.5)(x, training=True))
    gone = Model(x, layers.Dropout(0.5)(x))
    (node,) = [node for node in kept.graph().nodes if isinstance(node.op, Dropout)]
    assert node.op.forced
    assert not gone.graph().nodes
    assert any(isinstance(node.op, Dropout) for node in gone.graph(training=True).nodes)


def test_training_false_in_the_model_holds_in_training():
    x = layers.Input((3,))
    model = Model(x, layers.BatchNormalization()(x, training=False))
    graph = model.graph(training=True)
    assert not graph.updates
    assert [type(node.op).__name__ for node in graph.nodes] == ["BatchNorm"]


def test_the_mode_reaches_nested_layers():
    model = model_of(Block(4), Counter())
    assert len(model.graph(training=True).updates) == 3
    nested = Sequential([layers.Input((3,)), layers.Dropout(0.5)])
    graph = model_of(nested).graph(training=True)
    assert any(isinstance(node.op, Dropout) for node in graph.nodes)


def test_each_dropout_has_a_stream_of_its_own():
    graph = model_of(layers.Dropout(0.5), layers.Dropout(0.5)).graph(training=True)
    streams = [node.op.stream for node in graph.nodes if isinstance(node.op, Dropout)]
    assert len(set(streams)) == 2


# Names


def test_automatic_names_count_up():
    a, b = layers.MaxPooling2D(), layers.MaxPooling2D()
    assert a.name.startswith("max_pooling2d")
    assert a.name != b.name


# Errors


def call(layer, *shape):
    return lambda: layer()(np.ones(shape, "f"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Dense(2.5), "units must be a positive integer, got 2.5"),
        (lambda: layers.Dense(0), "units must be a positive integer, got 0"),
        (lambda: layers.Dense(3, unit=4), "Dense has no argument 'unit'"),
        (lambda: layers.Dense(3, activation="rely"), "'rely' is not an activation"),
        (lambda: layers.Dense(3, kernel_initializer="glorot"), "unknown initializer 'glorot'"),
        (lambda: layers.Dense(3, name="a/b"), "is not a name for a layer"),
        (lambda: layers.Conv2D(3, 3, padding="full"), "padding is 'valid' or 'same'"),
        (lambda: layers.Conv2D(3, (3, 3, 3)), "kernel_size needs 2 positive integers"),
        (lambda: layers.Conv2D(3, 3, groups=2), "positive multiple of groups"),
        (lambda: layers.MaxPooling2D(0), "pool_size needs 2 positive integers"),
        (lambda: layers.Dropout(1.5), "rate must be in"),
        (lambda: layers.Permute((0, 1)), "do not permute"),
        (lambda: layers.Input(), "needs shape or batch_shape"),
        (call(lambda: layers.Conv2D(3, 3), 2, 5, 4), "needs an input of rank 4"),
        (call(lambda: layers.MaxPooling2D(), 2, 5, 4), "needs an input of rank 4"),
        (call(lambda: layers.Conv2D(3, 3, groups=3), 1, 5, 5, 4), "do not divide into 3 groups"),
        (
            call(lambda: layers.Reshape((3, 5)), 2, 4),
            "elements do not divide|keeps the number of elements",
        ),
        (call(lambda: layers.Reshape((-1, 3)), 2, 4), "do not divide into"),
        (call(lambda: layers.Permute((2, 1)), 2, 4), "out of range for rank 2"),
        (call(lambda: layers.Add(), 2, 4), "needs a list of at least 2 tensors"),
    ],
)
def test_errors_name_the_layer_and_the_rule(make, message):
    with pytest.raises(SpecError, match=message) as caught:
        make()
    # Activations and initializers are looked up by themselves, without knowing for which layer.
    assert caught.value.where is not None or "activation" in message or "initializer" in message


def test_inputs_that_do_not_fit_weights_are_refused():
    dense = layers.Dense(3, name="fc")
    dense(np.ones((2, 4), "f"))
    with pytest.raises(ShapeError, match="fc"):
        dense(np.ones((2, 5), "f"))


def test_shapes_that_do_not_broadcast_are_refused():
    with pytest.raises(ShapeError, match="merge.*do not broadcast"):
        layers.Add(name="merge")([np.ones((2, 3), "f"), np.ones((2, 4), "f")])


def test_a_weight_of_open_size_is_refused():
    with pytest.raises(ShapeError, match="layer 'fc': the weight 'kernel' needs sizes"):
        layers.Dense(3, name="fc")(layers.Input((None,)))


def test_a_layer_without_call_is_refused():
    class Empty(layers.Layer):
        pass

    with pytest.raises(NotImplementedError, match="Empty has no call"):
        Empty()(np.ones((2, 3), "f"))


def test_symbolic_tensors_have_no_truth_value_and_no_numbers():
    x = layers.Input((3,))
    with pytest.raises(TypeError, match="no truth value"):
        bool(x > 0)
    with pytest.raises(TypeError, match="no numbers"):
        np.asarray(x)


def test_a_tensor_of_one_call_cannot_be_kept_for_another():
    class Hoarder(layers.Layer):
        def call(self, inputs):
            self.kept = getattr(self, "kept", inputs)
            return self.kept + inputs

    layer = Hoarder()
    layer(np.ones((2, 3), "f"))
    with pytest.raises(SpecError, match="belongs to another graph"):
        layer(np.ones((2, 3), "f"))


def test_set_weights_is_all_or_nothing():
    layer = layers.Dense(3)
    layer(np.ones((2, 4), "f"))
    before = layer.get_weights()
    with pytest.raises(SpecError, match="has 2 weights, got 1"):
        layer.set_weights(before[:1])
    with pytest.raises(SpecError, match="got shape"):
        layer.set_weights([np.ones((4, 3), "f"), np.ones(4, "f")])
    for now, then in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_errors_are_raised_where_the_layer_is_in_a_model():
    class Outer(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = layers.Conv2D(3, 3, name="inner")

        def call(self, inputs):
            return self.inner(inputs)

    with pytest.raises(KCompileError, match="inner"):
        Outer(name="outer")(np.ones((2, 3), "f"))


def test_trace_is_left_after_an_error():
    with pytest.raises(ShapeError):
        layers.Conv2D(3, 3)(np.ones((2, 3), "f"))
    with Trace("t").active():
        pass
    np.testing.assert_array_equal(ops.relu(np.array([-1.0, 2.0], "f")), [0, 2])
