"""The names of `keras.ops.linalg`. Products are in kcompile.ops; decompositions refuse."""

from __future__ import annotations

from kcompile.ops.missing import missing
from kcompile.ops.normalization import norm

_NO_DECOMPOSITION = "ONNX has no op that decomposes or inverts a matrix, and a graph has to export"
_NO_TRANSFORM = "a graph is differentiated as a whole, when it is trained"

cholesky = missing("ops.cholesky", _NO_DECOMPOSITION)
cholesky_inverse = missing("ops.cholesky_inverse", _NO_DECOMPOSITION)
det = missing("ops.det", _NO_DECOMPOSITION)
eig = missing("ops.eig", _NO_DECOMPOSITION)
eigh = missing("ops.eigh", _NO_DECOMPOSITION)
inv = missing("ops.inv", _NO_DECOMPOSITION)
jvp = missing("ops.jvp", _NO_TRANSFORM)
logdet = missing("ops.logdet", _NO_DECOMPOSITION)
lstsq = missing("ops.lstsq", _NO_DECOMPOSITION)
lu_factor = missing("ops.lu_factor", _NO_DECOMPOSITION)
matrix_rank = missing("ops.matrix_rank", _NO_DECOMPOSITION)
pinv = missing("ops.pinv", _NO_DECOMPOSITION)
qr = missing("ops.qr", _NO_DECOMPOSITION)
slogdet = missing("ops.slogdet", _NO_DECOMPOSITION)
solve = missing("ops.solve", _NO_DECOMPOSITION)
solve_triangular = missing("ops.solve_triangular", _NO_DECOMPOSITION)
svd = missing("ops.svd", _NO_DECOMPOSITION)

__all__ = [
    "cholesky",
    "cholesky_inverse",
    "det",
    "eig",
    "eigh",
    "inv",
    "jvp",
    "logdet",
    "lstsq",
    "lu_factor",
    "matrix_rank",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
]
