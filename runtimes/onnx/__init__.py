"""The ONNX runtime: a graph as a `ModelProto`."""

from kcompile.runtimes.onnx.check import check_model
from kcompile.runtimes.onnx.export import export_graph, with_metadata
from kcompile.runtimes.onnx.info import model_info

__all__ = ["check_model", "export_graph", "model_info", "with_metadata"]
