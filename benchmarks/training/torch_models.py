"""The models in PyTorch, as its users write them; they give logits, images are `[N, C, H, W]`."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import workloads as w
from torch import nn


def build(name: str, *, sparse: bool = False) -> nn.Module:
    """A model; `sparse` gives the recommender's tables sparse gradients."""
    if name == "iris_mlp":
        return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
    if name in ("mlp_32", "mlp_128"):
        hidden = [nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU()]
        return nn.Sequential(*hidden, nn.Linear(512, 10))
    if name == "recommender":
        return Recommender(sparse)
    makers = {
        "mnist_cnn": _cnn,
        "resnet20": ResNet,
        "lstm": Lstm,
        "transformer": Transformer,
        "autoencoder": _autoencoder,
    }
    return makers[name]()


def _cnn() -> nn.Module:
    features = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)]
    head = [nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)]
    return nn.Sequential(*features, nn.Dropout(0.25), nn.Flatten(), *head)


def _autoencoder() -> nn.Module:
    layers: list[nn.Module] = []
    for channels in (1, 32):
        layers += [nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    for _ in range(2):
        layers += [nn.ConvTranspose2d(32, 32, 3, 2, 1, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(32, 1, 3, padding=1))


class ResNet(nn.Module):
    """ResNet-20 for images of 32 by 32."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [_Convolved(3, 16, 1), nn.ReLU()]
        channels = 16
        for stage, filters in enumerate((16, 32, 64)):
            for block in range(3):
                blocks.append(_Block(channels, filters, 2 if stage and not block else 1))
                channels = filters
        self.layers = nn.Sequential(
            *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
        )

    def forward(self, x: Any) -> Any:
        return self.layers(x)


class _Convolved(nn.Sequential):
    def __init__(self, channels: int, filters: int, stride: int, kernel: int = 3) -> None:
        convolution = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(filters))


class _Block(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.first = _Convolved(channels, filters, stride)
        self.second = _Convolved(filters, filters, 1)
        self.shortcut = nn.Identity() if stride == 1 else _Convolved(channels, filters, stride, 1)

    def forward(self, x: Any) -> Any:
        return F.relu(self.shortcut(x) + self.second(F.relu(self.first(x))))


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(w.VOCABULARY, 128)
        self.lstm = nn.LSTM(128, 128, batch_first=True)
        self.head = nn.Linear(128, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(self.table(x))[0][:, -1])


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width = w.WIDTH
        self.project, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner = nn.Sequential(
            nn.Linear(width, w.INNER), nn.ReLU(), nn.Linear(w.INNER, width), nn.Dropout(0.1)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width, 1e-6) for _ in range(2))
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Any) -> Any:
        rows, steps, width = x.shape
        parts = self.project(x).view(rows, steps, 3, w.HEADS, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(*parts)
        attended = self.join(attended.transpose(1, 2).reshape(rows, steps, width))
        x = self.norms[0](x + self.dropout(attended))
        return self.norms[1](x + self.inner(x))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(w.VOCABULARY, w.WIDTH)
        self.positions = nn.Parameter(torch.rand(w.TEXT, w.WIDTH) * 0.1 - 0.05)
        self.encoders = nn.Sequential(*(_Encoder() for _ in range(w.BLOCKS)))
        self.head = nn.Linear(w.WIDTH, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.encoders(self.table(x) + self.positions).mean(1))


class Recommender(nn.Module):
    def __init__(self, sparse: bool) -> None:
        super().__init__()
        self.tables = nn.ModuleList(
            nn.Embedding(w.ENTITIES, w.ENTITY_WIDTH, sparse=sparse) for _ in range(2)
        )
        self.head = nn.Sequential(
            nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1)
        )

    def forward(self, *indices: Any) -> Any:
        rows = [table(i[:, 0]) for table, i in zip(self.tables, indices, strict=True)]
        return self.head(torch.cat(rows, 1))
