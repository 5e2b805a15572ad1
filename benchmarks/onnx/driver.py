"""What every route's script is: load a .keras file, write an ONNX file; a failure ends the process.

    python route_NAME.py MODEL.keras OUT.onnx

The process is timed from outside, so that imports count.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main(convert: Callable[[Any, Path, Path], None]) -> None:
    """Run a script whose route is convert(model, path of the model, path to write)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    import keras

    model = keras.saving.load_model(options.source, compile=False)
    convert(model, options.source, options.target)
