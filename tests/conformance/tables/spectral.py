"""Spectrograms, spectral and masked normalization, embeddings that are reversed."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import Case, grid

FRAMES = {"frame_length": 8, "frame_step": 3}
SPECTROGRAMS = [
    *({"mode": mode, **FRAMES} for mode in ("log", "magnitude", "psd", "real", "imag", "stft")),
    {"mode": "angle", **FRAMES},
    {"frame_length": 5},
    {"frame_length": 6, "fft_length": 16, "expand_dims": True},
    {"padding": "same", "scaling": None, "window": None, **FRAMES},
    {"padding": "same", "scaling": "spectrum", "window": "hamming", "periodic": True, **FRAMES},
    {"data_format": "channels_first", "expand_dims": True, **FRAMES},
    {"data_format": "channels_first", "mode": "psd", "padding": "same", **FRAMES},
]
MEL = {"fft_length": 16, "sequence_stride": 5, "num_mel_bins": 4, "sampling_rate": 800}
MELS = [
    MEL,
    {**MEL, "sequence_length": 10, "window": "hamming"},
    {**MEL, "power_to_db": False, "mag_exp": 1.0},
    {**MEL, "min_freq": 50.0, "max_freq": 300, "ref_power": 2.0, "top_db": 20.0},
    {**MEL, "window": None},
]


def reversed_embedding(**config: Any) -> Any:
    """Logits of the dot products of a table's rows, as at the end of a language model."""

    def make(k: Any) -> Any:
        layer = k.layers.ReversibleEmbedding(5, 3, **config)
        tokens = k.Input((4,), dtype="int32", name="tokens")
        return tokens, layer(k.layers.Dense(3)(layer(tokens)), reverse=True)

    return make


def masked_normalization(**config: Any) -> Any:
    """Steps of zeros take no part in statistics."""

    def make(k: Any) -> Any:
        x = k.Input((4, 3), name="x")
        y = k.layers.Dense(2)(k.layers.Masking()(x))
        return x, k.layers.BatchNormalization(**config)(y)

    return make


class Inner:
    """A layer of the library that the case is made by, with a name that tells it."""

    def __init__(self, name: str, *arguments: Any) -> None:
        self.name = name
        self.arguments = arguments

    def __call__(self, k: Any) -> Any:
        return getattr(k.layers, self.name)(*self.arguments, name="inner")

    def __str__(self) -> str:
        return f"{self.name}{self.arguments}"


def normalized(inner: Inner, *, frozen: bool = False, power_iterations: int = 1) -> Any:
    """A spectral normalization between two dense layers."""

    def make(k: Any) -> Any:
        x = k.Input((4,), name="x")
        layer = k.layers.SpectralNormalization(inner(k), power_iterations)
        y = layer(k.layers.Dense(3, activation="relu")(x))
        layer.trainable = not frozen
        return x, k.layers.Dense(2)(y)

    return make


SPECTRAL_NORMS = [
    *grid("SpectralNormalization", [{"layer": Inner("Conv2D", 3, 2)}], [(6, 5, 2)]),
    Case("SpectralNormalization", label="dense", make=normalized(Inner("Dense", 2)), quick=True),
    Case(
        "SpectralNormalization",
        label="frozen",
        make=normalized(Inner("Dense", 2), frozen=True, power_iterations=3),
    ),
]

CASES: list[Case] = [
    *grid("STFTSpectrogram", SPECTROGRAMS, [(19, 2)]),
    *grid("STFTSpectrogram", [{"mode": "magnitude", **FRAMES}], [(None, 1)], extra_length=16),
    *grid("MelSpectrogram", MELS, [(37,)]),
    *grid("MelSpectrogram", [MEL], [(None,)], extra_length=16),
    *SPECTRAL_NORMS,
    *grid(
        "ReversibleEmbedding",
        [{"input_dim": 6, "output_dim": 3}, {"input_dim": 6, "output_dim": 2, "mask_zero": True}],
        [(4,)],
        dtype="int32",
    ),
    *(
        Case("ReversibleEmbedding", label=label, make=reversed_embedding(**config))
        for label, config in {
            "tied": {},
            "untied": {"tie_weights": False, "reverse_dtype": "float32"},
            "capped": {"logit_soft_cap": 2.0},
        }.items()
    ),
    *(
        Case("BatchNormalization", label=label, make=masked_normalization(**config), quick=True)
        for label, config in {
            "masked": {},
            "masked-on-axis-1": {"axis": 1, "momentum": 0.6, "scale": False},
        }.items()
    ),
]
