"""Losses and steps that a model defines itself, as pure functions in Keras's form."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kcompile
from kcompile import layers, metrics, ops, optimizers
from kcompile.ir.errors import NonFiniteLossError, SpecError, TrainingError

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((40, 3)).astype(np.float32)
Y = (X.sum(axis=1, keepdims=True) + 0.1).astype(np.float32)
W = RANDOM.random(40).astype(np.float32)


class Plain(kcompile.Model):
    def __init__(self):
        super().__init__(name="plain")
        self.first = layers.Dense(4, activation="tanh", kernel_regularizer="l2", name="first")
        self.norm = layers.BatchNormalization(name="norm")
        self.last = layers.Dense(1, name="last")

    def call(self, x, training=False):
        return self.last(self.norm(self.first(x), training=training))


class Inherited(Plain):
    """Steps that do what the built-in ones do."""

    def train_step(self, state, data):
        return super().train_step(state, data)

    def test_step(self, state, data):
        return super().test_step(state, data)

    def predict_step(self, state, data):
        return super().predict_step(state, data)


def steps_of(base):
    """A model with a step like that of Keras's guide to training with JAX."""

    class Written(base):
        def compute_loss_and_updates(self, trainable, non_trainable, x, y, training=False):
            y_pred, non_trainable = self.stateless_call(
                trainable, non_trainable, x, training=training
            )
            return self.compute_loss(x, y, y_pred), (y_pred, non_trainable)

        def train_step(self, state, data):
            trainable, non_trainable, slots, measured = state
            x, y = data
            gradient = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
            (loss, (y_pred, non_trainable)), grads = gradient(
                trainable, non_trainable, x, y, training=True
            )
            trainable, slots = self.optimizer.stateless_apply(slots, grads, trainable)
            logs, new = {}, []
            for metric in self.metrics:
                values = measured[len(new) : len(new) + len(metric.variables)]
                if metric.name == "loss":
                    values = metric.stateless_update_state(values, loss)
                else:
                    values = metric.stateless_update_state(values, y, y_pred)
                logs[metric.name] = metric.stateless_result(values)
                new += values
            return logs, (trainable, non_trainable, slots, new)

    return Written


def functional(library, base=None):
    base = base or library.Model
    inputs = library.Input((3,))
    hidden = library.layers.Dense(4, activation="tanh")(inputs)
    return base(inputs, library.layers.Dense(1)(hidden))


def trained(model, weights=None, optimizer=None, **options):
    model.build((None, 3))
    if weights is not None:
        model.set_weights(weights)
    model.compile(optimizer or optimizers.Adam(0.01), "mse", metrics=["mae"])
    model.trainer._seed = 3
    options = {"batch_size": 16, "epochs": 3, "verbose": 0, **options}
    return model.fit(X, Y, **options).history


@pytest.mark.parametrize("weighted", [False, True])
def test_steps_that_are_inherited_give_what_the_built_in_ones_give(weighted):
    plain, own = Plain(), Inherited()
    plain.build((None, 3))
    weights = plain.get_weights()
    given = {"sample_weight": W} if weighted else {}
    # Adam would make steps as large as any other of gradients that are nothing but rounding.
    expected, history = (
        trained(
            model,
            weights,
            optimizers.SGD(0.05, momentum=0.9),
            validation_data=(X, Y),
            **given,
        )
        for model in (plain, own)
    )
    assert sorted(history) == ["loss", "mae", "val_loss", "val_mae"]
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5)
    for a, b in zip(own.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        own.predict(X, verbose=0), plain.predict(X, verbose=0), rtol=1e-5, atol=1e-6
    )
    assert own.evaluate(X, Y, verbose=0) == pytest.approx(plain.evaluate(X, Y, verbose=0))
    assert own.train_on_batch(X, Y) == pytest.approx(plain.train_on_batch(X, Y), rel=1e-5)


