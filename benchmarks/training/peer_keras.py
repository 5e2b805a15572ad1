"""`fit` of Keras, or of kcompile, whose code is the same.

    python peer_keras.py WORKLOAD LIBRARY [--first-step] [--lazy] [--keep-memory]
        [--steps-per-execution N]

KERAS_BACKEND names Keras's backend.
"""

from __future__ import annotations

import argparse
import importlib
import time
from typing import Any

import keras_models
from workloads import EPSILON, LEARNING_RATE, WORKLOADS, Meter


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("workload", choices=WORKLOADS)
    arguments.add_argument("library", choices=["keras", "kcompile"])
    arguments.add_argument("--first-step", action="store_true")
    arguments.add_argument("--lazy", action="store_true")
    arguments.add_argument("--keep-memory", action="store_true")
    arguments.add_argument("--steps-per-execution", type=int, default=1)
    options = arguments.parse_args()
    name, workload = options.workload, WORKLOADS[options.workload]
    meter = Meter(name)
    K = importlib.import_module(options.library)
    if options.keep_memory:
        K.config.keep_freed_memory()
    x, y = meter.load()
    model = keras_models.build(K, name)
    lazy = {"lazy": True} if options.lazy else {}
    model.compile(
        optimizer=K.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON, **lazy),
        loss=keras_models.LOSSES[workload.loss],
        metrics=["accuracy"] if workload.measures_accuracy else [],
        steps_per_execution=options.steps_per_execution,
    )
    model.fit(
        x if len(x) > 1 else x[0],
        y,
        batch_size=workload.batch,
        epochs=1 if options.first_step else workload.epochs,
        validation_split=0.2 if workload.validates else 0.0,
        verbose=0,
        callbacks=[_timer(K, meter, ends_after_a_step=options.first_step)],
    )
    meter.report()


def _timer(K: Any, meter: Meter, *, ends_after_a_step: bool) -> Any:
    """Notes epochs; or ends training after one step, for which it has to look at steps."""

    class Epochs(K.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.start = time.time()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            meter.epoch_done(time.time() - self.start, logs["loss"])

    class FirstStep(K.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            float(logs["loss"])
            meter.step_done()
            self.model.stop_training = True

    return FirstStep() if ends_after_a_step else Epochs()


if __name__ == "__main__":
    main()
