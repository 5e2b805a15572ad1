"""The command line on files of models: what goes in, what comes out, and at what cost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

import kcompile
from kcompile.cli import main

ROOT = Path(__file__).parents[2]
FILES = ("two.keras", "two.h5", "two.json", "tfjs/model.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model in every format, as Keras writes it; data for it, and what Keras predicts."""
    folder = tmp_path_factory.mktemp("files")
    model = make_model()
    model.save(folder / "two.keras")
    model.save(folder / "two.h5")
    (folder / "two.json").write_text(model.to_json())
    model.save_weights(folder / "two.weights.h5")
    write_tfjs(model, folder / "tfjs")
    random = np.random.default_rng(0)
    data = {
        "image": random.random((2, 6, 5, 3), np.float32),
        "extra": random.random((2, 4), np.float32),
    }
    np.savez(folder / "data.npz", **data)
    scores, value = model(list(data.values()))
    np.savez(folder / "expected.npz", scores=np.asarray(scores), value=np.asarray(value))
    return folder


def make_model() -> Any:
    keras.utils.set_random_seed(0)
    L = keras.layers
    image, extra = L.Input((6, 5, 3), name="image"), L.Input((4,), name="extra")
    x = L.Conv2D(4, 3, activation="relu", name="conv")(image)
    x = L.BatchNormalization(name="norm")(x)
    x = L.Concatenate(name="both")([L.Flatten(name="flat")(x), extra])
    outputs = [L.Dense(3, activation="softmax", name="scores")(x), L.Dense(1, name="value")(x)]
    model = keras.Model([image, extra], outputs, name="two")
    random = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(random.uniform(0.1, 0.9, variable.shape))
    return model


def write_tfjs(model: Any, folder: Path) -> None:
    folder.mkdir()
    arrays = {v.path.removeprefix("two/"): np.asarray(v.value) for v in model.weights}
    (folder / "group1-shard1of1.bin").write_bytes(b"".join(a.tobytes() for a in arrays.values()))
    weights = [{"name": n, "shape": a.shape, "dtype": "float32"} for n, a in arrays.items()]
    topology = {"keras_version": "3.15.1", "model_config": json.loads(model.to_json())}
    (folder / "model.json").write_text(
        json.dumps(
            {
                "format": "layers-model",
                "modelTopology": topology,
                "weightsManifest": [{"paths": ["group1-shard1of1.bin"], "weights": weights}],
            }
        )
    )


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def run_json(*arguments: Any) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def session(path: Path) -> Any:
    from kcompile.runtimes.onnxruntime import OnnxRuntimeExecutable

    return OnnxRuntimeExecutable(path)


@pytest.mark.parametrize("file", FILES)
def test_every_format_compiles_to_what_keras_computes(
    folder: Path, tmp_path: Path, file: str
) -> None:
    output = tmp_path / "two.onnx"
    report = run_json("compile", folder / file, "-o", output)
    assert report["inputs"] == {"image": "FLOAT[batch,6,5,3]", "extra": "FLOAT[batch,4]"}
    assert report["outputs"] == {"scores": "FLOAT[batch,3]", "value": "FLOAT[batch,1]"}
    assert report["parameters"] == 340 and report["flops"] > 3000
    assert report["verification"]["kcompile.verification.status"] == "passed"
    actual = session(output).run(dict(np.load(folder / "data.npz")))
    for name, expected in np.load(folder / "expected.npz").items():
        np.testing.assert_allclose(actual[name], expected, rtol=1e-5, atol=1e-6)