def test_a_step_written_for_keras_gives_what_it_gives_there():
    theirs = functional(keras)
    written = steps_of(keras.Model)(theirs.inputs, theirs.outputs)

    class Ours(steps_of(kcompile.Model)):
        def __init__(self):
            super().__init__()
            self.hidden = layers.Dense(4, activation="tanh")
            self.out = layers.Dense(1)

        def call(self, x):
            return self.out(self.hidden(x))

    ours = Ours()
    ours.build((None, 3))
    ours.set_weights(written.get_weights())
    for library, model in ((kcompile, ours), (keras, written)):
        rate = library.optimizers.schedules.ExponentialDecay(0.05, 2, 0.5)
        model.compile(library.optimizers.RMSprop(rate), "mse")
        model.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), written.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert int(ours.optimizer.variables[0].numpy()) == ours.optimizer.iterations == 6


class Adversaries(kcompile.Model):
    """A generator of numbers and a discriminator, each with an optimizer of its own."""

    def __init__(self):
        super().__init__()
        self.generator = kcompile.Sequential([kcompile.Input((2,)), layers.Dense(3)])
        self.discriminator = kcompile.Sequential(
            [kcompile.Input((3,)), layers.Dense(8, activation="relu"), layers.Dense(1)]
        )
        self.built = True

    def compile(self, d_optimizer, g_optimizer):
        super().compile()
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
        d_optimizer.build(self.discriminator.trainable_variables)
        g_optimizer.build(self.generator.trainable_variables)

    def train_step(self, state, data):
        trainable, non_trainable, slots, measured = state
        g_count = len(self.generator.trainable_variables)
        d_count = len(self.d_optimizer.variables)
        generator, discriminator = trainable[:g_count], trainable[g_count:]
        d_slots, g_slots = slots[:d_count], slots[d_count:]
        noise = kcompile.random.normal((data.shape[0], 2))

        def score(discriminator, rows):
            return self.discriminator.stateless_call(discriminator, [], rows)[0]

        def d_loss(discriminator):
            fake, _ = self.generator.stateless_call(generator, [], noise)
            real = jax.nn.softplus(-score(discriminator, data)).mean()
            return real + jax.nn.softplus(score(discriminator, fake)).mean()

        def g_loss(generator):
            fake, _ = self.generator.stateless_call(generator, [], noise)
            return jax.nn.softplus(-score(discriminator, fake)).mean()

        loss_d, gradients = jax.value_and_grad(d_loss)(discriminator)
        discriminator, d_slots = self.d_optimizer.stateless_apply(d_slots, gradients, discriminator)
        loss_g, gradients = jax.value_and_grad(g_loss)(generator)
        generator, g_slots = self.g_optimizer.stateless_apply(g_slots, gradients, generator)
        logs = {"d_loss": loss_d, "g_loss": loss_g, "noise": noise[0, 0]}
        return logs, (generator + discriminator, non_trainable, d_slots + g_slots, measured)


def test_two_optimizers():
    kcompile.utils.set_random_seed(0)
    model = Adversaries()
    model.compile(optimizers.Adam(0.02), optimizers.SGD(0.01, momentum=0.5))
    random = np.random.default_rng(0)
    real = random.standard_normal((64, 3)).astype(np.float32) + 4
    seen = []
    kept = kcompile.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(logs["noise"])
    )
    history = model.fit(real, epochs=40, batch_size=32, verbose=0, callbacks=[kept]).history
    assert sorted(history) == ["d_loss", "g_loss", "noise"]
    assert len(set(seen)) == 80  # every step has noise of its own
    fake = model.generator.predict(random.standard_normal((200, 2)), verbose=0)
    assert np.abs(fake.mean(axis=0)).max() > 0.3  # it moved towards the real rows
    assert [int(o.variables[0].numpy()) for o in (model.d_optimizer, model.g_optimizer)] == [80, 80]
    assert len(model.d_optimizer.variables) == 3 + 2 * 4
    model.fit(real, epochs=1, batch_size=32, verbose=0)
    assert int(model.d_optimizer.variables[0].numpy()) == 82


def test_an_optimizer_that_is_not_built_is_refused():
    model = Plain()
    model.build((None, 3))
    model.other = optimizers.SGD()
    model.__class__ = Inherited
    model.compile("sgd", "mse")
    with pytest.raises(TrainingError, match="not built"):
        model.fit(X, Y, verbose=0)


def test_callbacks_change_the_learning_rate_of_own_steps():
    plain, own = Plain(), Inherited()
    plain.build((None, 3))
    weights = plain.get_weights()
    for model in (plain, own):
        halve = kcompile.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
        trained(model, weights, optimizers.SGD(0.1, momentum=0.9), callbacks=[halve])
    for a, b in zip(own.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["train_step", "test_step"])
