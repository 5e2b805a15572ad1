"""Numbers in a config that ask for large constants or long graphs: refused before they are made."""

from __future__ import annotations

import contextlib
import json
import random
import re
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import kcompile
from kcompile import ops
from kcompile.formats import from_json, to_json
from kcompile.ir.errors import FormatError, KCompileError
from kcompile.models import load_model
from kcompile.ops import limits
from tests.conformance.tables import CASES
from tests.conformance.test_function_architectures import first_of_each_function, symbolic_model

LARGE = 2**28
#: The most bytes and seconds that reading may take.
BYTES, SECONDS = 2**27, 20.0

Config = dict[str, Any]
layers = kcompile.layers


def stack(layer: Any, shape: Any, dtype: str = "float32") -> Config:
    """The config of a model of one layer, whose sizes are changed afterwards."""
    model = kcompile.Sequential([layers.Input(shape, dtype=dtype, name="x"), layer], name="m")
    return as_config(model)


def called(function: Callable[..., Any], shape: Any) -> Config:
    """The config of a model of one function."""
    x = kcompile.Input(shape, name="x")
    return as_config(kcompile.Model(x, function(x), name="m"))


def as_config(model: Any) -> Config:
    config: Config = json.loads(to_json(model))
    for layer in config["config"]["layers"]:
        layer["build_config"] = None
        for tensor in tensors(layer.get("inbound_nodes", [])):
            tensor["shape"] = None
    return config


def tensors(value: Any) -> list[Any]:
    """What stands for tensors among the arguments of calls."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        return [value["config"]]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for entry in inner for found in tensors(entry)]


def set_config(config: Config, **values: Any) -> Config:
    """Change the arguments of the layer or function."""
    config["config"]["layers"][1]["config"].update(values)
    return config


def set_shape(config: Config, *shape: int | None) -> Config:
    config["config"]["layers"][0]["config"]["batch_shape"] = [None, *shape]
    return config


def set_argument(config: Config, index: int, value: Any) -> Config:
    """Change an argument of the function's call."""
    config["config"]["layers"][1]["inbound_nodes"][0]["args"][index] = value
    return config


def unrolled() -> Config:
    layer = layers.ConvLSTM1D(1, 2, unroll=True, name="evil")
    return set_shape(stack(layer, (3, 4, 1)), LARGE, 4, 1)


def nested(depth: int) -> Config:
    """A model in a model, each called twice by the one around it."""
    x = kcompile.Input((2,), name="x0")
    model = kcompile.Model(x, layers.ReLU(name="relu")(x), name="evil0")
    config = as_config(model)
    for level in range(1, depth):
        inner = json.loads(json.dumps(config))
        config = as_config(_twice(level))
        place = next(i for i, e in enumerate(config["config"]["layers"]) if "evil" in e["name"])
        config["config"]["layers"][place]["config"] = inner["config"]
    return config


def _twice(level: int) -> Any:
    y = kcompile.Input((2,), name=f"y{level}")
    inner = kcompile.Model(y, layers.ReLU()(y), name=f"evil{level - 1}")
    x = kcompile.Input((2,), name=f"x{level}")
    return kcompile.Model(x, inner(inner(x)), name=f"evil{level}")


def doubled(depth: int) -> Config:
    """A product of a vector with itself, again and again: sizes with 2**depth digits."""
    x = y = kcompile.Input((2,), name="x")
    for _ in range(3):
        y = ops.ravel(ops.outer(y, y))
    config = as_config(kcompile.Model(x, y, name="m"))
    steps = config["config"]["layers"]
    first, outer, ravel = steps[0], *steps[-2:]
    made = [first]
    for level in range(depth):
        for entry, below in ((outer, made[-1]), (ravel, None)):
            text = json.dumps({**entry, "name": f"evil{level}{entry['name'][:1]}"})
            made.append(json.loads(text))
            made[-1]["config"]["name"] = made[-1]["name"]
            for tensor in tensors(made[-1]["inbound_nodes"]):
                tensor["keras_history"] = [(below or made[-2])["name"], 0, 0]
    config["config"]["layers"] = made
    config["config"]["output_layers"] = [made[-1]["name"], 0, 0]
    return config


def heads() -> Config:
    x = kcompile.Input((4, 6), name="x")
    y = layers.MultiHeadAttention(2, 3, name="evil")(x, x)
    config = as_config(kcompile.Model(x, y, name="m"))
    return set_config(config, num_heads=2**36)


def vander(count: int) -> Config:
    x = kcompile.Input(batch_shape=(4,), name="x")
    return set_config(as_config(kcompile.Model(x, ops.vander(x, 3), name="m")), N=count)


def diagonal() -> Config:
    x = kcompile.Input(batch_shape=(4,), name="x")
    config = as_config(kcompile.Model(x, ops.diag(x), name="m"))
    config["config"]["layers"][0]["config"]["batch_shape"] = [2**20]
    return config


CONSTANT = rf"needs a constant of \d+ numbers; at most {limits.MAX_NUMBERS} are computed for a file"
STEPS = r"the model takes more than \d+ steps"
ROW = r"a row of a result has \d+ elements"

