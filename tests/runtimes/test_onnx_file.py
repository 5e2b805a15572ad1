"""Tests of files that are written from their weights' own memory, and of releases."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest

import kcompile
from kcompile.ir.errors import ExportError, SpecError, VerifyError
from kcompile.ir.graph import Graph
from kcompile.ir.parser import parse_graph
from kcompile.passes.bind_weights import bind_weights
from kcompile.runtimes.onnx.export import IR_VERSIONS, export_file, export_graph
from kcompile.runtimes.onnx.file import SMALL_BYTES, OnnxFile, metadata_bytes
from kcompile.runtimes.onnx.releases import LIMITS, check_release, parse_release
from kcompile.runtimes.onnxruntime.expectation import expect
from kcompile.runtimes.onnxruntime.verification import (
    LARGE_BYTES,
    verify_file,
)

TEXT = """graph @g {
  data %x : f32[batch,40]
  param %w : f32[40,30]
  param %b : f32[30]
  %linear : f32[batch,30] = linear(%x, %w, %b)
  %y : f32[batch,30] = gelu(%linear) {approximate=false}
  output "y" = %y
}"""
METADATA = {"b": "2", "a": "1", "c": "x" * 200}


def graph() -> Graph:
    random = np.random.default_rng(0)
    shapes = {"w": (40, 30), "b": (30,)}
    weights = {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    return bind_weights(parse_graph(TEXT), weights)


def contents(file: OnnxFile, metadata: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    file.write(buffer, metadata)
    return buffer.getvalue()


def test_it_is_what_protocol_buffers_write() -> None:
    expected = export_graph(graph(), metadata=METADATA).SerializeToString(deterministic=True)
    assert contents(export_file(graph()), METADATA) == expected
    assert contents(export_file(graph())) + metadata_bytes(METADATA) == expected


@pytest.mark.parametrize(
    "array",
    [
        np.float32(3).reshape(()),
        np.zeros((0, 3), np.float32),
        np.arange(200, dtype=np.int64),
        np.array([True, False]),
        np.arange(6, dtype=np.float64).reshape(2, 3).T,
        np.array(["ab", "c"], object),
        np.array([], object),
    ],
    ids=["rank 0", "empty", "long", "bool", "strided", "strings", "no strings"],
)
def test_weights_of_every_kind(array: np.ndarray) -> None:
    file = OnnxFile(export_file(graph()).model, {"one": array, "two": array})
    written = contents(file)
    assert written == file.to_model().SerializeToString(deterministic=True)
    loaded = onnx.numpy_helper.to_array(onnx.load_from_string(written).graph.initializer[1])
    assert loaded.shape == array.shape
    np.testing.assert_array_equal(loaded.astype(array.dtype), array)


def test_the_check_looks_at_types_of_large_weights() -> None:
    file = export_file(graph())
    file.check()
    large = file.weights["w"]
    assert large.nbytes > SMALL_BYTES > file.weights["b"].nbytes
    for name, wrong in (("w", large[:, :-1]), ("w", large.astype("float64"))):
        with pytest.raises(VerifyError, match="not a valid ONNX model"):
            OnnxFile(file.model, {**file.weights, name: wrong}).check()


def test_a_file_is_verified_from_its_path_or_contents(tmp_path: Path) -> None:
    expectation = expect(graph())
    path = tmp_path / "m.onnx"
    path.write_bytes(contents(export_file(graph())))
    report = verify_file(expectation, path)
    assert report.as_metadata() == verify_file(expectation, path.read_bytes()).as_metadata()
    assert report.as_metadata()["kcompile.verification.optimization_levels"] == "off, all"
    file = export_file(graph())
    changed = file.weights["w"].copy()
    changed[3, 4] += 0.01
    with pytest.raises(VerifyError, match="it differs by"):
        verify_file(expectation, contents(OnnxFile(file.model, {**file.weights, "w": changed})))


def test_large_files_are_verified_with_less_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from kcompile.runtimes.onnxruntime import verification

    assert LARGE_BYTES == 2**26
    monkeypatch.setattr(verification, "LARGE_BYTES", 10)
    report = verify_file(expect(graph()), contents(export_file(graph())))
    assert report.as_metadata()["kcompile.verification.optimization_levels"] == "off, extended"


# Releases


def test_the_file_of_each_opset_has_an_ir_version_that_the_release_takes() -> None:
    for opset, ir_version in LIMITS.values():
        assert IR_VERSIONS[opset] <= ir_version


def test_the_release_that_is_installed_is_the_last_one() -> None:
    import onnxruntime

    release = parse_release(f"onnxruntime=={onnxruntime.__version__}")
    assert (release.opset, release.ir_version) == LIMITS[int(onnxruntime.__version__.split(".")[1])]


@pytest.mark.parametrize(
    "target", ["onnxruntime==2.0", "onnxruntime==1.3", "onnxruntime", "x==1.20"]
)
def test_unknown_releases_are_refused(target: str) -> None:
    with pytest.raises(SpecError, match=r"is no release.*onnxruntime==1.15 to onnxruntime==1.32"):
        parse_release(target)


def test_a_release_bounds_the_opset() -> None:
    check_release(graph(), None, parse_release("onnxruntime==1.17"))
    check_release(graph(), 20, parse_release("onnxruntime==1.17.3"))
    words = parse_graph(
        """graph @words {
          data %text : string[batch]
          %words : string[batch,4] = split_string(%text) {length=4}
          output "words" = %words
        }"""
    )
    with pytest.raises(
        ExportError, match="split_string: needs opset 20, and onnxruntime 1.16 takes at most 19"
    ):
        check_release(words, None, parse_release("onnxruntime==1.16"))
    with pytest.raises(
        ExportError, match="opset 21 is asked for, and onnxruntime 1.17 takes at most 20"
    ):
        check_release(graph(), 21, parse_release("onnxruntime==1.17"))


@pytest.mark.parametrize(("release", "opset", "has_gelu"), [(15, 19, False), (20, 20, True)])
def test_a_release_decides_which_form_an_op_has(release: int, opset: int, has_gelu: bool) -> None:
    executable = kcompile.compile(graph(), f"onnxruntime==1.{release}")
    model = onnx.load_from_string(executable.to_bytes())
    assert model.opset_import[0].version == opset
    assert any(node.op_type == "Gelu" for node in model.graph.node) is has_gelu
