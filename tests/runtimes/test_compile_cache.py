"""Compiled programs from process to process: kept, bounded, private, and the user's to decide."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import kcompile
from kcompile.ir.errors import SpecError
from kcompile.runtimes import cache_settings
from kcompile.runtimes.jax import compile_cache
from kcompile.utils.folders import make_private

ROOT = Path(__file__).parents[2]
FOLDER = "jax_compilation_cache_dir"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home for caches; afterwards JAX is as it was."""
    monkeypatch.setenv("KCOMPILE_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    cache_settings.choose(None)
    compile_cache.start()
    assert getattr(jax.config, FOLDER) is None


def compile_something(seed: int) -> None:
    x = kcompile.Input((4,), name="x")
    y = kcompile.layers.Dense(2, name="y", kernel_initializer=_constant(seed))(x)
    kcompile.compile(kcompile.Model(x, y, name="m"), "xla").run(np.ones((seed, 4), np.float32))


def _constant(value: float) -> Any:
    return kcompile.initializers.Constant(value)


def files(folder: Path, ending: str = "-cache") -> list[Path]:
    return sorted(folder.glob(f"*{ending}"))


SCRIPT = """
import sys
import jax
import numpy as np
import kcompile
from kcompile.layers import Dense, Dropout, Input

seen = []
jax.monitoring.register_event_listener(lambda name, **_: seen.append(name))
kcompile.utils.set_random_seed(0)
x = Input((20,), name="x")
y = Dense(3, name="y")(Dropout(0.5, seed=1, name="drop")(Dense(30, "relu", name="h")(x)))
model = kcompile.Model(x, y, name="m")
model.compile("adam", "mse")
rows = np.random.default_rng(0).random((40, 20), np.float32)
model.fit(rows, rows[:, :3], verbose=0)
total = sum(float(np.asarray(w.value, np.float64).sum()) for w in model.weights)
hits = [name for name in seen if name.endswith("cache_hits")]
print(len(hits), repr(total), sep="\\n")
"""


def run_script(script: str = SCRIPT, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != cache_settings.VARIABLE}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        **{"capture_output": True, "text": True, "cwd": ROOT, "env": environment | variables},
    )
    assert run.returncode == 0, run.stderr
    return run


def test_the_next_process_finds_the_programs(tmp_path: Path) -> None:
    runs = [run_script(KCOMPILE_HOME=str(tmp_path)) for _ in range(2)]
    hits, totals = zip(*(run.stdout.split() for run in runs), strict=True)
    assert [run.stderr for run in runs] == ["", ""]
    assert hits[0] == "0" and int(hits[1]) > 0
    assert totals[0] == totals[1]
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert any("run_loop" in path.name for path in files(folder))


def test_it_is_off_where_the_environment_says_so(tmp_path: Path) -> None:
    run = run_script(KCOMPILE_HOME=str(tmp_path), KCOMPILE_COMPILE_CACHE="0")
    assert run.stdout.split()[0] == "0" and run.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_the_environment_variable_does_not_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KCOMPILE_COMPILE_CACHE", "yes")
    with pytest.raises(SpecError, match="variable KCOMPILE_COMPILE_CACHE: is 0 or 1, not 'yes'"):
        compile_cache.start()


def test_it_is_turned_on_and_off_in_a_process(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_cache, "_OPTIONS", _keeping_all())
    assert kcompile.config.compile_cache() is None and not home.exists()
    kcompile.config.set_compile_cache(True)
    folder = kcompile.config.compile_cache()
    assert folder is not None and folder.parent == home
    compile_something(3)
    assert files(folder)
    assert jax.config.jax_compilation_cache_max_size == 2**30
    kcompile.config.set_compile_cache(False)
    assert kcompile.config.compile_cache() is None
    before = files(folder)
    compile_something(5)
    assert files(folder) == before
    assert jax.config.jax_compilation_cache_max_size == -1
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 1.0
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(SpecError, match="max_bytes needs a number of bytes"):
            kcompile.config.set_compile_cache(True, wrong)  # type: ignore[arg-type]


def _keeping_all() -> dict[str, tuple[Any, Any]]:
    name = "jax_persistent_cache_min_compile_time_secs"
    return {**compile_cache._OPTIONS, name: (1.0, 0.0)}


def test_it_is_bounded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_cache, "_OPTIONS", _keeping_all())
    kcompile.config.set_compile_cache(True, max_bytes=20_000)
    folder = kcompile.config.compile_cache()
    assert folder is not None
    seen = set()
    for number in range(6, 16):
        compile_something(number)
        found = files(folder)
        seen |= {path.name for path in found}
        assert sum(path.stat().st_size for path in found) <= 20_000
    assert len(seen) > len(files(folder)) > 0


