"""SwapEMAWeights against Keras's."""

import keras
import numpy as np
import pytest

import kcompile
from kcompile.ir.errors import TrainingError

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((50, 4)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)
KERNEL = RANDOM.standard_normal((4, 1)).astype(np.float32)
OPTIONS = {"batch_size": 16, "validation_split": 0.2, "verbose": 0, "shuffle": False}


def model_of(library, **options):
    model = library.Sequential([library.layers.Input((4,)), library.layers.Dense(1)])
    model.compile(library.optimizers.SGD(0.05, **options), "mse", metrics=["mae"])
    model.set_weights([KERNEL, np.zeros(1, np.float32)])
    return model


def recorder(library, seen):
    """Keeps the weights that callbacks after it find at the end of each epoch."""

    class Recorder(library.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            weights = self.model.get_weights()
            seen.append(np.concatenate([np.array(weight).ravel() for weight in weights]))

    return Recorder()


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_what_is_evaluated_and_seen_is_what_keras_has(swap_on_epoch):
    results = []
    for library in (kcompile, keras):
        model = model_of(library, use_ema=True, ema_momentum=0.8)
        swap = library.callbacks.SwapEMAWeights(swap_on_epoch=swap_on_epoch)
        seen = []
        history = model.fit(X, Y, epochs=3, callbacks=[swap, recorder(library, seen)], **OPTIONS)
        results.append({**history.history, "seen": np.stack(seen)})
    ours, theirs = results
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=2e-5, atol=1e-6, err_msg=name)


def test_evaluate_and_predict_with_averages():
    """Keras is no oracle here: after its `fit`, weights and averages share their memory."""
    model = model_of(kcompile, use_ema=True)
    model.fit(X, Y, **OPTIONS)  # ends with the averages as weights
    expected = model.evaluate(X, Y, verbose=0), model.predict(X, verbose=0)
    model.set_weights([KERNEL, np.ones(1, np.float32)])
    swap = [kcompile.callbacks.SwapEMAWeights()]
    assert model.evaluate(X, Y, verbose=0, callbacks=swap) == expected[0]
    np.testing.assert_array_equal(model.predict(X, verbose=0, callbacks=swap), expected[1])
    np.testing.assert_array_equal(model.get_weights()[0], KERNEL)


def test_training_goes_on_with_the_weights_themselves():
    """The callback changes what is evaluated, and nothing of the training."""
    finals = []
    for swaps in ([], [kcompile.callbacks.SwapEMAWeights(swap_on_epoch=True)]):
        model = model_of(kcompile, use_ema=True, ema_momentum=0.8)
        losses = [
            model.fit(X, Y, epochs=2, callbacks=swaps, **OPTIONS).history["loss"] for _ in range(2)
        ]
        finals.append([*losses, *model.get_weights()])
    for without, swapped in zip(*finals, strict=True):
        np.testing.assert_array_equal(without, swapped)


def test_an_early_stop_leaves_the_averages():
    class Stop(kcompile.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    model = model_of(kcompile, use_ema=True)
    swap = kcompile.callbacks.SwapEMAWeights(swap_on_epoch=True)
    model.fit(X, Y, epochs=5, callbacks=[swap, Stop()], **OPTIONS)
    weights = model.named_weights()
    for name, average in model.optimizer.averages.items():
        np.testing.assert_array_equal(weights[name].numpy(), average)


def test_averages_inside_of_a_loss_scale():
    model = model_of(kcompile)
    inner = kcompile.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.8)
    model.compile(kcompile.optimizers.LossScaleOptimizer(inner, initial_scale=1.0), "mse")
    plain = model_of(kcompile, use_ema=True, ema_momentum=0.8)
    histories = [
        m.fit(X, Y, callbacks=[kcompile.callbacks.SwapEMAWeights()], **OPTIONS).history
        for m in (model, plain)
    ]
    np.testing.assert_allclose(histories[0]["val_loss"], histories[1]["val_loss"], rtol=1e-6)


def test_an_optimizer_without_averages():
    model = model_of(kcompile)
    with pytest.raises(TrainingError, match="use_ema=True"):
        model.fit(X, Y, callbacks=[kcompile.callbacks.SwapEMAWeights()], **OPTIONS)
