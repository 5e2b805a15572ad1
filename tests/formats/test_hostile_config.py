"""Configs that ask for more than a model: refused, with nothing imported, called or opened.

Each payload is harmless: what it names would only write or read a canary. `watch` turns every
import, socket, process and opening of another file into a failure.
"""

from __future__ import annotations

import base64
import builtins
import importlib
import io
import json
import marshal
import os
import pickle
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest

import kcompile
from kcompile.formats import to_json
from kcompile.ir.errors import FormatError, KCompileError
from kcompile.models import load_model

Config = dict[str, Any]

CANARY = "canary-of-a-hostile-file"


def model() -> Any:
    layers = kcompile.layers
    return kcompile.Sequential(
        [
            layers.Input((4,), name="x"),
            layers.Dense(3, activation="relu", name="a"),
            layers.Dense(2, name="b"),
        ],
        name="m",
    )


def functional() -> Any:
    x = kcompile.Input((4,), name="x")
    y = kcompile.layers.Dense(4, name="a")(x)
    return kcompile.Model(x, kcompile.layers.Dense(4, name="b")(y), name="m")


def write_keras(path: Path, config: Config) -> None:
    write_text(path, json.dumps(config))


def write_text(path: Path, text: str) -> None:
    """A `.keras` file with that config."""
    model().save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = text.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def write_h5(path: Path, config: Config) -> None:
    model().save(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
        group: Any = file
        group.attrs["model_config"] = json.dumps(config)


def write_json(path: Path, config: Config) -> None:
    path.write_text(json.dumps(config), encoding="utf-8")


WRITERS = {"m.keras": write_keras, "m.h5": write_h5, "m.json": write_json}


class Tripped(AssertionError):
    """Something was done that a file asked for."""


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Good files of each kind are read once, so that what that imports is there."""
    folder = tmp_path_factory.mktemp("warm")
    for name in WRITERS:
        load_model(written(folder, name, as_config(model())))
    load_model(written(folder, "m.json", as_config(functional())))


@pytest.fixture
def watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: None
) -> Iterator[Callable[[Path], None]]:
    """Begin to watch: from then on only the model's own file may be opened, to be read."""
    monkeypatch.chdir(tmp_path)

    def begin(path: Path) -> None:
        opened, imported, found = io.open, builtins.__import__, importlib.import_module

        def checked_open(file: Any, *args: Any, **kwargs: Any) -> Any:
            mode = args[0] if args else kwargs.get("mode", "r")
            if str(file) != str(path) or set(mode) & set("wax+"):
                raise Tripped(f"open {file}")
            return opened(file, *args, **kwargs)

        def checked_import(name: str, *args: Any, **kwargs: Any) -> Any:
            is_relative = len(args) > 3 and args[3] > 0  # inside of a package that is there
            if not is_relative and name not in sys.modules and not name.startswith("kcompile"):
                raise Tripped(f"import {name}")
            return imported(name, *args, **kwargs)

        def checked_find(name: str, package: str | None = None) -> Any:
            if not name.startswith("kcompile."):
                raise Tripped(f"import_module {name}")
            return found(name, package)

        monkeypatch.setattr(io, "open", checked_open)
        monkeypatch.setattr(builtins, "open", checked_open)
        monkeypatch.setattr(builtins, "__import__", checked_import)
        monkeypatch.setattr(importlib, "import_module", checked_find)
        for module, names in (
            (marshal, ("loads", "load")),
            (pickle, ("loads", "load", "Unpickler")),
            (socket, ("socket", "create_connection")),
            (subprocess, ("Popen", "run")),
            (os, ("system", "popen", "remove", "mkdir")),
        ):
            for name in names:
                monkeypatch.setattr(module, name, trip(f"{module.__name__}.{name}"))

    yield begin
    monkeypatch.undo()
    assert not (tmp_path / CANARY).exists()


def trip(what: str) -> Callable[..., Any]:
    def tripped(*args: Any, **kwargs: Any) -> Any:
        raise Tripped(f"{what}{args}")

    return tripped


def test_what_is_watched_is_noticed(tmp_path: Path, watch: Callable[[Path], None]) -> None:
    path = written(tmp_path, "m.keras", as_config(model()))
    watch(path)
    assert load_model(path).name == "m"
    for act in (
        lambda: Path(CANARY).write_text("x"),
        lambda: path.open("wb"),
        lambda: importlib.import_module("antigravity"),
        lambda: builtins.__import__("antigravity"),
        lambda: subprocess.run(["true"]),
        lambda: socket.create_connection(("localhost", 9)),
        lambda: pickle.loads(b""),
        lambda: os.system("true"),
    ):
        with pytest.raises(Tripped):
            act()


def as_config(model: Any) -> Config:
    found: Config = json.loads(to_json(model))
    return found


def written(folder: Path, name: str, config: Config) -> Path:
    WRITERS[name](folder / name, config)
    return folder / name


def code() -> str:
    """Bytecode that would write the canary."""
    compiled = compile(f"lambda x: open({CANARY!r}, 'w')", "<x>", "eval")
    return base64.b64encode(marshal.dumps(compiled)).decode()


def layer(class_name: str, config: Config, module: Any = "keras.layers") -> Config:
    return {
        "module": module,
        "class_name": class_name,
        "config": {"name": "evil", "trainable": True, "dtype": "float32", **config},
        "registered_name": None,
        "build_config": {"input_shape": [None, 4]},
    }


def inserted(entry: Config) -> Callable[[Config], None]:
    return lambda config: config["config"]["layers"].insert(1, entry)


def set_at(index: int, key: str, value: Any) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        config["config"]["layers"][index]["config"][key] = value

    return change


def function(module: str, name: str) -> Config:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def lambda_layer(value: Any) -> Config:
    return layer("Lambda", {"function": value, "arguments": {}})


LAMBDA = {"class_name": "__lambda__", "config": {"code": code(), "defaults": None, "closure": None}}
INNER = {"module": "keras.layers", "class_name": "Dense", "config": {"name": "d", "units": 2}}

#: What CVE, or other trick; the change of a config; what the message says.
HOSTILE: dict[str, tuple[Callable[[Config], Any], str]] = {
    "lambda (CVE-2024-3660)": (
        inserted(lambda_layer(LAMBDA)),
        r"layers\[1\].*a Lambda layer holds bytecode",
    ),
    "old lambda (CVE-2025-9905)": (
        inserted(lambda_layer([code(), None, None])),
        r"layers\[1\].*a Lambda layer holds bytecode",
    ),
    "lambda in a wrapper": (
        inserted(layer("TimeDistributed", {"layer": lambda_layer(LAMBDA)})),
        r"layers\[1\].*a Lambda layer holds bytecode",
    ),
    "activation of a module": (
        set_at(1, "activation", function("os", "system")),
        r"layers\[1\].*system",
    ),
    "activation by bytecode": (set_at(1, "activation", LAMBDA), r"activation: it is bytecode"),
    "get_file (CVE-2025-8747)": (
        set_at(1, "activation", function("keras.utils", "get_file")),
        r"layers\[1\].*get_file",
    ),
    "config loader (CVE-2025-9906)": (
        set_at(1, "activation", function("keras.config", "enable_unsafe_deserialization")),
        r"layers\[1\].*enable_unsafe_deserialization",
    ),
    "class of a module (CVE-2025-1550)": (
        inserted(layer("Popen", {"args": ["touch", CANARY]}, "subprocess")),
        r"subprocess\.Popen \(.*layers\[1\]\)",
    ),
    "our class, their module": (inserted(layer("Dense", {"units": 4}, "evil")), r"evil\.Dense"),
    "initializer of a module": (
        set_at(1, "kernel_initializer", {"module": "os", "class_name": "system", "config": {}}),
        r"system \(.*layers\[1\]\)",
    ),
    "regularizer of a module": (
        set_at(1, "kernel_regularizer", {"module": "os", "class_name": "L2", "config": {}}),
        r"L2 \(.*layers\[1\]\)",
    ),
    "torch (CVE-2025-49655)": (
        inserted(layer("TorchModuleWrapper", {"module": base64.b64encode(b"\x80\x04").decode()})),
        r"layers\[1\]",
    ),
    "saved model (CVE-2026-1462)": (
        inserted(layer("TFSMLayer", {"filepath": "/etc", "call_endpoint": "serve"})),
        r"layers\[1\]",
    ),
    "vocabulary file (CVE-2025-12058)": (
        inserted(layer("StringLookup", {"vocabulary": "/etc/passwd"})),
        r"layers\[1\].*names a file for the vocabulary",
    ),
    "vocabulary url": (
        inserted(layer("TextVectorization", {"vocabulary": "http://localhost/x"})),
        r"layers\[1\].*names a file for the vocabulary",
    ),
    "vocabulary of integers": (
        inserted(layer("IntegerLookup", {"vocabulary": "file:///etc/passwd"})),
        r"layers\[1\].*names a file for the vocabulary",
    ),
    "units": (set_at(1, "units", 2**36), r"at most 17179869184 are allocated for a file"),
    "units and nothing else": (
        set_at(2, "units", 2**62),
        r"layer 'b' \(.*layers\[2\]\): a row of a result has 4611686018427387904 elements",
    ),
    "repeat": (
        inserted(layer("RepeatVector", {"n": 2**40})),
        r"layer 'evil' \(.*layers\[1\]\): a row of a result has 4398046511104 elements",
    ),
    "name of another place (CVE-2026-12479)": (set_at(1, "name", "../../x"), r"layers\[1\]"),
    "name with backslashes": (set_at(1, "name", "..\\x"), r"layers\[1\].*name"),
    "absolute name": (set_at(1, "name", "/x"), r"layers\[1\]"),
    "name with a line break": (set_at(1, "name", "x\n"), r"layers\[1\].*needs a name"),
    "nameless": (set_at(1, "name", None), r"layers\[1\]"),
    "a layer that is a text": (lambda c: c["config"]["layers"].insert(1, "Dense"), r"layers\[1\]"),
    "layers in layers": (
        inserted(layer("TimeDistributed", {"layer": {"class_name": "x" * 10**6, "config": {}}})),
        r"layers\[1\]",
    ),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(("change", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_configs(
    change: Callable[[Config], Any],
    message: str,
    name: str,
    tmp_path: Path,
    watch: Callable[[Path], None],
) -> None:
    config = as_config(model())
    change(config)
    path = written(tmp_path, name, config)
    watch(path)
    begin = time.monotonic()
    with pytest.raises(FormatError, match=message) as caught:
        load_model(path)
    assert str(caught.value).startswith((name, "layer "))
    assert len(str(caught.value)) < 5000
    assert time.monotonic() - begin < 20


def test_many_layers(tmp_path: Path, watch: Callable[[Path], None]) -> None:
    config = as_config(model())
    config["config"]["layers"] += [INNER] * 51_000
    path = written(tmp_path, "m.json", config)
    watch(path)
    with pytest.raises(FormatError, match=r"it has more than 50000 layers"):
        load_model(path)


def changed_text(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


TEXTS: dict[str, tuple[Callable[[str], str], str]] = {
    "key twice": (
        changed_text('"units": 3', '"units": 3, "units": 3'),
        r"the key 'units' stands twice",
    ),
    "NaN": (changed_text('"units": 3', '"units": NaN'), r"NaN is not a number of JSON"),
    "Infinity": (changed_text('"units": 3', '"units": -Infinity'), r"-Infinity is not a number"),
    "large exponent": (changed_text('"units": 3', '"units": 1e999'), r"is too large"),
    "long number": (
        changed_text('"units": 3', f'"units": 1{"0" * 100_000}'),
        r"the number 1\d+\.\.\. is too long",
    ),
    "deep": (
        changed_text('"units": 3', f'"units": {"[" * 100_000}{"]" * 100_000}'),
        r"nested more",
    ),
    "cut off": (lambda text: text[: len(text) // 2], r"it is not JSON"),
    "a list": (lambda text: "[]", r"needs an object|it is not a file of a model"),
    "a number": (lambda text: "7", r"needs an object|it is not a file of a model"),
    "no module": (
        changed_text('"module": "keras.layers", ', ""),
        r"layers\[0\].*the key 'module' is missing",
    ),
}


@pytest.mark.parametrize("name", ["m.keras", "m.json"])
@pytest.mark.parametrize(("change", "message"), TEXTS.values(), ids=TEXTS)
def test_hostile_texts(
    change: Callable[[str], str],
    message: str,
    name: str,
    tmp_path: Path,
    watch: Callable[[Path], None],
) -> None:
    text = change(to_json(model()))
    path = tmp_path / name
    if name == "m.json":
        path.write_text(text, encoding="utf-8")
    else:
        write_text(path, text)
    watch(path)
    with pytest.raises(FormatError, match=message) as caught:
        load_model(path)
    assert str(caught.value).startswith(name)


def history(name: str) -> Config:
    config = {"shape": [None, 4], "dtype": "float32", "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": config}


def calls(index: int, *args: Any, **kwargs: Any) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        node = {"args": list(args), "kwargs": kwargs}
        config["config"]["layers"][index]["inbound_nodes"] = [node]

    return change


CALLS: dict[str, tuple[Callable[[Config], Any], str]] = {
    "cycle": (calls(1, history("b")), r"the calls of (a, b|b, a) form a cycle"),
    "itself": (calls(1, history("a")), r"form a cycle"),
    "nobody": (calls(1, history("os")), r"there is no layer 'os'"),
    "serialized object": (
        calls(1, history("x"), {"class_name": "__lambda__", "config": {"code": code()}}),
        r"cannot be an argument: '__lambda__'",
    ),
    "typespec": (
        calls(1, history("x"), {"class_name": "__typespec__", "module": "os", "config": []}),
        r"layers\[1\]",
    ),
    "array bomb": (
        calls(1, {"class_name": "__numpy__", "config": {"value": [1], "dtype": "object"}}),
        r"layers\[1\]",
    ),
    "keyword": (calls(1, history("x"), filepath="/etc/passwd"), r"layers\[1\]"),
}


@pytest.mark.parametrize(("change", "message"), CALLS.values(), ids=CALLS)
def test_hostile_calls(
    change: Callable[[Config], Any],
    message: str,
    tmp_path: Path,
    watch: Callable[[Path], None],
) -> None:
    config = as_config(functional())
    change(config)
    path = written(tmp_path, "m.keras", config)
    watch(path)
    with pytest.raises(KCompileError, match=message) as caught:
        load_model(path)
    assert str(caught.value).startswith("m.keras")


def test_a_function_that_gives_too_much(tmp_path: Path, watch: Callable[[Path], None]) -> None:
    x = kcompile.Input((4,), name="x")
    config = as_config(kcompile.Model(x, kcompile.ops.pad(x, ((0, 0), (0, 1))), name="m"))
    config["config"]["layers"][1]["config"]["pad_width"] = [[0, 0], [0, 2**40]]
    path = written(tmp_path, "m.json", config)
    watch(path)
    with pytest.raises(
        FormatError, match=r"layers\[1\].*: a row of a result has 1099511627780 elements"
    ):
        load_model(path)


def test_safe_mode_opens_no_door(tmp_path: Path, watch: Callable[[Path], None]) -> None:
    config = as_config(model())
    inserted(lambda_layer(LAMBDA))(config)
    path = written(tmp_path, "m.keras", config)
    watch(path)
    with pytest.raises(FormatError, match="a Lambda layer holds bytecode"):
        load_model(path, safe_mode=False)
