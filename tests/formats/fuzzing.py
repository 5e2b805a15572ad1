"""Good files of every kind with bytes changed at random, read in a process of their own.

`python -m tests.formats.fuzzing FOLDER START END SECONDS` tries the cases from START up to END, for
at most so many seconds. It keeps in FOLDER the files of the case that it is at and, in `log`, a
line for each case. It is ended by a signal where a case takes too long or crashes a library.
"""

from __future__ import annotations

import io
import json
import random
import signal
import sys
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import kcompile
from kcompile.ir.errors import KCompileError
from kcompile.models import load_model, model_from_json

Files = dict[str, bytes]

#: Seconds and bytes of address space for a case.
CASE_SECONDS, CASE_MEMORY = 20, 2**33
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


def small() -> Any:
    """A model with layers of several kinds of weights, and a model inside."""
    layers = kcompile.layers
    inner = kcompile.Sequential(
        [layers.Input((4,), name="y"), layers.Dense(3, name="d"), layers.BatchNormalization()],
        name="inner",
    )
    x = kcompile.Input((6, 4), name="x")
    y = layers.Bidirectional(layers.GRU(2, name="gru"), name="both")(x)
    y = layers.Dense(3, activation="softmax", name="out")(
        layers.Concatenate(name="joined")([y, inner(x[:, 0])])
    )
    model = kcompile.Model(x, y, name="m")
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


def stored(write: Callable[[Path], Any], folder: Path, name: str) -> bytes:
    path = folder / name
    write(path)
    data = path.read_bytes()
    path.unlink()
    return data


def tfjs() -> Files:
    """A layers model of TF.js with two shards."""
    weights = {"a/kernel": np.ones((4, 3), "f4"), "a/bias": np.zeros(3, "f4")}
    data = b"".join(array.tobytes() for array in weights.values())
    entries = [
        {"name": name, "shape": list(array.shape), "dtype": "float32"}
        for name, array in weights.items()
    ]
    first = {"name": "a", "units": 3, "batch_input_shape": [None, 4], "dtype": "float32"}
    config = {"name": "m", "layers": [{"class_name": "Dense", "config": first}]}
    topology = {
        "keras_version": "2.4.0",
        "backend": "tensorflow",
        "model_config": {"class_name": "Sequential", "config": config},
    }
    spec = {
        "format": "layers-model",
        "modelTopology": topology,
        "weightsManifest": [{"paths": ["1.bin", "2.bin"], "weights": entries}],
    }
    return {
        "model.json": json.dumps(spec).encode(),
        "1.bin": data[:20],
        "2.bin": data[20:],
    }


def seeds(folder: Path) -> dict[str, Files]:
    """The good files of each kind."""
    model = small()
    weights = stored(model.save_weights, folder, "m.weights.h5")
    whole = stored(model.save, folder, "m.h5")
    archive = zipfile.ZipFile(io.BytesIO(stored(model.save, folder, "m.keras")))
    return {
        "h5": {"m.h5": whole},
        "weights": {"m.weights.h5": weights},
        "old weights": {"m.h5": whole},
        "json": {"m.json": model.to_json().encode(), "m.weights.h5": weights},
        "tfjs": tfjs(),
        "keras": {name: archive.read(name) for name in archive.namelist()},
    }


def mutated(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut off, exchanged, or taken from another file."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at, length = rng.randrange(len(changed) + 1), rng.choice((1, 2, 4, 8, 16, 64, 512))
        match rng.randrange(8):
            case 0 | 1:
                changed[at : at + 1] = bytes((rng.randrange(256),))
            case 2:
                if at < len(changed):
                    changed[at] ^= 1 << rng.randrange(8)
            case 3:
                number = rng.choice(_NUMBERS).to_bytes(8, "little")[: rng.choice((1, 2, 4, 8))]
                changed[at : at + len(number)] = number
            case 4:
                to = rng.randrange(len(changed) + 1)
                one, two = changed[at : at + length], changed[to : to + length]
                changed[at : at + len(two)] = two
                changed[to : to + len(one)] = one
            case 5:
                begin = rng.randrange(len(other) + 1)
                piece = other[begin : begin + length]
                changed[at : at + (length if rng.randrange(2) else 0)] = piece
            case 6:
                del changed[at : at + length]
            case _:
                if not rng.randrange(8):
                    del changed[at:]
    return bytes(changed)


def case_files(good: dict[str, Files], index: int) -> tuple[str, Files]:
    """The kind and the files of a case; they follow from its number."""
    kind = list(good)[index % len(good)]
    rng = random.Random(index)
    files = dict(good[kind])
    others = [data for files_ in good.values() for data in files_.values()]
    name = rng.choice(list(files))
    files[name] = mutated(files[name], rng.choice(others), rng)
    return kind, files


def write(folder: Path, kind: str, files: Files) -> Path:
    """Write a case's files; the path of the one to read."""
    if kind != "keras":
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return folder / next(iter(files))
    with zipfile.ZipFile(folder / "m.keras", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return folder / "m.keras"


def read(kind: str, path: Path, isolate: bool = False) -> None:
    """Read a case's files, and trace what comes of it.

    Raises:
        KCompileError: they are refused.
    """
    if kind in ("weights", "old weights"):
        model = small()
        model.load_weights(path)
    elif kind == "json":
        model = model_from_json(path.read_text("utf-8", "replace"))
        model.load_weights(path.with_name("m.weights.h5"))
    else:
        model = load_model(path, isolate=isolate)
    if model.built:
        model.graph()


def main(folder: Path, start: int, end: int, seconds: float) -> None:
    good = seeds(folder)
    until = time.monotonic() + seconds
    case = folder / "case"
    case.mkdir(exist_ok=True)
    with (folder / "log").open("a", encoding="utf-8") as log:
        for index in range(start, end):
            if time.monotonic() > until:
                break
            kind, files = case_files(good, index)
            path = write(case, kind, files)
            log.write(f"\n{index} {kind}: ")
            log.flush()
            signal.alarm(CASE_SECONDS)
            try:
                read(kind, path)
                log.write("read")
            except KCompileError as error:
                log.write("refused" if error.where else f"FAILED: no place: {error}")
            except Exception:
                log.write("FAILED: " + traceback.format_exc().replace("\n", " | "))
            finally:
                signal.alarm(0)
            log.flush()


def limit() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (CASE_MEMORY, CASE_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    limit()
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