def test_the_file_is_the_one_that_compile_makes(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "two.onnx"
    run_json("compile", folder / "two.keras", "-o", output)
    model = kcompile.saving.load_model(folder / "two.keras", compile=False)
    executable = kcompile.compile(model)
    assert output.read_bytes() == executable.to_bytes()
    assert executable.report["file_bytes"] == output.stat().st_size


def test_options_about_inputs_and_outputs(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "two.onnx"
    options = ["--inputs-as-nchw", "image", "--rename", "scores=p", "--rename", "image=x"]
    report = run_json("compile", folder / "two.h5", "-o", output, "--batch", 2, *options)
    assert report["inputs"] == {"x": "FLOAT[2,3,6,5]", "extra": "FLOAT[2,4]"}
    assert report["outputs"] == {"p": "FLOAT[2,3]", "value": "FLOAT[2,1]"}
    assert report["ops"]["Transpose"] == 1  # before Flatten, whose order is that of the model
    data = dict(np.load(folder / "data.npz"))
    actual = session(output).run({"x": np.moveaxis(data["image"], -1, 1), "extra": data["extra"]})
    expected = np.load(folder / "expected.npz")["scores"]
    np.testing.assert_allclose(actual["p"], expected, rtol=1e-5, atol=1e-6)
    assert run("verify", folder / "two.h5", output, "--batch", 2, *options).exit_code == 0


def test_input_shapes(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "two.onnx"
    shape = ["--input-shape", "image:4,6,5,3"]
    report = run_json("compile", folder / "two.keras", "-o", output, *shape)
    assert report["inputs"] == {"image": "FLOAT[4,6,5,3]", "extra": "FLOAT[4,4]"}
    for option, code, message in (
        (
            "image:?,6,5,4",
            1,
            "the input 'image' is f32[batch,6,5,3], and the shape given [?,6,5,4]",
        ),
        ("4,6,5,3", 2, "say which input the shape is of: image, extra"),
        ("other:1,2", 1, "there is no input 'other' to give a shape"),
        ("image:1,x", 2, "sizes are numbers from 1, or ?"),
        ("image:0,6,5,3", 2, "sizes are numbers from 1, or ?"),
    ):
        result = run("compile", folder / "two.keras", "-o", output, "--input-shape", option)
        assert result.exit_code == code
        assert message in " ".join(result.stderr.split())
    twice = run("compile", folder / "two.keras", "-o", output, *shape, *shape)
    assert twice.exit_code == 2 and "--input-shape is given twice" in twice.stderr


def test_a_model_that_does_not_say_its_input(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(3, name="a"), keras.layers.Dense(2, name="b")]
    model = keras.Sequential(layers, name="open")
    (tmp_path / "open.json").write_text(model.to_json())
    model.build((None, 4))
    model.save_weights(tmp_path / "open.weights.h5")
    output = tmp_path / "open.onnx"
    result = run("compile", tmp_path / "open.json", "-o", output)
    assert result.exit_code == 1
    assert "open.json: the model does not say what shape its input has. Give it" in result.stderr
    report = run_json("compile", tmp_path / "open.json", "-o", output, "--input-shape", "?,4")
    (name,) = report["inputs"]
    x = np.random.default_rng(0).random((3, 4), np.float32)
    (actual,) = session(output).run({name: x}).values()
    np.testing.assert_allclose(actual, np.asarray(model(x)), rtol=1e-5, atol=1e-6)
    converted = tmp_path / "open.keras"
    result = run("convert", tmp_path / "open.json", converted, "--input-shape", "?,4")
    assert result.exit_code == 0, result.output
    loaded = keras.models.load_model(converted)
    np.testing.assert_allclose(np.asarray(loaded(x)), np.asarray(model(x)), rtol=1e-6)


def test_targets(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "two.onnx"
    report = run_json(
        "compile", folder / "two.keras", "-o", output, "--target", "onnxruntime==1.15"
    )
    assert report["opset"] == 17 and report["ir_version"] == 8
    for options, message in (
        (["--target", "onnxruntime==9.1"], "is no release of onnxruntime that is known here"),
        (["--target", "abacus"], "'abacus' is not a target. Use one of onnx, xla, reference"),
        (["--target", "xla"], "the number of rows is open"),
        (["--target", "xla", "--opset", "17"], "the target 'xla' has no opset"),
        (["--target", "reference", "--batch-sizes", "2"], "takes any number of rows"),
        (["--target", "onnxruntime==1.20", "--opset", "22"], "onnxruntime 1.20 takes at most 21"),
    ):
        output.unlink(missing_ok=True)
        result = run("compile", folder / "two.keras", "-o", output, *options)
        assert result.exit_code == 1 and message in result.stderr
        assert not output.exists()


@pytest.mark.parametrize("target", ["xla", "reference"])
def test_executables_of_other_targets(folder: Path, tmp_path: Path, target: str) -> None:
    output = tmp_path / "two.kcx"
    sizes = ["--batch-sizes", "1, 2"] if target == "xla" else []
    report = run_json("compile", folder / "two.keras", "-o", output, "--target", target, *sizes)
    assert report["target"] == target and report["parameters"] == 340
    assert report["file_bytes"] == output.stat().st_size
    with np.load(folder / "data.npz") as data, np.load(folder / "expected.npz") as expected:
        for name, array in data.items():
            np.save(tmp_path / f"{name}.npy", array)
        inputs = [f"--input={name}={tmp_path / name}.npy" for name in data]
        result = run("run", output, *inputs, "-o", tmp_path / "outputs.npz", "--trusted")
        assert result.exit_code == 0, result.output
        with np.load(tmp_path / "outputs.npz") as outputs:
            assert set(outputs) == set(expected)
            for name, array in expected.items():
                np.testing.assert_allclose(outputs[name], array, rtol=1e-5, atol=1e-6)
    if target == "xla":
        refused = run("run", output, *inputs)
        assert refused.exit_code == 1 and "trusted=True" in refused.stderr
    for options in (["--batch-sizes", "2,0"], ["--target", "onnx", "--batch-sizes", "2"]):
        wrong = run("compile", folder / "two.keras", "-o", tmp_path / "no.onnx", *options)
        assert wrong.exit_code == 2 and "--batch-sizes" in wrong.stderr
    explained = run(
        "compile", folder / "two.keras", "-o", output, "--target", "reference", "--explain"
    )
    assert explained.exit_code == 0 and "to_inference" in explained.stderr


def test_activations_by_the_name_of_a_lambda(tmp_path: Path) -> None:
    def dense(name: str, **config: Any) -> dict[str, Any]:
        return {"class_name": "Dense", "config": {"name": name, "units": 2, **config}}

    first = dense("a", batch_input_shape=[None, 3], activation="<lambda>")
    config = {"name": "m", "layers": [first, dense("b")]}
    spec = {"class_name": "Sequential", "config": config, "keras_version": "2.4.0"}
    file = tmp_path / "old.json"
    file.write_text(json.dumps(spec))
    output = tmp_path / "m.onnx"
    refused = run("compile", file, "-o", output)
    assert refused.exit_code == 1 and "<lambda>" in refused.stderr
    report = run_json("compile", file, "-o", output, "--activation", "<lambda>=relu")
    assert "Relu" in report["ops"]
    assert run("compile", file, "-o", output, "--activation", "relu").exit_code == 2


# verify


def test_verify(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "two.onnx"
    run_json("compile", folder / "two.h5", "-o", output, "--no-verify")
    report = run_json("verify", folder / "two.keras", output, "--data", folder / "data.npz")
    assert report["verification"]["kcompile.verification.sizes"] == "batch = 2"
    model = onnx.load(output)
    weight = next(w for w in model.graph.initializer if len(w.dims) == 2)
    values = np.frombuffer(weight.raw_data, np.float32).copy()
    values[3] += 0.01
    weight.raw_data = values.tobytes()
    onnx.save(model, output)
    changed = run("verify", folder / "two.keras", output)
    assert changed.exit_code == 3 and "it differs by" in changed.stderr
    renamed = run("verify", folder / "two.keras", output, "--rename", "scores=p")
    assert renamed.exit_code == 3 and "the model returns scores, value" in renamed.stderr


def test_verify_refuses_data_that_do_not_fit(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "two.onnx"
    run_json("compile", folder / "two.h5", "-o", output, "--no-verify")
    np.savez(tmp_path / "half.npz", image=np.zeros((1, 6, 5, 3), np.float32))
    np.save(tmp_path / "one.npy", np.zeros(1))
    (tmp_path / "no.npz").write_bytes(b"PK\3\4 nothing")
    np.savez(tmp_path / "pickle.npz", image=np.array([{}], object))
    for name, message in (
        ("half.npz", "the data input %extra : f32[batch,4] is missing"),
        ("one.npy", "it is no .npz file"),
        ("no.npz", "it is no .npz file. Make it by numpy.savez"),
        ("pickle.npz", "it is no .npz file of numbers"),
    ):
        result = run("verify", folder / "two.h5", output, "--data", tmp_path / name)
        assert result.exit_code == 1 and message in result.stderr, result.stderr


def test_verify_refuses_what_is_no_onnx_file(folder: Path) -> None:
    result = run("verify", folder / "two.h5", folder / "data.npz")
    assert result.exit_code == 1 and "onnxruntime refuses it" in result.stderr


# diff


def test_the_same_model_in_two_formats_is_the_same(folder: Path) -> None:
    for file in FILES:
        result = run("diff", folder / "two.keras", folder / file)
        assert (result.exit_code, result.stdout) == (0, ""), result.output


def test_diff_tells_what_differs(folder: Path, tmp_path: Path) -> None:
    model = make_model()
    config = json.loads(model.to_json())
    layers = {layer["name"]: layer["config"] for layer in config["config"]["layers"]}
    layers["conv"]["activation"] = "tanh"
    layers["norm"]["epsilon"] = 0.5
    (tmp_path / "other.json").write_text(json.dumps(config))
    kernel = model.get_layer("scores").kernel
    kernel.assign(np.asarray(kernel) * np.float32(1.001))
    model.save_weights(tmp_path / "other.weights.h5")
    result = run("diff", folder / "two.h5", tmp_path / "other.json", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert not report["equal"] and report["weights"]
    places = {entry["place"]: (entry["left"], entry["right"]) for entry in report["differences"]}
    assert places.keys() == {
        "conv.config.activation",
        "norm.config.epsilon",
        "scores/kernel",
    }
    assert places["conv.config.activation"] == ("'relu'", "'tanh'")
    assert places["scores/kernel"][0].endswith("of 156 differ")
    text = run("diff", folder / "two.h5", tmp_path / "other.json")
    assert text.exit_code == 1
    assert "conv.config.activation: config: 'relu' | 'tanh'\n" in text.stdout
    close = run("diff", folder / "two.h5", tmp_path / "other.json", "--tolerance", 0.01, "--json")
    assert len(json.loads(close.stdout)["differences"]) == 2


def test_diff_without_weights_or_with_trouble(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bare.json").write_text((folder / "two.json").read_text())
    result = run("diff", folder / "two.keras", tmp_path / "bare.json")
    assert result.exit_code == 0 and "they are not compared" in result.stderr
    (tmp_path / "bad.json").write_text("{")
    trouble = run("diff", folder / "two.keras", tmp_path / "bad.json")
    assert trouble.exit_code == 2 and "it is not JSON" in trouble.stderr
    assert "1  they differ" in run("diff", "--help").stdout


# convert


@pytest.mark.parametrize("ending", ["keras", "h5", "weights.h5", "json"])
def test_convert(folder: Path, tmp_path: Path, ending: str) -> None:
    output = tmp_path / f"new.{ending}"
    report = run_json("convert", folder / "tfjs" / "model.json", output)
    assert report["parameters"] == 340 and report["made_by"].startswith("TF.js (Keras 3.15.1")
    if ending in ("keras", "h5"):
        model = keras.models.load_model(output)
    elif ending == "json":
        model = keras.models.model_from_json(output.read_text())
        model.load_weights(folder / "two.weights.h5")
    else:
        model = keras.models.model_from_json((folder / "two.json").read_text())
        model.load_weights(output)
    data = np.load(folder / "data.npz")
    scores, _ = model([data["image"], data["extra"]])
    expected = np.load(folder / "expected.npz")["scores"]
    np.testing.assert_allclose(np.asarray(scores), expected, rtol=1e-5, atol=1e-6)


def test_convert_carries_how_a_model_is_trained(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
    model.compile(keras.optimizers.Adam(0.02), "mse", metrics=["mae"])
    x, y = np.ones((8, 3), np.float32), np.zeros((8, 2), np.float32)
    model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    model.save(tmp_path / "old.keras")
    for name in ("new.keras", "new.h5"):
        result = run("convert", tmp_path / "old.keras", tmp_path / name)
        assert result.exit_code == 0, result.output
        assert kcompile.models.load_model(tmp_path / name).optimizer.iterations == 4
    # Of its own .h5 files, too, Keras restores no slots.
    found = keras.saving.load_model(tmp_path / "new.keras")
    pairs = zip(found.optimizer.variables, model.optimizer.variables, strict=True)
    for variable, wanted in pairs:
        np.testing.assert_array_equal(variable.numpy(), wanted.numpy())


def test_convert_leaves_out_training_that_is_not_known(tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable("mine")
    def own_loss(y: Any, z: Any) -> Any:
        return keras.ops.mean(y - z)

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
    model.compile("adam", own_loss)
    model.save(tmp_path / "old.keras")
    result = run("convert", tmp_path / "old.keras", tmp_path / "new.keras")
    assert result.exit_code == 0, result.output
    assert "warning: how the model is trained is left out" in result.stderr
    assert not keras.saving.load_model(tmp_path / "new.keras").compiled


def test_convert_refuses_other_endings_and_its_own_input(folder: Path, tmp_path: Path) -> None:
    result = run("convert", folder / "two.h5", tmp_path / "x.onnx")
    assert result.exit_code == 1
    assert "'x.onnx' ends in none of .keras, .h5, .hdf5, .json, .weights.h5" in result.stderr
    before = (folder / "two.h5").read_bytes()
    result = run("convert", folder / "two.h5", folder / "two.h5")
    assert result.exit_code == 2 and "would replace" in result.stderr
    assert (folder / "two.h5").read_bytes() == before


# Documents

EXAMPLES = [
    line
    for line in (ROOT / "docs" / "cli.md").read_text().split("```")[1].splitlines()
    if line.startswith("kcompile ")
]


def test_the_examples_in_the_documents(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(EXAMPLES) > 10
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    names = {"two.keras": "model.keras", "two.h5": "old.h5", "two.json": "model.json"}
    for old, new in (names | {"two.weights.h5": "model.weights.h5"}).items():
        (tmp_path / old).rename(tmp_path / new)
    for name, array in np.load(tmp_path / "data.npz").items():
        np.save(tmp_path / f"{name}.npy", array)
    monkeypatch.chdir(tmp_path)
    for example in EXAMPLES:
        result = run(*example.split()[1:])
        assert result.exit_code == 0, f"{example}: {result.output}"


def test_the_document_names_every_command_and_option() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    for name, command in main.commands.items():
        assert f"`kcompile {name} " in text
        for option in command.params:
            long = [entry for entry in option.opts if entry.startswith("--")]
            told = not long or long[0] in text or name in ("run", "inspect")
            assert told or long[0] in ("--output", "--verify"), (name, long)


# What is written, and what it costs


def test_a_failed_compilation_leaves_the_old_file(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "two.onnx"
    output.write_bytes(b"old")
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes((folder / "two.keras").read_bytes()[:-100])
    for options in ([damaged], [folder / "two.keras", "--rename", "nothing=x"]):
        result = run("compile", *options, "-o", output)
        assert result.exit_code == 1, result.output
        assert output.read_bytes() == b"old"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.keras", "two.onnx"]


def process(code: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


COMMANDS = """
import os, sys
from kcompile.cli import main
folder, output = sys.argv[1:]
os.chdir(folder)
for command in (
    f"compile two.keras -o {output}/a.onnx",
    f"compile two.h5 -o {output}/b.onnx --target onnxruntime==1.20 --json",
    f"compile tfjs/model.json -o {output}/c.onnx",
    "inspect two.h5",
    "diff two.keras two.h5",
    f"verify two.keras {output}/b.onnx --data data.npz",
    f"convert two.h5 {output}/d.keras",
    f"convert two.h5 {output}/d.h5",
):
    try:
        main(command.split(), standalone_mode=False)
    except SystemExit as error:
        assert not error.code, command
heavy = {"jax", "jaxlib", "optax", "keras", "tensorflow"} & set(sys.modules)
print("imported:", *sorted(heavy), file=sys.stderr)
"""


def test_no_command_imports_a_framework(folder: Path, tmp_path: Path) -> None:
    result = process(COMMANDS, folder, tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[-1] == "imported:"
    assert len(list(tmp_path.iterdir())) == 5


#: Started from a small process: the peak of a child is at least what its parent had at the fork.
PEAK = """
import resource, subprocess, sys
subprocess.run([sys.executable, *sys.argv[1:]], check=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(peak if sys.platform == "darwin" else 1024 * peak)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dense", "convolutional"])
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_memory_stays_below_three_times_the_file(tmp_path: Path, kind: str, ending: str) -> None:
    L = kcompile.layers
    if kind == "dense":
        layers = [L.Input((2560,)), *(L.Dense(2560, activation="relu") for _ in range(4))]
    else:
        layers = [L.Input((8, 8, 512))]
        for _ in range(11):
            layers += [L.Conv2D(512, 3, padding="same"), L.BatchNormalization(), L.ReLU()]
    kcompile.utils.set_random_seed(0)
    file = tmp_path / f"large.{ending}"
    kcompile.Sequential(layers).save(file)
    result = process(PEAK, "-m", "kcompile", "compile", file, "-o", tmp_path / "large.onnx")
    assert result.returncode == 0, result.stderr
    assert file.stat().st_size > 100e6
    assert int(result.stdout) < 3 * file.stat().st_size


@pytest.mark.slow
def test_a_small_file_takes_less_than_three_times_its_imports(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "start_up.py", "--pairs", "7"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    ratio = float(result.stdout.splitlines()[-1].split()[1])
    assert ratio < 3, result.stdout
