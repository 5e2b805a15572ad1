"""Observers and the ranges that they choose."""

from __future__ import annotations

import numpy as np
import pytest

import kcompile
from kcompile.ir.errors import DataError, SpecError
from kcompile.passes.insert_quantization import plan_quantization
from kcompile.quantization.calibration import calibrate
from kcompile.quantization.data import Rows
from kcompile.quantization.observers import Histogram, RangeObserver, affine
from kcompile.runtimes import reference
from tests.quantization.models import convolutional, images

RNG = np.random.default_rng(0)
OUTLIERS = np.append(RNG.standard_normal(200_000), [60.0, -45.0]).astype(np.float32)


def _histogram(values: np.ndarray) -> Histogram:
    histogram = Histogram(float(values.min()), float(values.max()))
    for part in np.array_split(values, 7):
        histogram.update(part)
    return histogram


def _error(values: np.ndarray, ends: tuple[float, float]) -> float:
    scale, zero_point = affine(*ends)
    q = np.clip(np.rint(values / scale) + zero_point, 0, 255)
    return float(np.mean(((q - zero_point) * scale - values) ** 2))


def test_an_observer_has_range_and_means_of_all_batches() -> None:
    values = RNG.standard_normal((50, 3, 4)).astype(np.float32) + 2
    observer = RangeObserver(1)
    for part in np.array_split(values, 6):
        observer.update(part)
    assert (observer.low, observer.high) == (min(0, values.min()), values.max())
    np.testing.assert_allclose(observer.mean, values.mean(axis=(0, 2)), rtol=1e-6)
    observer.update(np.zeros((0, 3, 4), np.float32))
    with pytest.raises(DataError, match="NaN or infinite"):
        observer.update(np.full((1, 3, 4), np.inf, np.float32))


def test_a_histogram_counts_every_element() -> None:
    assert _histogram(OUTLIERS).counts.sum() == OUTLIERS.size


def test_percentile_leaves_outliers_outside() -> None:
    low, high = _histogram(OUTLIERS).select("percentile")
    assert -5 < low < -3 and 3 < high < 5
    positive = _histogram(np.abs(OUTLIERS))
    positive.low = 0.0
    assert positive.select("percentile")[0] == 0


@pytest.mark.parametrize("method", ["mse", "entropy"])
def test_ranges_shrink_for_outliers(method: str) -> None:
    low, high = _histogram(OUTLIERS).select(method)
    assert high < 45 and low > -35
    if method == "mse":
        assert _error(OUTLIERS, (low, high)) < _error(OUTLIERS, (-45.0, 60.0))


def test_zeros_of_relus_do_not_shrink_the_range() -> None:
    """Half of the elements are 0, which has an integer of its own."""
    values = np.maximum(RNG.normal(size=50_000), 0).astype(np.float32)
    histogram = Histogram(0.0, float(values.max()))
    histogram.update(values)
    low, high = histogram.select("entropy")
    assert low == 0 and high > 0.5 * values.max()


def test_mse_is_the_best_of_the_shrunken_ranges() -> None:
    values = RNG.laplace(size=50_000).astype(np.float32)
    chosen = _histogram(values).select("mse")
    low, high = values.min(), values.max()
    errors = [_error(values, (low * s, high * s)) for s in np.linspace(0.2, 1, 30)]
    assert _error(values, chosen) <= 1.02 * min(errors)


@pytest.mark.parametrize("method", ["minmax", "mse", "entropy", "percentile"])
def test_a_value_that_is_always_0(method: str) -> None:
    assert Histogram(0.0, 0.0).select(method) == (0.0, 0.0)
    assert affine(0.0, 0.0) == (1.0, 0)


def test_zero_is_exact_in_every_range() -> None:
    for low, high in ((-1.0, 2.0), (0.0, 3.0), (-5.0, 0.0), (-1e-3, 700.0)):
        scale, zero_point = affine(low, high)
        assert 0 <= zero_point <= 255
        assert (0 - zero_point) * scale <= low + scale
        assert (255 - zero_point) * scale >= high - scale


def test_values_are_those_of_the_graph() -> None:
    graph = kcompile.compile(convolutional(), verify=False).graph
    plan = plan_quantization(graph)
    data = images(70)
    found = calibrate(graph, plan, Rows(graph, data, "data"))
    assert found.ranges.keys() == set(plan.ranges.values()) | found.means.keys()
    low, high = found.ranges["image"]
    assert (low, high) == (data.min(), data.max())
    logits = next(node for node in plan.products if node.source == "logits")
    assert logits.inputs[0] is not None
    mean = found.means[logits.inputs[0].name]
    outputs = reference.run(graph, {"image": data})[0]["logits"].mean(axis=0)
    weight, bias = (graph.producers[v.name].op.value.array for v in logits.inputs[1:])
    np.testing.assert_allclose(mean @ weight + bias, outputs, rtol=1e-4, atol=1e-5)


def test_data_that_do_not_fit_are_named() -> None:
    graph = kcompile.compile(convolutional(), verify=False).graph
    plan = plan_quantization(graph)
    with pytest.raises(SpecError, match="'median' is no calibration"):
        calibrate(graph, plan, Rows(graph, images(2), "data"), "median")
    bad = images(2)
    bad[0, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="calibration: %.*NaN or infinite"):
        calibrate(graph, plan, Rows(graph, bad, "data"))
    for data, message in (
        ([images(2), images(2)], "2 arrays for 1 inputs"),
        ({"picture": images(2)}, "arrays for picture.*The inputs are image"),
        (images(0), "the same number of rows, and some"),
    ):
        with pytest.raises(DataError, match=message):
            Rows(graph, data, "data")


def test_rows_of_a_model_with_a_fixed_batch() -> None:
    graph = kcompile.compile(convolutional(), sizes={"batch": 4}, verify=False).graph
    rows = Rows(graph, images(12), "data")
    assert [len(batch["image"]) for batch in rows.batches()] == [4, 4, 4]
    assert len(rows.first(2)["image"]) == 4
    assert rows.head(graph, 6).num_rows == 4
    with pytest.raises(DataError, match="10 rows do not make batches of 4"):
        Rows(graph, images(10), "data")
