"""The command line, in process and as real processes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import kcompile
from kcompile import layers
from kcompile.cli import main
from kcompile.cli.running import progress

ROOT = Path(__file__).parents[2]


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """An architecture with weights beside it, and an input."""
    kcompile.utils.set_random_seed(0)
    model = kcompile.Sequential(
        [
            layers.Input((6, 6, 1), name="image"),
            layers.Conv2D(2, 3, activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(name="flat"),
            layers.Dense(3, activation="softmax", name="dense"),
        ],
        name="small",
    )
    path = tmp_path / "small.json"
    path.write_text(model.to_json())
    model.save_weights(tmp_path / "small.weights.h5")
    image = np.random.default_rng(0).random((2, 6, 6, 1), np.float32)
    np.save(tmp_path / "x.npy", image)
    np.save(tmp_path / "y.npy", np.asarray(model(image)))
    return path


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_compile_and_run(spec: Path) -> None:
    onnx = spec.with_name("small.onnx")
    compiled = run("compile", spec, "-o", onnx)
    assert compiled.exit_code == 0, compiled.output
    assert compiled.stdout == ""
    assert "small.onnx: " in compiled.stderr and "status: passed" in compiled.stderr
    assert "warning" not in compiled.stderr
    output = spec.with_name("out.npz")
    result = run("run", onnx, "--input", spec.with_name("x.npy"), "-o", output, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["outputs"] == {"dense": {"dtype": "float32", "shape": [2, 3]}}
    expected = np.load(spec.with_name("y.npy"))
    np.testing.assert_allclose(np.load(output)["dense"], expected, rtol=1e-5, atol=1e-6)
    named = run("run", onnx, "-i", f"image={spec.with_name('x.npy')}", "--json")
    values = json.loads(named.stdout)["outputs"]["dense"]["values"]
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
    shown = run("run", onnx, "-i", spec.with_name("x.npy"))
    assert shown.stdout.startswith("dense float32[2, 3]\n[[") and "ran in" in shown.stderr


def test_compile_json(spec: Path) -> None:
    onnx = spec.with_name("small.onnx")
    result = run("compile", spec, "-o", onnx, "--json", "--explain", "--opset", 18)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["output"] == str(onnx)
    assert report["weights"] == str(spec.with_name("small.weights.h5"))
    assert report["opset"] == 18
    assert report["file_bytes"] == onnx.stat().st_size
    assert report["parameters"] == 20 + 8 + 99
    assert report["verification"]["kcompile.verification.status"] == "passed"
    assert "to_inference" in [entry["name"] for entry in report["passes"]]
    assert isinstance(report["refusals"], list)


def test_explain(spec: Path) -> None:
    result = run("compile", spec, "-o", spec.with_name("m.onnx"), "--explain", "--no-verify")
    assert "to_inference (frozen statistics, no dropout, no updates): " in result.stderr
    assert "not verified" in result.stderr


def test_explain_tells_the_forms_of_ops(tmp_path: Path) -> None:
    inputs = kcompile.layers.Input((4, 6), name="x")
    outputs = kcompile.layers.LayerNormalization(name="norm")(inputs)
    source = tmp_path / "model.keras"
    kcompile.Model(inputs, outputs, name="normalized").save(source)
    result = run("compile", source, "-o", tmp_path / "m.onnx", "--explain", "--no-verify")
    assert "1 times, taken: it takes 1/2.7 of the time" in result.stderr


def test_passes_are_checked_when_asked(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = spec.with_name("m.onnx")
    assert run("compile", spec, "-o", onnx, "--check-passes").exit_code == 0
    monkeypatch.setattr(
        "kcompile.runtimes.onnxruntime.translation.compare",
        lambda *arguments, **options: (_ for _ in ()).throw(
            kcompile.ir.errors.VerifyError("it differs")
        ),
    )
    assert run("compile", spec, "-o", onnx).exit_code == 0
    result = run("compile", spec, "-o", onnx, "--check-passes")
    assert result.exit_code == 1
    assert "pass 'bind_weights': it differs" in result.stderr


def test_without_weights_a_warning_and_a_seed(spec: Path) -> None:
    spec.with_name("small.weights.h5").unlink()
    files = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        path = spec.with_name(f"{name}.onnx")
        result = run("compile", spec, "-o", path, "--seed", seed, "--no-verify")
        assert result.exit_code == 0
        assert f"its weights are random, from seed {seed}" in result.stderr
        files.append(path.read_bytes())
    assert files[0] == files[1] != files[2]


def test_weights_from_another_file(spec: Path) -> None:
    other = spec.with_name("other.weights.h5")
    spec.with_name("small.weights.h5").rename(other)
    result = run("compile", spec, "--weights", other, "-o", spec.with_name("m.onnx"), "--json")
    assert json.loads(result.stdout)["weights"] == str(other)


def test_inspect(spec: Path) -> None:
    result = run("inspect", spec)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("graph @small {\n  data %image : f32[batch,6,6,1]\n")
    (row,) = [line.split() for line in result.stdout.splitlines() if " conv " in line[:8]]
    assert row[:2] == ["conv", "Conv2D"] and row[-4:] == ["20", "640", "128.00", "B"]
    assert result.stderr == ""


def test_inspect_targets_and_passes(spec: Path) -> None:
    plain = json.loads(run("inspect", spec, "--json").stdout)
    assert plain["passes"] == [] and plain["total"]["num_parameters"] == 127
    assert "state %norm/moving_mean" in plain["graph"]
    onnx = json.loads(run("inspect", spec, "--target", "onnx", "--json").stdout)
    assert "linear(" in onnx["graph"] and "state" not in onnx["graph"]
    bound = json.loads(run("inspect", spec, "--after", "bind_weights", "--json").stdout)
    assert bound["passes"] == ["to_inference", "bind_weights"]
    training = json.loads(run("inspect", spec, "--target", "training", "--json").stdout)
    assert "batch_norm_training(" in training["graph"]
    wrong = run("inspect", spec, "--after", "make_coffee")
    assert wrong.exit_code == 1
    assert "no pass is named 'make_coffee'. The passes are: to_inference, " in wrong.stderr


def test_errors_are_one_line_and_exit_code_1(spec: Path) -> None:
    config = json.loads(spec.read_text())
    config["config"]["layers"][1]["config"]["foo"] = 1
    spec.write_text(json.dumps(config))
    onnx = spec.with_name("m.onnx")
    result = run("compile", spec, "-o", onnx)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: small.json: config.layers[1].config.foo: this key is not understood"
    ]
    assert result.stdout == "" and not onnx.exists()
    as_json = run("compile", spec, "-o", onnx, "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["error"] == {
        "type": "FormatError",
        "message": "small.json: config.layers[1].config.foo: this key is not understood",
    }
    shown = run("compile", spec, "-o", onnx, "--traceback")
    assert type(shown.exception).__name__ == "FormatError"


def test_weights_that_do_not_fit(spec: Path) -> None:
    import h5py

    with h5py.File(spec.with_name("small.weights.h5"), "a") as file:
        del file["layers/dense/vars/0"]
    result = run("inspect", spec)
    assert result.exit_code == 1
    assert "the file lacks: layers/dense/vars/0 (weight 'kernel' f32[32,3]" in result.stderr


def test_data_that_does_not_fit(spec: Path, tmp_path: Path) -> None:
    onnx = spec.with_name("m.onnx")
    assert run("compile", spec, "-o", onnx, "--no-verify").exit_code == 0
    np.save(tmp_path / "wide.npy", np.ones((2, 6, 6, 1)))
    wrong_type = run("run", onnx, "-i", tmp_path / "wide.npy")
    assert wrong_type.exit_code == 1 and "float64" in wrong_type.stderr
    np.save(tmp_path / "object.npy", np.array([{}], object), allow_pickle=True)
    pickled = run("run", onnx, "-i", tmp_path / "object.npy")
    assert pickled.exit_code == 1 and "it is no .npy file of numbers" in pickled.stderr
    several = run("run", onnx, "-i", spec.with_name("small.json"))
    assert several.exit_code == 1
    missing = run("run", onnx, "-i", tmp_path / "none.npy")
    assert missing.exit_code == 1 and "No such file" in missing.stderr


def test_usage_errors_exit_with_2(spec: Path) -> None:
    assert run("compile", spec).exit_code == 2
    assert run("compile", spec.with_name("none.json"), "-o", "m.onnx").exit_code == 2
    assert run("inspect", spec, "--target", "abacus").exit_code == 2
    onnx = spec.with_name("m.onnx")
    run("compile", spec, "-o", onnx, "--no-verify")
    x = spec.with_name("x.npy")
    mixed = run("run", onnx, "-i", f"image={x}", "-i", x)
    assert mixed.exit_code == 2 and "give all inputs by name, or all in order" in mixed.stderr
    twice = run("run", onnx, "-i", f"image={x}", "-i", f"image={x}")
    assert twice.exit_code == 2 and "an input is given twice" in twice.stderr


def test_the_output_does_not_replace_the_input(spec: Path) -> None:
    before = spec.read_bytes()
    result = run("compile", spec, "-o", spec)
    assert result.exit_code == 2 and "would replace" in result.stderr
    assert spec.read_bytes() == before


def test_a_missing_folder_is_named(spec: Path) -> None:
    result = run("compile", spec, "-o", spec.parent / "no" / "m.onnx")
    assert result.exit_code == 1 and "there is no folder" in result.stderr


def test_a_failed_verification_exits_with_3(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kcompile.ir.errors import VerifyError
    from kcompile.runtimes.onnxruntime import verification

    def differ(*args: Any, **kwargs: Any) -> Any:
        raise VerifyError("the outputs differ", where="model 'small'")

    monkeypatch.setattr(verification, "verify_file", differ)
    onnx = spec.with_name("m.onnx")
    result = run("compile", spec, "-o", onnx)
    assert result.exit_code == 3
    assert "error: model 'small': the outputs differ" in result.stderr
    assert not onnx.exists()


def test_numbers_that_json_has_not(spec: Path, tmp_path: Path) -> None:
    onnx = spec.with_name("m.onnx")
    run("compile", spec, "-o", onnx, "--no-verify")
    np.save(tmp_path / "nan.npy", np.full((1, 6, 6, 1), np.nan, "float32"))
    result = run("run", onnx, "-i", tmp_path / "nan.npy", "--json")
    assert json.loads(result.stdout)["outputs"]["dense"]["values"] == [["nan"] * 3]


def test_help_tells_the_exit_codes() -> None:
    for command in ([], ["compile"], ["inspect"], ["run"]):
        text = run(*command, "--help").stdout
        assert "3  the compiled model computes something else than the model" in text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_at_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress() as stage:
            stage("verifying")
        assert ("verifying" in stream.getvalue()) is shown


# Real processes


def process(*arguments: Any, code: str = "") -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "kcompile"]
    return subprocess.run(
        [sys.executable, *start, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_version() -> None:
    result = process("--version")
    assert result.returncode == 0
    assert result.stdout == f"kcompile, version {kcompile.__version__}\n"


def test_a_real_process_fails_without_a_traceback(spec: Path) -> None:
    spec.write_text("{")
    result = process("compile", spec, "-o", spec.with_name("m.onnx"))
    assert result.returncode == 1
    assert result.stderr.startswith("error: small.json: it is not JSON: ")
    assert result.stderr.count("\n") == 1


LOADED = """
import sys
from kcompile.cli import main
main(sys.argv[1:], standalone_mode=False)
heavy = {"jax", "jaxlib", "optax", "keras", "tensorflow", "onnx", "onnxruntime", "h5py", "numpy"}
print(*sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


def test_what_compiling_imports(spec: Path) -> None:
    result = process("compile", spec, "-o", spec.with_name("m.onnx"), "--json", code=LOADED)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["nodes"] > 0
    assert result.stderr.split() == ["h5py", "numpy", "onnx", "onnxruntime"]


def test_the_command_line_itself_is_light() -> None:
    result = process("--help", code=LOADED)
    assert result.returncode == 0
    assert result.stderr.split() == []
