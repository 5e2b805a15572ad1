"""Executables as files: what is saved computes the same elsewhere, or is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile import ops
from kcompile.formats import container
from kcompile.ir.errors import DataError, ExportError, FormatError
from kcompile.layers import BatchNormalization, Conv2D, Dense, Flatten, Input, StringLookup

ROOT = Path(__file__).parents[2]
IMAGES = np.random.default_rng(0).random((3, 6, 6, 1), np.float32)
ROWS: dict[str, dict[str, Any]] = {"reference": {}, "xla": {"batch_sizes": [3, 1]}, "onnx": {}}
targets = pytest.mark.parametrize("target", list(ROWS))


def convolutional() -> Any:
    kcompile.utils.set_random_seed(0)
    image = Input((6, 6, 1), name="image")
    x = Conv2D(4, 3, activation="relu", name="conv")(image)
    x = Flatten(name="flat")(BatchNormalization(name="norm")(x))
    return kcompile.Model(image, [Dense(3, name="scores")(x), image], name="digits")


def dense() -> Any:
    kcompile.utils.set_random_seed(0)
    x = Input((4,), name="x")
    return kcompile.Model(x, Dense(3, name="y")(x), name="small")


def saved(folder: Path, target: str, model: Any = None) -> tuple[kcompile.Executable, Path]:
    executable = kcompile.compile(model or dense(), target)
    path = folder / f"{target}.kcx"
    executable.save(path, **ROWS[target])
    return executable, path


def loaded(path: Path) -> kcompile.Executable:
    return kcompile.load_executable(path, trusted=True)


def assert_equal(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert list(actual) == list(expected)
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype
        np.testing.assert_array_equal(actual[name], array)


@targets
def test_what_is_loaded_computes_the_same(tmp_path: Path, target: str) -> None:
    executable, path = saved(tmp_path, target, convolutional())
    again = loaded(path)
    assert again.target == target
    for rows in (IMAGES, IMAGES[:1]):
        assert_equal(again.run(rows), executable.run(rows))
        assert_equal(again.run({"image": rows}), executable.run(rows))


def test_the_graph_and_the_report_come_back(tmp_path: Path) -> None:
    executable, path = saved(tmp_path, "reference", convolutional())
    again = loaded(path)
    assert again.graph == executable.graph
    assert again.report == executable.report
    assert again.to_bytes() == path.read_bytes()
    assert repr(again) == "<Executable reference of 'digits'>"
    session = loaded(saved(tmp_path, "onnx")[1])
    assert session.report["file_bytes"] == len(session.to_bytes())
    with pytest.raises(FormatError, match="an ONNX file does not hold the graph"):
        _ = session.graph


@pytest.mark.parametrize("target", ["reference", "xla"])
def test_wide_types_and_large_constants(tmp_path: Path, target: str) -> None:
    x = Input((5,), name="x")
    table = np.random.default_rng(1).random((5, 20), np.float32)
    outputs = [ops.cast(x, "float64"), ops.cast(ops.argmax(x), "int64"), ops.matmul(x, table)]
    path = tmp_path / "wide.kcx"
    model = kcompile.Model(x, outputs, name="wide")
    executable = kcompile.compile(model, target, path, sizes={"batch": 2})
    rows = np.random.default_rng(2).random((2, 5), np.float32)
    expected = executable.run(rows)
    assert {array.dtype.name for array in expected.values()} == {"float64", "int64", "float32"}
    assert_equal(loaded(path).run(rows), expected)


def test_strings_are_for_the_reference(tmp_path: Path) -> None:
    text = Input((), dtype="string", name="text")
    words = [f"word{i}é" for i in range(100)]
    model = kcompile.Model(text, StringLookup(vocabulary=words, name="lookup")(text), name="words")
    executable, path = saved(tmp_path, "reference", model)
    rows = np.array(["word3é", "other"], object)
    assert_equal(loaded(path).run(rows), executable.run(rows))
    with pytest.raises(ExportError, match="has no strings, which %text"):
        kcompile.compile(model, "xla").save(tmp_path / "no.kcx", batch_sizes=[1])
    assert not (tmp_path / "no.kcx").exists()


def test_inputs_by_the_keys_of_a_dict(tmp_path: Path) -> None:
    inputs = {"b": Input((2,), name="second"), "a": Input((3,), name="first")}
    joined = ops.concatenate([inputs["a"], inputs["b"]], axis=1)
    executable, path = saved(tmp_path, "xla", kcompile.Model(inputs, joined, name="keys"))
    rows = {"a": np.ones((1, 3), np.float32), "b": np.zeros((1, 2), np.float32)}
    assert_equal(loaded(path).run(rows), executable.run(rows))


RUN = """
import sys
import numpy as np
import kcompile
executable = kcompile.load_executable(sys.argv[1], trusted=True)
compiled = []
if "jax" in sys.modules:
    import jax
    def note(name, *_, **__):
        compiled.append(name)
    jax.monitoring.register_event_duration_secs_listener(note)
