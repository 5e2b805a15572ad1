"""`kcompile.quantize` and its command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

import kcompile
from kcompile.cli import main
from kcompile.compiler import Executable
from kcompile.ir import ops
from kcompile.ir.errors import DataError, ExportError, SpecError, VerifyError
from kcompile.quantization import processor, quantizing, verification
from kcompile.quantization.exclusion import choose_exclusions
from kcompile.quantization.losses import accuracy, relative_error, signal_to_noise
from kcompile.runtimes.onnxruntime import OnnxRuntimeExecutable
from tests.quantization.models import convolutional, images, tokens, transformer


def _relative_error(executable: Executable, model: Any, data: np.ndarray) -> float:
    expected = kcompile.compile(model, "reference").run(data)
    return relative_error(executable.run(data), expected)


@pytest.mark.parametrize("calibration", ["minmax", "percentile", "mse", "entropy"])
def test_static_quantization_of_a_convolutional_network(calibration: str) -> None:
    model = convolutional()
    executable = kcompile.quantize(model, images(), calibration=calibration)
    report = executable.report["quantization"]
    assert report["layers"] == ["stem", "inner", "outer", "depthwise", "last", "logits"]
    assert report["excluded"] == [] and report["calibration"] == calibration
    assert {entry["optimization"] for entry in report["verification"]} == {"off", "all"}
    assert executable.report["file_bytes"] == len(executable.to_bytes())
    assert report["loss"] == report["relative_error"] < 0.3
    if calibration == "minmax":
        assert _relative_error(executable, model, images()) == pytest.approx(report["loss"], 0.05)
        assert report["loss"] < 0.03


@pytest.mark.parametrize(
    ("mode", "bound", "size", "options"),
    [
        ("static", 0.03, 0.8, {}),
        ("dynamic", 0.03, 0.8, {}),
        ("weights", 0.02, 0.8, {}),
        ("weights", 0.3, 0.8, {"weight_bits": 4}),
        ("float16", 1e-3, 0.8, {}),
        ("bfloat16", 1e-2, 0.8, {}),
    ],
)
def test_modes_on_a_transformer(mode: str, bound: float, size: float, options: dict) -> None:
    model = transformer()
    executable = kcompile.quantize(model, tokens(), mode=mode, **options)
    report = executable.report["quantization"]
    assert report["mode"] == mode
    assert 0 < report["loss"] < bound
    assert executable.report["file_bytes"] < size * report["float_file_bytes"]


def test_dynamic_quantization_needs_no_data() -> None:
    executable = kcompile.quantize(transformer(), mode="dynamic")
    assert executable.report["quantization"]["loss"] is None
    assert any(isinstance(node.op, ops.IntegerMatmul) for node in executable.graph.nodes)
    assert executable.run(tokens(3))["logits"].shape == (3, 3)


def test_the_quantized_graph_runs_on_xla_too() -> None:
    executable = kcompile.quantize(convolutional(), images())
    on_xla = kcompile.compile(executable.graph, "xla").run(images(5))["logits"]
    expected = executable.run(images(5))["logits"]
    np.testing.assert_allclose(on_xla, expected, atol=0.02 * np.abs(expected).max())


def test_max_loss_excludes_as_few_layers_as_it_takes() -> None:
    model = convolutional()
    loose = kcompile.quantize(model, images(), max_loss=0.5).report["quantization"]
    assert loose["excluded"] == [] and loose["sensitivity"] is None
    bound = loose["loss"] / 3
    tight = kcompile.quantize(model, images(), max_loss=bound).report["quantization"]
    assert tight["loss"] <= bound
    worst = list(tight["sensitivity"])
    assert tight["excluded"] == sorted(worst[: len(tight["excluded"])])
    assert 0 < len(tight["excluded"]) < len(worst)
    with pytest.raises(ExportError, match="greater with any layer quantized"):
        kcompile.quantize(model, images(), max_loss=1e-9)


def test_exclusions_are_found_by_bisection() -> None:
    layers = [f"layer{i}" for i in range(40)]
    built: list[int] = []

    def build(exclude: Any) -> frozenset[str]:
        built.append(len(exclude))
        return frozenset(layers) - frozenset(exclude)

    class Judge:
        def noise(self, quantized: frozenset[str]) -> float:
            (only,) = quantized
            return float(only.removeprefix("layer"))

        def losses(self, quantized: frozenset[str]) -> dict[str, Any]:
            return {"loss": float(len(quantized))}

    choice = choose_exclusions(build, Judge(), layers, (), 17.5)
    assert choice.excluded == tuple(layers[:23])
    assert len(built) - len(layers) < 14


def test_the_loss_of_a_metric_on_held_out_data() -> None:
    model = convolutional()
    labels = np.argmax(kcompile.compile(model, "reference").run(images())["logits"], axis=1)
    report = kcompile.quantize(model, images(), evaluation=(images(), labels)).report
    quantized = report["quantization"]
    assert quantized["float_metric"] == 1.0
    assert quantized["loss"] == pytest.approx(1 - quantized["metric"])

    def negative(outputs: np.ndarray, labels: np.ndarray) -> float:
        return -float(np.mean(outputs))

    report = kcompile.quantize(
        model, images(), evaluation=(images(), labels), metric=negative
    ).report["quantization"]
    assert report["loss"] == report["float_metric"] - report["metric"]


def test_excluded_layers_are_reported_and_unknown_ones_refused() -> None:
    report = kcompile.quantize(convolutional(), images(), exclude=["stem"]).report["quantization"]
    assert report["excluded"] == ["stem"] and "stem" not in report["layers"]
    with pytest.raises(SpecError, match="no layer is named 'stern'"):
        kcompile.quantize(convolutional(), images(), exclude=["stern"])


def test_a_file_is_written_and_read(tmp_path: Path) -> None:
    model = convolutional()
    model.save(tmp_path / "model.keras")
    path = tmp_path / "model.onnx"
    executable = kcompile.quantize(tmp_path / "model.keras", images(), path=path)
    assert path.read_bytes() == executable.to_bytes()
    run = OnnxRuntimeExecutable(path).run([images(3)])
    np.testing.assert_array_equal(run["logits"], executable.run(images(3))["logits"])
    again = kcompile.quantize(model, images())
    assert again.to_bytes() == executable.to_bytes()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"mode": "ternary"}, SpecError, "'ternary' is no mode"),
        ({"data": None}, SpecError, "static quantization needs data"),
        ({"data": None, "mode": "dynamic", "max_loss": 1}, SpecError, "max_loss needs data"),
        ({"weight_bits": 4}, SpecError, "weight_bits is 4"),
        ({"calibration": "median"}, SpecError, "'median' is no calibration"),
        ({"metric": "f1"}, SpecError, "'f1' is no metric"),
        ({"data": images()[:, :5]}, DataError, "got shape"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        kcompile.quantize(convolutional(), **({"data": images(), "verify": False} | arguments))


def test_onnx_files_and_models_without_products_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="ONNX files are not read"):
        kcompile.quantize(tmp_path / "model.onnx", images())
    x = kcompile.layers.Input((3,), name="x")
    model = kcompile.Model(x, kcompile.layers.ReLU(name="relu")(x))
    with pytest.raises(ExportError, match="no layer to quantize"):
        kcompile.quantize(model, np.ones((2, 3), np.float32))


def test_a_file_that_computes_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One weight of a layer is 4 steps off in the file."""
    export = verification.export_graph
    path = tmp_path / "model.onnx"

    def wrong(graph: Any) -> Any:
        model = export(graph)
        (weight,) = (w for w in model.graph.initializer if w.name == "inner/kernel/quantized")
        array = numpy_helper.to_array(weight).copy()
        array[3, 2, 1, 1] += -4 if array[3, 2, 1, 1] > 0 else 4
        weight.CopyFrom(numpy_helper.from_array(array, weight.name))
        return model

    monkeypatch.setattr(verification, "export_graph", wrong)
    with pytest.raises(VerifyError, match=r"%inner_relu.*optimizations off.* steps from what"):
        kcompile.quantize(convolutional(), images(), path=path)
    assert not path.exists()


