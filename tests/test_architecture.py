"""The floors: who may import whom, and what an import may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Part of the package -> floor. The longest prefix counts.
FLOORS = {
    "kcompile.ir": 0,
    "kcompile.passes": 1,
    "kcompile.ops": 1,
    "kcompile.random": 1,
    "kcompile.tree": 1,
    "kcompile.initializers": 2,
    "kcompile.regularizers": 2,
    "kcompile.constraints": 2,
    "kcompile.activations": 2,
    "kcompile.dtype_policies": 2,
    "kcompile.layers": 2,
    "kcompile.losses": 2,
    "kcompile.metrics": 2,
    "kcompile.models": 2,
    "kcompile.runtimes": 3,
    "kcompile.formats": 3,
    "kcompile.training": 4,
    "kcompile.callbacks": 4,
    "kcompile.optimizers": 4,
    "kcompile.mixed_precision": 4,
    "kcompile.compiler": 4,
    "kcompile.config": 4,
    "kcompile.executable": 4,
    "kcompile.quantization": 4,
    "kcompile.applications": 4,
    "kcompile.datasets": 4,
    "kcompile.saving": 4,
    "kcompile.utils": 4,
    "kcompile.wrappers": 4,
    "kcompile.cli": 5,
    "kcompile.__main__": 5,
}
#: What passes may know: nothing but the IR and themselves.
PASSES_MAY_IMPORT = ("kcompile.ir", "kcompile.passes")
#: Modules that anyone may import: they import nothing of ours.
NEUTRAL = ("kcompile.utils.atomic", "kcompile.utils.folders")
#: Frameworks, and the one folder that may import each.
FRAMEWORKS = {
    "jax": "kcompile.runtimes.jax",
    "optax": "kcompile.runtimes.jax",
    "onnx": "kcompile.runtimes.onnx",
    "onnxruntime": "kcompile.runtimes.onnxruntime",
    "h5py": "kcompile.formats",
}
#: onnx checks the files that onnxruntime is about to run.
ALSO_ALLOWED = {("kcompile.runtimes.onnxruntime", "onnx")}
FORBIDDEN = ("keras", "tensorflow", "torch", "passes", "runtimes")


def modules() -> dict[str, Path]:
    """Every module by the name that it is imported as."""
    found = {}
    for folder, prefix in (
        ("kcompile", "kcompile"),
        ("passes", "kcompile.passes"),
        ("runtimes", "kcompile.runtimes"),
    ):
        for path in sorted((ROOT / folder).rglob("*.py")):
            relative = path.relative_to(ROOT / folder)
            if folder == "kcompile" and relative.parts[0] in ("passes", "runtimes"):
                continue
            parts = [prefix, *relative.with_suffix("").parts]
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports_of(path: Path) -> set[str]:
    """Modules that a file imports, anywhere in it, but not those for type checkers alone."""
    tree = ast.parse(path.read_text())
    only_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if node in only_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else str(node.module))
    return found


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def floor_of(module: str) -> int | None:
    for package in sorted(FLOORS, key=len, reverse=True):
        if is_in(module, package):
            return FLOORS[package]
    return None


def test_every_module_has_a_floor() -> None:
    assert len(MODULES) > 50
    homeless = [name for name in MODULES if name != "kcompile" and floor_of(name) is None]
    assert homeless == []


def test_every_folder_is_a_package() -> None:
    folders = {path.parent for path in MODULES.values()}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"kcompile"}))
def test_imports_go_downward(name: str) -> None:
    own = floor_of(name)
    assert own is not None
    for imported in imports_of(MODULES[name]):
        other = floor_of(imported)
        if other is None or imported in NEUTRAL:
            continue
        assert other <= own, f"{name} (floor {own}) imports {imported} (floor {other})"
        if is_in(name, "kcompile.passes"):
            assert any(is_in(imported, allowed) for allowed in PASSES_MAY_IMPORT), imported


@pytest.mark.parametrize("name", sorted(MODULES))
def test_frameworks_stay_in_their_runtime(name: str) -> None:
    for imported in imports_of(MODULES[name]):
        top = imported.split(".")[0]
        assert top not in FORBIDDEN, f"{name} imports {imported}"
        home = FRAMEWORKS.get(top)
        if home is None or any(is_in(name, p) and top == f for p, f in ALSO_ALLOWED):
            continue
        assert is_in(name, home), f"{name} imports {imported}"


def test_only_the_door_imports_by_name() -> None:
    users = {
        name
        for name, path in MODULES.items()
        if {"import_module", "__import__"}
        & {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}
    }
    lazy_packages = {name for name in users if MODULES[name].name == "__init__.py"}
    assert users - lazy_packages == {"kcompile.ops.door"}


def test_links_to_the_root_folders() -> None:
    for name in ("passes", "runtimes"):
        link = ROOT / "kcompile" / name
        assert link.is_symlink() and link.readlink() == Path("..") / name


def imported_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after running `code`."""
    script = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(run.stdout.split())


def test_importing_kcompile_is_cheap() -> None:
    heavy = {"jax", "jaxlib", "onnx", "onnxruntime", "h5py", "optax", "numpy", "rich"}
    assert not heavy & imported_by("import kcompile")


SMALL_MODEL = """
import numpy as np, kcompile
from kcompile.layers import Dense, Input
x = Input((4,))
model = kcompile.Model(x, Dense(3, activation='softmax')(x))
"""


def test_compiling_to_onnx_does_not_import_jax() -> None:
    found = imported_by(SMALL_MODEL + "kcompile.compile(model).run(np.ones((2, 4), 'float32'))")
    assert {"onnx", "onnxruntime"} <= found
    assert not {"jax", "jaxlib", "optax"} & found


def test_training_does_not_import_onnx() -> None:
    code = "model.compile('adam', 'mse'); model.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0)"
    found = imported_by(SMALL_MODEL + code)
    assert "jax" in found
    assert not {"onnx", "onnxruntime", "h5py"} & found
