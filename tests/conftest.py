"""Settings that must stand before any test module is imported, and what holds for every test."""

import itertools
import os

import pytest

# Keras is an oracle here, on the one backend that is installed.
os.environ["KERAS_BACKEND"] = "jax"
# What tests compile is none of the user's cache, and a test does not depend on what one before it
# has left there.
os.environ["KCOMPILE_COMPILE_CACHE"] = "0"

#: XLA maps each compiled program into memory, and Keras keeps its own for as long as it runs:
#: thousands of tests in one process would reach the most that Linux allows (vm.max_map_count).
TESTS_BETWEEN_CLEARING = 200

_number = itertools.count(1)


@pytest.fixture(autouse=True)
def _clear_compiled_programs():
    yield
    if next(_number) % TESTS_BETWEEN_CLEARING == 0:
        import jax

        jax.clear_caches()