#: A config, and what the message says.
REFUSED: dict[str, tuple[Callable[[], Config], str]] = {
    "normalization": (
        lambda: set_shape(
            stack(layers.Normalization(mean=0.0, variance=1.0, name="evil"), (3,)), LARGE
        ),
        CONSTANT,
    ),
    "fft_length": (
        lambda: set_config(
            stack(layers.MelSpectrogram(16, 4, name="evil"), (64,)), fft_length=LARGE
        ),
        CONSTANT,
    ),
    "num_mel_bins": (
        lambda: set_config(
            stack(layers.MelSpectrogram(16, 4, name="evil"), (64,)), num_mel_bins=LARGE
        ),
        CONSTANT,
    ),
    "oov_indices": (
        lambda: set_config(
            stack(
                layers.IntegerLookup(num_oov_indices=2, vocabulary=[7, 8], name="evil"),
                (3,),
                "int64",
            ),
            num_oov_indices=LARGE,
        ),
        CONSTANT,
    ),
    "oov_indices of texts": (
        lambda: set_config(
            stack(
                layers.StringLookup(num_oov_indices=2, vocabulary=["a"], name="evil"),
                (3,),
                "string",
            ),
            num_oov_indices=LARGE,
        ),
        CONSTANT,
    ),
    "ngrams": (
        lambda: set_config(
            stack(
                layers.TextVectorization(
                    ngrams=2, output_mode="count", vocabulary=["a"], name="evil"
                ),
                (1,),
                "string",
            ),
            ngrams=LARGE,
        ),
        CONSTANT,
    ),
    "adaptive": (
        lambda: set_config(
            stack(layers.AdaptiveAveragePooling1D(2, name="evil"), (6, 2)), output_size=LARGE
        ),
        CONSTANT,
    ),
    "unrolled": (unrolled, STEPS),
    "units": (
        lambda: set_config(stack(layers.Dense(2, name="evil"), (3,)), units=2**40),
        ROW,
    ),
    "repeat": (
        lambda: set_config(stack(layers.RepeatVector(2, name="evil"), (3,)), n=2**36),
        ROW,
    ),
    "zeros": (
        lambda: set_config(
            stack(layers.ZeroPadding2D(1, name="evil"), (4, 4, 1)), padding=[[0, 2**30]] * 2
        ),
        ROW,
    ),
    "size": (
        lambda: set_config(
            stack(layers.Resizing(2, 2, name="evil"), (4, 4, 1)), height=2**30, width=2**30
        ),
        ROW,
    ),
    "crop": (
        lambda: set_config(
            stack(layers.CenterCrop(2, 2, name="evil"), (4, 4, 1)), height=2**30, width=2**30
        ),
        ROW,
    ),
    "upsampling": (
        lambda: set_config(
            stack(layers.UpSampling2D(2, name="evil"), (4, 4, 1)), size=[2**30, 2**30]
        ),
        ROW,
    ),
    "hot": (
        lambda: set_config(
            stack(layers.CategoryEncoding(3, "one_hot", name="evil"), (1,), "int32"),
            num_tokens=2**40,
        ),
        ROW,
    ),
    "heads": (
        heads,
        ROW,
    ),
    "split": (
        lambda: set_shape(
            set_config(called(lambda x: ops.split(x, 2, axis=1), (8,)), indices_or_sections=LARGE),
            LARGE,
        ),
        STEPS,
    ),
    "array_split": (
        lambda: set_config(
            called(lambda x: ops.array_split(x, 2, axis=1), (8,)), indices_or_sections=LARGE
        ),
        STEPS,
    ),
    "unstack": (
        lambda: set_shape(
            set_config(called(lambda x: ops.unstack(x, axis=1), (4,)), num=None), LARGE
        ),
        STEPS,
    ),
    "pad": (
        lambda: set_config(
            called(lambda x: ops.pad(x, ((0, 0), (1, 1)), "reflect"), (4,)),
            pad_width=[[0, 0], [0, LARGE]],
        ),
        CONSTANT,
    ),
    "linspace": (
        lambda: set_config(called(lambda x: ops.linspace(x, 1.0, 5), (4,)), num=LARGE),
        CONSTANT,
    ),
    "vander": (lambda: vander(LARGE), STEPS),
    "unfold": (
        lambda: set_shape(
            set_config(called(lambda x: ops.unfold(x, 2), (1, 8, 8)), kernel_size=2**14),
            *(1, 2**15, 2**15),
        ),
        STEPS,
    ),
    "repeats": (
        lambda: set_config(
            called(lambda x: ops.repeat(x, [1, 2], axis=1), (2,)), repeats=[1, LARGE]
        ),
        CONSTANT,
    ),
    "diagonal": (
        diagonal,
        CONSTANT,
    ),
    "patches": (
        lambda: set_config(
            called(lambda x: ops.image.extract_patches(x, 2), (8, 8, 1)), size=2**14
        ),
        CONSTANT,
    ),
    "blur": (
        lambda: set_config(
            called(lambda x: ops.image.gaussian_blur(x), (8, 8, 1)), kernel_size=[LARGE, 3]
        ),
        CONSTANT,
    ),
    "fft": (
        lambda: set_config(called(lambda x: ops.rfft(x, 8), (8,)), fft_length=LARGE),
        CONSTANT,
    ),
    "sequences": (
        lambda: set_shape(
            set_config(
                called(lambda x: ops.extract_sequences(x, 4, 2), (8,)), sequence_length=LARGE
            ),
            2 * LARGE,
        ),
        CONSTANT,
    ),
    "nested": (lambda: nested(16), STEPS),
    "doubled": (lambda: doubled(40), ROW + "|a size needs more than"),
}