def test_a_file_with_other_numbers_than_the_graph_is_refused() -> None:
    executable = kcompile.quantize(convolutional(), images(), verify=False)
    other = kcompile.quantize(convolutional(), images() * 3, verify=False).to_bytes()
    with pytest.raises(VerifyError, match=r"output 'logits' .*the file\): it differs by"):
        verification.verify_quantized(executable.graph, other, {"image": images(8)})


def test_saturation_on_processors_without_vnni_is_found() -> None:
    """Where they are the largest, sums of two products do not fit 16 bits."""
    x = kcompile.layers.Input((64,), name="x")
    dense = kcompile.layers.Dense(4, use_bias=False, name="dense", kernel_initializer="ones")
    model = kcompile.Model(x, dense(x))
    data = np.full((8, 64), 0.99, np.float32)
    data[0] = 1
    if processor.saturates():
        with pytest.raises(VerifyError, match="it differs by"):
            kcompile.quantize(model, data, reduce_range=False)
    assert kcompile.quantize(model, data).report["quantization"]["loss"] < 0.01


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", "sse4_1 avx2", True),
        ("x86_64", "avx512f avx512_vnni", False),
        ("AMD64", "avx2 avx_vnni", False),
        ("aarch64", "asimddp", False),
    ],
)
def test_processors_without_vnni_saturate(
    machine: str, flags: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"model name : x\nflags\t\t: fpu {flags}\n")
    monkeypatch.setattr(processor, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    assert processor.saturates() is expected


def test_the_range_is_reduced_where_it_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for saturates in (True, False):
        monkeypatch.setattr(quantizing, "saturates", lambda saturates=saturates: saturates)
        executable = kcompile.quantize(convolutional(), images(), verify=False)
        assert executable.report["quantization"]["reduced_range"] is saturates
        largest = max(
            int(np.abs(node.op.value.array.astype(np.int32)).max())
            for node in executable.graph.nodes
            if isinstance(node.op, ops.Constant) and node.op.value.array.dtype == np.int8
        )
        assert largest == (64 if saturates else 127)


def test_measures() -> None:
    assert signal_to_noise(np.float32([1.1, 1]), np.float32([1, 1])) == pytest.approx(23, abs=0.1)
    assert signal_to_noise(np.ones(2), np.ones(2)) == np.inf
    assert signal_to_noise(np.ones(2), np.zeros(2)) == -np.inf
    logits = np.float32([[0, 1], [1, 0], [0, 1], [0, 1]])
    assert accuracy(logits, np.array([1, 0, 0, 1])) == 0.75
    assert accuracy(logits, np.eye(2)[[1, 0, 0, 1]]) == 0.75
    assert accuracy(np.float32([[0.7], [0.2]]), np.array([1, 1])) == 0.5
    with pytest.raises(DataError, match=r"accuracy of outputs \(4, 2\) for labels \(3,\)"):
        accuracy(logits, np.array([1, 0, 0]))


def _run(*arguments: Any) -> Any:
    return CliRunner().invoke(main, ["quantize", *map(str, arguments)])


def test_the_command(tmp_path: Path) -> None:
    model, output = tmp_path / "model.keras", tmp_path / "model.onnx"
    convolutional().save(model)
    data, labelled = tmp_path / "data.npz", tmp_path / "labelled.npz"
    np.savez(data, image=images())
    np.savez(labelled, image=images(), labels=np.zeros(40, np.int64))
    result = _run(
        *(model, "-o", output, "--data", data, "--evaluation", labelled, "--json"),
        *("--calibration", "mse", "--exclude", "stem", "--sensitivity", "--max-loss", "1"),
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["quantization"]["excluded"] == ["stem"]
    assert set(report["quantization"]["sensitivity"]) == set(report["quantization"]["layers"])
    assert report["file_bytes"] == output.stat().st_size
    told = _run(model, "-o", output, "--data", data, "--batch", 1)
    assert told.exit_code == 0 and "6 layers quantized (static)" in told.stderr
    assert "signal to noise of 'logits'" in told.stderr


def test_what_the_command_refuses(tmp_path: Path) -> None:
    model, output = tmp_path / "model.keras", tmp_path / "model.onnx"
    convolutional().save(model)
    result = _run(model, "-o", output)
    assert result.exit_code == 1 and "static quantization needs data" in result.stderr
    np.savez(tmp_path / "data.npz", image=images())
    result = _run(model, "-o", output, "--evaluation", tmp_path / "data.npz", "--mode", "dynamic")
    assert result.exit_code == 1 and "it has no array 'labels'" in result.stderr
    (tmp_path / "other.onnx").write_bytes(b"")
    result = _run(tmp_path / "other.onnx", "-o", output)
    assert result.exit_code == 1 and "ONNX files are not read" in result.stderr
    assert not output.exists()
