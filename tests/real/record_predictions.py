"""Record what Keras predicts with the models of `fetch_models.py`.

    python -m tests.real.record_predictions FOLDER tests/real/recorded.json

Run it twice, since no Keras reads all: with `tensorflow-cpu==2.15.1` (Keras 2.15) installed it
records the `.h5` and `.hdf5` files, with Keras 3.15.1 the `.keras` files. Numbers have 8 digits.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tests.real.models import MODELS, inputs_of


def main(folder: Path, recorded: Path) -> None:
    known = json.loads(recorded.read_text()) if recorded.exists() else {}
    is_of_today = keras.__version__.startswith("3.")
    for model in MODELS:
        if model.custom or (Path(model.name).suffix == ".keras") is not is_of_today:
            continue
        known[model.name] = _predictions(folder / model.name)
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known))
    recorded.write_text(f"{{\n{text}\n}}\n")


def _predictions(path: Path) -> Any:
    model = keras.models.load_model(path, compile=False)
    tokens = [layer.input_dim for layer in model.layers if hasattr(layer, "input_dim")]
    num_tokens = min(tokens) if tokens else None
    inputs = inputs_of([tuple(tensor.shape) for tensor in model.inputs], num_tokens)
    outputs = model(inputs if len(inputs) > 1 else inputs[0])
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return {
        "keras": keras.__version__,
        "num_tokens": num_tokens,
        "outputs": [
            {
                "shape": list(output.shape),
                "values": [float(f"{value:.8g}") for value in np.ravel(output).astype("float64")],
            }
            for output in outputs
        ],
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
