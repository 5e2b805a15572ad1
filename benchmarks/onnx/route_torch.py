"""The model rewritten as a torch module, as one would by hand for speed, and torch.onnx.export."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import driver


def convert(model: Any, source: Path, target: Path) -> None:
    import numpy as np
    import torch
    from torch_models import Network

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    network = Network(model).eval()
    with np.load(source.with_suffix(".npz")) as samples:
        names = [str(name) for name in samples["names"]]
        examples = tuple(torch.tensor(samples[f"in_{k}"][:2]) for k in range(len(names)))
    batch = torch.export.Dim("batch")
    with torch.no_grad():
        torch.onnx.export(
            network,
            examples,
            target,
            dynamo=True,
            input_names=names,
            dynamic_shapes=(tuple({0: batch} for _ in names),),
            external_data=False,
            verbose=False,
        )


if __name__ == "__main__":
    driver.main(convert)
