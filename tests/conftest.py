"""Settings that must stand before any test module is imported."""

import os

# Keras is an oracle here, on the one backend that is installed.
os.environ["KERAS_BACKEND"] = "jax"