def test_what_the_user_told_jax_stays(home: Path, tmp_path: Path) -> None:
    jax.config.update(FOLDER, str(tmp_path / "mine"))
    try:
        kcompile.config.set_compile_cache(True)
        assert kcompile.config.compile_cache() is None
        assert getattr(jax.config, FOLDER) == str(tmp_path / "mine")
        assert jax.config.jax_compilation_cache_max_size == -1
        assert not home.exists()
    finally:
        jax.config.update(FOLDER, None)
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        kcompile.config.set_compile_cache(True, max_bytes=2**20)
        assert kcompile.config.compile_cache() is None
    finally:
        jax.config.update("jax_enable_compilation_cache", True)


def test_jax_code_before_it_does_not_keep_it_from_working(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile_cache, "_OPTIONS", _keeping_all())
    jax.jit(lambda x: x * 17)(1.0)
    kcompile.config.set_compile_cache(True)
    folder = kcompile.config.compile_cache()
    assert folder is not None
    compile_something(19)
    assert files(folder)


def test_a_folder_that_cannot_be_made_is_told_of_once(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write_text("a file is in the way")
    kcompile.config.set_compile_cache(True)
    with pytest.warns(UserWarning, match="compiles anew.*KCOMPILE_COMPILE_CACHE=0 turns this off"):
        assert kcompile.config.compile_cache() is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compile_something(21)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="modes and owners of Unix")
def test_only_a_folder_that_nobody_else_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new" / "folder"
    make_private(folder)
    make_private(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o770)
    with pytest.raises(PermissionError, match="others may write into"):
        make_private(folder)
    folder.chmod(0o700)
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(PermissionError, match="no folder, but a link or a file"):
        make_private(link)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="belongs to another user"):
        make_private(folder)
    monkeypatch.undo()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="cannot be written into"):
        make_private(folder)


def test_what_a_killed_process_left_is_removed(home: Path) -> None:
    folder = compile_cache.default_folder()
    make_private(folder)
    (folder / "whole-cache").write_bytes(b"program")
    (folder / "whole-atime").write_bytes(b"time")
    (folder / "cut-cache").write_bytes(b"prog")
    kcompile.config.set_compile_cache(True)
    assert kcompile.config.compile_cache() == folder
    assert {path.name for path in folder.iterdir()} >= {"whole-cache", "whole-atime"}
    assert not (folder / "cut-cache").exists()


def test_a_damaged_program_is_compiled_anew(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_cache, "_OPTIONS", _keeping_all())
    kcompile.config.set_compile_cache(True)
    folder = kcompile.config.compile_cache()
    assert folder is not None
    compile_something(23)
    for path in files(folder):
        path.write_bytes(path.read_bytes()[:50])
    jax.clear_caches()
    with pytest.warns(UserWarning, match="Error reading persistent compilation cache entry"):
        compile_something(23)


def test_processes_at_the_same_time(tmp_path: Path) -> None:
    keep_all = "compile_cache._OPTIONS['jax_persistent_cache_min_compile_time_secs'] = (1.0, 0.0)"
    setting = f"from kcompile.runtimes.jax import compile_cache\n{keep_all}\nseen = []"
    script = SCRIPT.replace("seen = []", setting)
    environment = {k: v for k, v in os.environ.items() if k != cache_settings.VARIABLE}
    command = [sys.executable, "-W", "error", "-c", script]
    options: dict[str, Any] = {"stdout": -1, "stderr": -1, "text": True, "cwd": ROOT}
    options["env"] = environment | {"KCOMPILE_HOME": str(tmp_path)}
    processes = [subprocess.Popen(command, **options) for _ in range(3)]
    results = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], results
    assert {error for _, error in results} == {""}
    assert len({output.split()[1] for output, _ in results}) == 1


def test_programs_that_are_saved_do_not_come_from_the_cache(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile_cache, "_OPTIONS", _keeping_all())
    kcompile.config.set_compile_cache(True)
    folder = kcompile.config.compile_cache()
    x = kcompile.Input((4,), name="x")
    y = kcompile.layers.Dense(2, "tanh", name="y")(x)
    executable = kcompile.compile(kcompile.Model(x, y, name="m"), "xla")
    rows = np.random.default_rng(0).random((3, 4), np.float32)
    expected = executable.run(rows)["y"]
    for _ in range(2):
        executable.save(tmp_path / "m.kcx", batch_sizes=[3])
        jax.clear_caches()
        loaded = kcompile.load_executable(tmp_path / "m.kcx", trusted=True)
        np.testing.assert_array_equal(loaded.run(rows)["y"], expected)
    assert kcompile.config.compile_cache() == folder
    assert getattr(jax.config, FOLDER) == str(folder)