def test_a_state_of_another_form_is_refused(name):
    model = type("Wrong", (Plain,), {name: lambda self, state, data: ({}, state[:-1])})()
    model.build((None, 3))
    model.compile("sgd", "mse")
    with pytest.raises(TrainingError, match="lists of"):
        model.fit(X, Y, validation_data=(X, Y), verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_a_loss_of_nan_in_an_own_step():
    class Broken(Plain):
        def train_step(self, state, data):
            return {"loss": jnp.float32(jnp.nan)}, state

    model = Broken()
    model.build((None, 3))
    model.compile("sgd", "mse")
    with pytest.raises(NonFiniteLossError, match="own step"):
        model.fit(X, Y, verbose=0)
    history = model.fit(X, Y, verbose=0, epochs=3, callbacks=[kcompile.callbacks.TerminateOnNaN()])
    assert np.isnan(history.history["loss"]).tolist() == [True]


def test_compute_loss_is_a_part_of_the_program():
    class Ours(Plain):
        def __init__(self):
            super().__init__()
            self.tracker = metrics.Mean(name="distance")

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            assert sample_weight is None
            assert isinstance(training, bool)
            distance = ops.mean(ops.abs(y - y_pred)) + 0.0 * ops.sum(x)
            self.tracker.update_state(distance)
            return distance + sum(self.losses)

    plain, own = Plain(), Ours()
    plain.build((None, 3))
    weights = plain.get_weights()
    own.build((None, 3))
    own.set_weights(weights)
    for model, loss in ((plain, "mae"), (own, None)):
        model.compile(optimizers.SGD(0.1), loss)
        model.trainer._seed = 3
        model.fit(X, Y, batch_size=16, epochs=2, verbose=0)
    for a, b in zip(own.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert sorted(own.history.history) == ["distance", "loss"]
    assert own.history.history["loss"][-1] == pytest.approx(
        plain.history.history["loss"][-1], rel=1e-5
    )
    assert own.history.history["distance"][-1] < own.history.history["loss"][-1]


def test_a_loss_with_sample_weights_and_super():
    class Doubled(Plain):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            assert sample_weight is not None
            return 2.0 * super().compute_loss(x, y, y_pred, sample_weight, training)

    plain, own = Plain(), Doubled()
    plain.build((None, 3))
    weights = plain.get_weights()
    expected = trained(plain, weights, optimizers.SGD(0.1), sample_weight=W)
    history = trained(own, weights, optimizers.SGD(0.05), sample_weight=W)
    np.testing.assert_allclose(history["loss"], 2 * np.array(expected["loss"]), rtol=1e-5)


def test_compute_loss_must_return_a_scalar():
    class Vector(Plain):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ops.abs(y - y_pred)

    model = Vector()
    model.build((None, 3))
    model.compile("sgd")
    with pytest.raises(SpecError, match="scalar"):
        model.fit(X, Y, verbose=0)


class Penalized(layers.Layer):
    def call(self, x):
        self.add_loss(ops.mean(ops.square(x)))
        return x


def test_losses_of_a_call_and_of_weights():
    layer = Penalized()
    layer(X)
    assert [float(loss) for loss in layer.losses] == pytest.approx([np.square(X).mean()])
    dense = layers.Dense(2, kernel_regularizer=kcompile.regularizers.L2(0.5))
    dense(X)
    expected = 0.5 * np.square(dense.kernel.numpy()).sum()
    assert [float(loss) for loss in dense.losses] == pytest.approx([expected])
    outputs, states, losses = layer.stateless_call([], [], 2 * X, return_losses=True)
    assert states == []
    assert [float(loss) for loss in losses] == pytest.approx([4 * np.square(X).mean()])
    assert float(layer.losses[0]) == pytest.approx(np.square(X).mean())  # it was pure
    with pytest.raises(SpecError, match="needs 2 values, got 1"):
        dense.stateless_call([dense.kernel.array], [], X)


def test_add_loss_counts_in_inherited_steps():
    def make(base):
        class Added(base):
            def call(self, x, training=False):
                self.add_loss(0.3 * ops.mean(ops.square(x)))
                return super().call(x, training=training)

        return Added()

    plain, own = make(Plain), make(Inherited)
    plain.build((None, 3))
    weights = plain.get_weights()
    np.testing.assert_allclose(
        trained(own, weights)["loss"], trained(plain, weights)["loss"], rtol=1e-5
    )


def test_metrics_as_pure_functions():
    ours, theirs = metrics.MeanSquaredError(), keras.metrics.MeanSquaredError()
    values = ours.stateless_reset_state()
    expected = theirs.stateless_reset_state()
    update = jax.jit(ours.stateless_update_state)
    for rows in (slice(0, 10), slice(10, 40)):
        values = update(values, Y[rows], X[rows, :1])
        expected = theirs.stateless_update_state(expected, Y[rows], X[rows, :1])
    result = float(ours.stateless_result(values))
    assert result == pytest.approx(float(theirs.stateless_result(expected)), rel=1e-6)
    assert float(ours.result()) == 0.0
    with pytest.raises(SpecError, match="2 variables"):
        ours.stateless_result(values[:1])


@pytest.mark.parametrize("rate", ["number", "schedule"])
def test_optimizers_as_pure_functions(rate):
    results = []
    for library in (kcompile, keras):
        schedule = library.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
        optimizer = library.optimizers.Adam(0.1 if rate == "number" else schedule, clipnorm=0.5)
        dense = library.layers.Dense(2, kernel_constraint=library.constraints.NonNeg())
        dense.build((None, 3))
        dense.set_weights([X[:3, :2], X[4, :2]])
        optimizer.build(dense.trainable_variables)
        weights = [jnp.asarray(w) for w in dense.get_weights()]
        state = [jnp.asarray(v.value) for v in optimizer.variables]
        step = jax.jit(optimizer.stateless_apply)
        for number in range(3):
            grads = [jnp.asarray(X[number : number + 3, :2]), jnp.asarray(X[number, :2])]
            weights, state = step(state, grads, weights)
        results.append([np.asarray(w) for w in weights])
        assert int(state[0]) == 3
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_an_optimizer_applies_gradients_to_weights():
    dense = layers.Dense(1)
    dense.build((None, 3))
    before = dense.get_weights()
    optimizer = optimizers.SGD(0.5)
    optimizer.build(dense.trainable_variables)
    optimizer.apply([np.ones((3, 1), np.float32), np.ones(1, np.float32)])
    for a, b in zip(dense.get_weights(), before, strict=True):
        np.testing.assert_allclose(a, b - 0.5, rtol=1e-6)
    with pytest.raises(TrainingError, match="other weights"):
        optimizer.build(dense.trainable_variables[:1])
    with pytest.raises(SpecError, match="needs 2 grads"):
        optimizer.stateless_apply([v.array for v in optimizer.variables], [], before)


def scaling(kind):
    if kind == "factor":
        return optimizers.SGD(0.1, momentum=0.5, loss_scale_factor=1024.0)
    inner = optimizers.SGD(0.1, momentum=0.5)
    return optimizers.LossScaleOptimizer(inner, initial_scale=2.0**12, dynamic_growth_steps=2)


class Scaled(Plain):
    """A step by hand, on the loss that the optimizer scales."""

    def train_step(self, state, data):
        trainable, non_trainable, slots, measured = state

        def scaled_loss(trainable):
            y_pred, others, losses = self.stateless_call(
                trainable, non_trainable, data[0], training=True, return_losses=True
            )
            loss = jnp.square(y_pred - data[1]).mean() + sum(losses)
            return self.optimizer.scale_loss(loss), (loss, others)

        gradients, (loss, others) = jax.grad(scaled_loss, has_aux=True)(trainable)
        trainable, slots = self.optimizer.stateless_apply(slots, gradients, trainable)
        return {"loss": loss}, (trainable, others, slots, measured)


@pytest.mark.parametrize("kind", ["factor", "dynamic"])
@pytest.mark.parametrize("form", [Inherited, Scaled])
def test_a_scaled_loss_gives_what_it_gives_in_the_built_in_step(form, kind):
    plain, own = Plain(), form()
    plain.build((None, 3))
    weights = plain.get_weights()
    expected = trained(plain, weights, scaling(kind))["loss"]
    losses = trained(own, weights, scaling(kind))["loss"]
    if form is Inherited:
        np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for a, b in zip(own.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    if kind == "dynamic":
        assert own.optimizer.dynamic_scale == plain.optimizer.dynamic_scale == 2.0**16


@pytest.mark.parametrize("kind", ["factor", "dynamic"])
def test_a_loss_scale_that_is_infinite_in_float16(kind):
    optimizer = optimizers.SGD(0.5, loss_scale_factor=2.0**17 if kind == "factor" else None)
    if kind == "dynamic":
        optimizer = optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**17)
    dense = layers.Dense(1, dtype="float16")
    dense.build((None, 3))
    dense.set_weights([np.ones((3, 1), np.float16), np.ones(1, np.float16)])
    optimizer.build(dense.trainable_variables)
    optimizer.apply([np.full((3, 1), 1024, np.float16), np.full(1, 1024, np.float16)])
    for weight in dense.get_weights():
        np.testing.assert_allclose(weight, 1 - 0.5 * 1024 / 2**17, rtol=1e-6)


@pytest.mark.parametrize("kind", ["factor", "dynamic"])
def test_gradients_of_float16_for_weights_of_float32(kind):
    optimizer = optimizers.SGD(0.5, loss_scale_factor=16.0 if kind == "factor" else None)
    if kind == "dynamic":
        optimizer = optimizers.LossScaleOptimizer(optimizer, initial_scale=16.0)
    dense = layers.Dense(1)
    dense.build((None, 3))
    dense.set_weights([np.ones((3, 1), np.float32), np.ones(1, np.float32)])
    optimizer.build(dense.trainable_variables)
    optimizer.apply([np.full((3, 1), 8, np.float16), np.full(1, 8, np.float16)])
    for weight in dense.get_weights():
        np.testing.assert_array_equal(weight, np.full(weight.shape, 0.75, np.float32))


def test_skipped_updates_are_not_counted():
    dense = layers.Dense(1)
    dense.build((None, 3))
    schedule = optimizers.schedules.PiecewiseConstantDecay([0], [0.5, 0.0])
    optimizer = optimizers.LossScaleOptimizer(optimizers.SGD(schedule), initial_scale=4.0)
    optimizer.build(dense.trainable_variables)
    before = dense.get_weights()
    optimizer.apply([np.full((3, 1), np.inf, np.float32), np.ones(1, np.float32)])
    assert int(optimizer.variables[0].numpy()) == 0
    assert optimizer.dynamic_scale == 2.0
    optimizer.apply([np.ones((3, 1), np.float32), np.ones(1, np.float32)])
    assert int(optimizer.variables[0].numpy()) == 1
    for a, b in zip(dense.get_weights(), before, strict=True):
        np.testing.assert_allclose(a, b - 0.25, rtol=1e-6)


@pytest.mark.parametrize("is_scaled", [False, True])
def test_own_steps_end_with_the_averages(is_scaled):
    plain, own = Plain(), Inherited()
    plain.build((None, 3))
    weights = plain.get_weights()
    for model in (plain, own):
        optimizer = optimizers.SGD(0.1, use_ema=True, ema_momentum=0.8)
        if is_scaled:
            optimizer = optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0)
        swap = kcompile.callbacks.SwapEMAWeights()
        trained(model, weights, optimizer, validation_data=(X, Y), callbacks=[swap])
    for a, b in zip(own.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert set(own.optimizer.averages) == set(plain.optimizer.averages)
    np.testing.assert_allclose(
        own.history.history["val_loss"], plain.history.history["val_loss"], rtol=1e-5
    )


def test_metrics_of_a_model_are_reset_and_read():
    model = functional(kcompile)
    model.compile("sgd", "mse", metrics=["mae"])
    assert [metric.name for metric in model.metrics] == ["loss"]
    model.evaluate(X, Y, verbose=0)
    loss, distance = model.evaluate(X, Y, verbose=0)
    assert list(model.get_metrics_result().values()) == pytest.approx([loss, distance])
    assert len(model.metrics_variables) == 4
    model.reset_metrics()
    assert set(map(float, model.get_metrics_result().values())) == {0.0}
    again = model.train_on_batch(X[:8], Y[:8])
    assert model.train_on_batch(X[:8], Y[:8])[0] < again[0]  # each is that of its batch alone
