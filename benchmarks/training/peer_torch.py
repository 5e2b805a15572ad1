"""A training loop of PyTorch, batches by index, with accuracy and validation.

python peer_torch.py WORKLOAD [--first-step] [--fused] [--channels-last] [--compile] [--sparse]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from workloads import EPSILON, LEARNING_RATE, WORKLOADS, Meter, num_training_rows


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("workload", choices=WORKLOADS)
    for option in ("--first-step", "--fused", "--channels-last", "--compile", "--sparse"):
        arguments.add_argument(option, action="store_true")
    options = arguments.parse_args()
    name, workload = options.workload, WORKLOADS[options.workload]
    meter = Meter(name)
    import torch
    import torch_models

    x, y = meter.load()
    inputs, targets = [_tensor(torch, array) for array in x], _tensor(torch, y)
    model = torch_models.build(name, sparse=options.sparse)
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)
        inputs = [i.contiguous(memory_format=torch.channels_last) for i in inputs]
    optimizers = _optimizers(torch, model, options)
    run = torch.compile(model) if options.compile else model
    num_rows = num_training_rows(name)
    for _ in range(workload.epochs):
        start = time.time()
        model.train()
        total, hits = torch.zeros(()), torch.zeros(())
        order = torch.randperm(num_rows)
        for begin in range(0, num_rows, workload.batch):
            chosen = order[begin : begin + workload.batch]
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            outputs = run(*(i[chosen] for i in inputs))
            loss = _loss(torch, workload.loss, outputs, targets[chosen])
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            with torch.no_grad():
                total += loss * len(chosen)
                if workload.measures_accuracy:
                    hits += _hits(workload.loss, outputs, targets[chosen])
            if options.first_step:
                meter.step_done()
                break
        if options.first_step:
            break
        if workload.validates:
            _validate(torch, model, workload, [i[num_rows:] for i in inputs], targets[num_rows:])
        meter.epoch_done(time.time() - start, total.item() / num_rows)
    meter.report()


def _tensor(torch: Any, array: np.ndarray) -> Any:
    """A tensor; images `[N, H, W, C]` as `[N, C, H, W]`."""
    if array.ndim == 4:
        array = np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    tensor = torch.from_numpy(array)
    return tensor.long() if array.dtype == np.int32 else tensor


def _optimizers(torch: Any, model: Any, options: argparse.Namespace) -> list[Any]:
    settings: dict[str, Any] = {"lr": LEARNING_RATE, "eps": EPSILON}
    fused = {"fused": True} if options.fused else {}
    if not options.sparse:
        return [torch.optim.Adam(model.parameters(), **settings, **fused)]
    return [
        torch.optim.SparseAdam(model.tables.parameters(), **settings),
        torch.optim.Adam(model.head.parameters(), **settings, **fused),
    ]


def _loss(torch: Any, kind: str, outputs: Any, targets: Any) -> Any:
    functions = torch.nn.functional
    if kind == "bce":
        return functions.binary_cross_entropy_with_logits(outputs, targets)
    return functions.cross_entropy(outputs, targets)


def _hits(kind: str, outputs: Any, targets: Any) -> Any:
    if kind == "bce":
        return ((outputs > 0) == (targets > 0.5)).sum()
    classes = targets if kind == "scce" else targets.argmax(1)
    return (outputs.argmax(1) == classes).sum()


def _validate(torch: Any, model: Any, workload: Any, inputs: list[Any], targets: Any) -> None:
    model.eval()
    with torch.no_grad():
        for begin in range(0, len(targets), workload.batch):
            rows = slice(begin, begin + workload.batch)
            outputs = model(*(i[rows] for i in inputs))
            float(_loss(torch, workload.loss, outputs, targets[rows]))
            int(_hits(workload.loss, outputs, targets[rows]))


if __name__ == "__main__":
    main()