class Measured:
    """What reading took: the most bytes that Python and NumPy had at once, and seconds."""

    def __enter__(self) -> Measured:
        tracemalloc.start()
        self.begin = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.monotonic() - self.begin
        self.bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


def written(config: Config, folder: Path) -> Path:
    path = folder / "m.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_large_numbers_are_refused(
    make: Callable[[], Config], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_STEPS", 10_000)
    path = written(make(), tmp_path)
    with Measured() as measured, pytest.raises(FormatError, match=message) as caught:
        load_model(path)
    assert re.search(r"evil|layers\[\d+\]", str(caught.value))
    assert measured.bytes < BYTES
    assert measured.seconds < SECONDS


def test_the_whole_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Constants that are each of a good size are too many together; so they are counted."""
    monkeypatch.setattr(limits, "MAX_CONSTANT_BYTES", 2**20)
    x = kcompile.Input((2**10,), name="x")
    y = x
    for index in range(300):
        y = layers.Normalization(mean=0.0, variance=1.0, name=f"evil{index}")(y)
    path = written(as_config(kcompile.Model(x, y, name="m")), tmp_path)
    with pytest.raises(FormatError, match=r"layer 'evil127'.*constants have more than 1048576 by"):
        load_model(path)


def test_metrics_of_a_file(tmp_path: Path) -> None:
    model = kcompile.Sequential([layers.Input((2,), name="x"), layers.Dense(2, name="d")], name="m")
    model.compile("sgd", "mse", metrics=[kcompile.metrics.MeanIoU(3), kcompile.metrics.AUC()])
    model.save(tmp_path / "m.keras")
    config = read_config(tmp_path / "m.keras")
    for index, key in ((0, "num_classes"), (1, "num_thresholds")):
        changed = json.loads(json.dumps(config))
        changed["compile_config"]["metrics"][index]["config"][key] = LARGE
        path = written(changed, tmp_path)
        with Measured() as measured, pytest.raises(FormatError, match=CONSTANT):
            load_model(path)
        assert measured.bytes < BYTES and measured.seconds < SECONDS


def read_config(path: Path) -> Config:
    with zipfile.ZipFile(path) as archive:
        config: Config = json.loads(archive.read("config.json"))
    return config


def test_code_of_the_user_is_not_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_NUMBERS", 10)
    monkeypatch.setattr(limits, "MAX_STEPS", 1)
    x = kcompile.Input((64,), name="x")
    y = layers.MelSpectrogram(16, 4, name="mel")(x)
    model = kcompile.Model(x, layers.RepeatVector(2**37, name="r")(ops.ravel(y)[None]), name="m")
    assert model.output.shape[1] == 2**37
    with pytest.raises(FormatError, match="a constant of 16 numbers|more than 1 steps"):
        from_json(model.to_json())


def every_model() -> list[tuple[str, Config]]:
    """The config of the first case of each layer and function."""
    found = [(str(case), case.model(kcompile)) for case in CASES if case.is_first]
    found += [(entry.name, symbolic_model(kcompile, entry)) for entry in first_of_each_function()]
    return [(name, as_config(model)) for name, model in found]


def numbers(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every list or dict in a config with the keys under which a number stands, or nothing."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in inner:
        if key in ("keras_history", "input_layers", "output_layers"):
            continue
        if type(entry) is int or (entry is None and key not in ("registered_name", "shape")):
            yield value, key
        elif isinstance(entry, (dict, list)):
            yield from numbers(entry)


@pytest.mark.parametrize(
    "share", [0.02, pytest.param(1.0, marks=pytest.mark.slow)], ids=["few", "all"]
)
def test_any_number_may_be_large(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes of it, success or refusal, it comes soon and takes no memory."""
    monkeypatch.setattr(limits, "MAX_STEPS", 30_000)
    rng = random.Random("large")
    kcompile.utils.clear_session()
    for name, config in every_model():
        for holder, key in numbers(config):
            if rng.random() >= share:
                continue
            before = holder[key]
            for large in (2**16, LARGE, 2**40):
                holder[key] = large
                with Measured() as measured, contextlib.suppress(KCompileError):
                    from_json(config)
                told = f"{name}: {key} = {large}"
                assert measured.bytes < 2 * BYTES and measured.seconds < SECONDS, told
            holder[key] = before