np.savez(sys.argv[3], *executable.run(np.load(sys.argv[2])).values())
assert not [name for name in compiled if "compile" in name], compiled
print("jax" in sys.modules)
"""


@targets
def test_another_process_runs_it_without_compiling(tmp_path: Path, target: str) -> None:
    executable, path = saved(tmp_path, target, convolutional())
    np.save(tmp_path / "rows.npy", IMAGES)
    arguments = [path, tmp_path / "rows.npy", tmp_path / "outputs.npz"]
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN, *map(str, arguments)],
        **{"capture_output": True, "text": True, "cwd": ROOT},
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [str(target == "xla")]
    assert run.stderr == ""
    expected = executable.run(IMAGES)
    with np.load(tmp_path / "outputs.npz") as found:
        assert_equal(dict(zip(expected, found.values(), strict=True)), expected)


def test_machine_code_needs_trust(tmp_path: Path) -> None:
    _, path = saved(tmp_path, "xla")
    with pytest.raises(FormatError, match=r"xla.kcx: it holds machine code.*trusted=True"):
        kcompile.load_executable(path)


def test_programs_are_for_the_numbers_of_rows_that_were_said(tmp_path: Path) -> None:
    executable, path = saved(tmp_path, "xla")
    again = loaded(path)
    with pytest.raises(DataError, match="no program for 2 rows. There are some for 3, 1 rows"):
        again.run(np.ones((2, 4), np.float32))
    with pytest.raises(DataError, match="needs elements of type float32, got float64"):
        again.run(np.ones((3, 4)))
    again.save(path, batch_sizes=[2])
    rows = np.ones((2, 4), np.float32)
    assert_equal(loaded(path).run(rows), executable.run(rows))
    for sizes, message in (
        ((), "the number of rows is open.*Save with batch_sizes"),
        ((0,), "a number of rows cannot be 0"),
        ((True,), "a number of rows cannot be True"),
    ):
        with pytest.raises(ExportError, match=message):
            executable.save(tmp_path / "no.kcx", batch_sizes=sizes)
    fixed = kcompile.compile(dense(), "xla", sizes={"batch": 2})
    with pytest.raises(ExportError, match="its number of rows is fixed. Leave out batch_sizes"):
        fixed.save(tmp_path / "no.kcx", batch_sizes=[2])
    with pytest.raises(ExportError, match="an executable of 'reference' takes any number of rows"):
        saved(tmp_path, "reference")[0].save(tmp_path / "no.kcx", batch_sizes=[2])
    assert not (tmp_path / "no.kcx").exists()


def test_other_sizes_need_a_number(tmp_path: Path) -> None:
    steps = Input((None, 4), name="steps")
    model = kcompile.Model(steps, ops.mean(steps, axis=1), name="open")
    with pytest.raises(
        ExportError, match=r"is open, and a saved XLA program has one number"
    ) as error:
        kcompile.compile(model, "xla").save(tmp_path / "no.kcx", batch_sizes=[1])
    assert "Compile with sizes=" in str(error.value)
    executable = kcompile.compile(model, "xla", shapes={"steps": (None, 7, 4)})
    executable.save(tmp_path / "yes.kcx", batch_sizes=[2])
    rows = np.random.default_rng(0).random((2, 7, 4), np.float32)
    assert_equal(loaded(tmp_path / "yes.kcx").run(rows), executable.run(rows))


def changed(path: Path, change: Any) -> None:
    """Write a container anew, its checksum included, with what `change` does to it."""
    header, blobs = container.unpack(path)
    change(header, blobs)
    path.write_bytes(container.pack(header, blobs))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("jax", "0.1.0", r"jax 0.1.0, here \d.*Compile the model again, here"),
        ("jaxlib", "0.1.0", "jaxlib 0.1.0, here"),
        ("kcompile", "99.0", "kcompile 99.0, here"),
        ("backend", "abacus", "backend abacus, here"),
        ("device", "beads", "device beads, here"),
        ("system", "plan9 vax", "system plan9 vax, here"),
        ("instructions", ["avx1024"], "avx1024, which are not here"),
        ("instructions", "all", "instructions that it does not tell"),
    ],
)
def test_code_for_another_machine_or_version_is_refused(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    _, path = saved(tmp_path, "xla")
    changed(path, lambda header, blobs: header["stamp"].update({key: value}))
    with pytest.raises(FormatError, match="made for another machine or version: ") as error:
        loaded(path)
    assert error.match(message)


def test_a_processor_with_more_instructions_runs_it(tmp_path: Path) -> None:
    executable, path = saved(tmp_path, "xla")
    changed(path, lambda header, blobs: header["stamp"]["instructions"].pop())
    rows = np.ones((1, 4), np.float32)
    assert_equal(loaded(path).run(rows), executable.run(rows))


HOSTILE = [
    ("xla", lambda h, b: b.update({"programs/3": b["programs/3"][:-40]}), "XLA does not take"),
    ("xla", lambda h, b: b.update({"programs/3": b""}), "XLA does not take"),
    ("xla", lambda h, b: b.update({"programs/-1": b""}), "a program is for '-1' rows"),
    ("xla", lambda h, b: b.update({"programs/" + "9" * 5000: b""}), "a program is for '999"),
    ("xla", lambda h, b: h.update(target="reference"), "machine code is for xla"),
    ("reference", lambda h, b: h.update(target="xla"), "machine code is for xla"),
    ("reference", lambda h, b: h.update(target="abacus"), "its header is not that of"),
    ("reference", lambda h, b: h.pop("stamp"), "its header is not that of"),
    ("reference", lambda h, b: h.update(report=[]), "is no object"),
    ("reference", lambda h, b: h.update(input_names={"a": "zz"}), "the graph has no input 'zz'"),
    ("reference", lambda h, b: h.update(input_names={"a": []}), r"the graph has no input \[\]"),
    ("reference", lambda h, b: h.update(constants={"00": "f32[2]"}), "constants of the header"),
    ("reference", lambda h, b: b.pop("graph"), "it has no graph"),
    ("reference", lambda h, b: b.update(more=b""), "its blob 'more' is unknown"),
    ("reference", lambda h, b: b.update({"weights/zz": b""}), "has no input %zz"),
    ("reference", lambda h, b: b.update({"weights/x": b""}), "weights"),
    (
        "reference",
        lambda h, b: b.update({"weights/y/bias": b"1"}),
        "takes 12 bytes, and there are 1",
    ),
    ("reference", lambda h, b: b.update(graph=b"\xff"), "graph: UnicodeDecodeError"),
    ("reference", lambda h, b: b.update(graph=b"graph @g {"), "graph: ParseError"),
    ("reference", lambda h, b: b.update(graph=b'graph @"\\x" {}'), "graph: "),
    ("reference", lambda h, b: b.update(graph=_graph("(" * 100_000)), "graph: RecursionError"),
    ("reference", lambda h, b: b.update(graph=_graph("9" * 5000)), "graph: ValueError"),
    ("reference", lambda h, b: b.update(graph=_graph("batch", "exec()")), "graph: ParseError"),
    (
        "reference",
        lambda h, b: b.update(graph=_graph("2", "constant() {value=f32[4611686018427387904]<1>}")),
        "graph: ",
    ),
]


def _graph(size: str, node: str = "") -> bytes:
    made = f"%n : f32[2] = {node}" if node else ""
    return f'graph @g {{ data %x : f32[{size}] {made} output "y" = %x }}'.encode()


@pytest.mark.parametrize(("target", "change", "message"), HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, target: str, change: Any, message: str) -> None:
    _, path = saved(tmp_path, target)
    changed(path, change)
    with pytest.raises(FormatError, match=message) as error:
        loaded(path)
    assert str(error.value).startswith(path.name)


TOKENS = [b"(", b")", b"[", b"{", b"<", b"-1", b"9" * 20, b"nan", b'"', b"%x", b"//", b"max(", b"_"]


def test_graphs_of_scrambled_text_load_or_are_refused(tmp_path: Path) -> None:
    _, path = saved(tmp_path, "reference", convolutional())
    header, blobs = container.unpack(path)
    random = np.random.default_rng(0)
    num_refused = 0
    for _ in range(400):
        text = bytearray(blobs["graph"])
        for _ in range(random.integers(1, 4)):
            begin = int(random.integers(len(text)))
            token = TOKENS[random.integers(len(TOKENS))]
            text[begin : begin + int(random.integers(8))] = token * int(random.integers(2))
        path.write_bytes(container.pack(header, {**blobs, "graph": bytes(text)}))
        try:
            kcompile.load_executable(path)
        except FormatError:
            num_refused += 1
    assert num_refused > 300


def test_a_program_that_does_not_give_what_its_graph_says(tmp_path: Path) -> None:
    _, path = saved(tmp_path, "xla")
    changed(path, lambda h, b: b.update({"programs/2": b["programs/3"]}))
    with pytest.raises(FormatError, match="the program is not that of its graph"):
        loaded(path).run(np.ones((2, 4), np.float32))


def test_what_is_no_executable(tmp_path: Path) -> None:
    path = tmp_path / "model.kcx"
    for content in (b"", b"PK\3\4", b"no model"):
        path.write_bytes(content)
        with pytest.raises(
            FormatError, match=r"model.kcx: it is no executable of kcompile, and no"
        ):
            kcompile.load_executable(path)
    with pytest.raises(FileNotFoundError):
        kcompile.load_executable(tmp_path / "nowhere.kcx")


def test_what_was_there_stays_where_saving_fails(tmp_path: Path) -> None:
    executable, path = saved(tmp_path, "xla")
    before = path.read_bytes()
    with pytest.raises(ExportError):
        executable.save(path)
    assert path.read_bytes() == before
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        executable.save(tmp_path / "no" / "model.kcx", batch_sizes=[1])
