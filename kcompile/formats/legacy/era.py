"""Which Keras wrote a file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kcompile.formats.place import Place, shorten

#: `1.2.2`, `2.2.4-tf`, `2.7.0`, `3.15.1`, `2.5.0-rc1`.
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?([-.+]?[A-Za-z][\w.+-]{0,30})?")
BACKENDS = ("tensorflow", "theano", "cntk", "mxnet", "plaidml", "jax", "torch", "numpy", "openvino")
#: The backend of files that do not tell it.
UNKNOWN = "not told"


@dataclass(frozen=True, order=True)
class Era:
    """A version of Keras, and the backend that it ran on.

    Attributes:
        major, minor, patch: of the version.
        backend: in lower case. Where the file does not tell, `UNKNOWN` in Keras 1, which never did,
            and `tensorflow` since.
        is_of_tensorflow: whether it is the Keras inside TensorFlow, of the time when there was
            another one beside it.
    """

    major: int
    minor: int
    patch: int = 0
    backend: str = "tensorflow"
    is_of_tensorflow: bool = False

    def __str__(self) -> str:
        return f"Keras {self.major}.{self.minor}.{self.patch} ({self.backend})"


def parse_era(version: str | None, backend: str | None, place: Place) -> Era:
    """The era that a file records; one that records none is of Keras 1, which did not.

    Raises:
        FormatError: the version or the backend is none.
    """
    found = _VERSION.fullmatch("1.0.0" if version is None else version)
    if found is None:
        raise (place / "keras_version").error(f"is no version: {shorten(version)}")
    major = int(found[1])
    of_tensorflow = found[4] == "-tf"
    if backend is None:
        name = UNKNOWN if major == 1 else "tensorflow"
        return Era(major, int(found[2]), int(found[3] or 0), name, of_tensorflow)
    name = "plaidml" if "plaidml" in backend else backend.lower()  # plaidml.keras.backend
    if name not in BACKENDS:
        raise (place / "backend").error(f"is no backend of Keras: {shorten(backend)}")
    return Era(major, int(found[2]), int(found[3] or 0), name, of_tensorflow)
