"""Spectrograms: how much of each frequency is in each frame of a signal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import kcompile.ops as ops
from kcompile import initializers
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.layers.base import Layer
from kcompile.layers.convolutional import check_format
from kcompile.ops.limits import check_numbers
from kcompile.ops.windows import check_window

_EPSILON = 1e-7
_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


class STFTSpectrogram(Layer):
    """The short-time Fourier transform of each channel of a signal `[N, T, C]`.

    Frames are convolved with sines and cosines, which are weights. y is `[N, frames, C * bins]`,
    or with `expand_dims` `[N, frames, bins, C]`; with channels_first `[N, C * bins, frames]` and
    `[N, C, frames, bins]`. There are `fft_length // 2 + 1` bins, twice that in mode `stft`.

    Args:
        mode: `real` or `imag` part, both (`stft`), `angle`, `magnitude`, its `log`, or `psd`, the
            one-sided power.
        frame_length: samples of a frame.
        frame_step: samples from one frame to the next; half of frame_length by default.
        fft_length: at least frame_length; the next power of 2 by default.
        window, periodic, scaling: as in `initializers.STFT`.
        padding: `valid` or `same`.
        expand_dims: whether bins are an axis of their own.
        data_format: `channels_last` or `channels_first`.

    Raises:
        SpecError: an argument is out of range.
    """

    def __init__(
        self,
        mode: str = "log",
        frame_length: int = 256,
        frame_step: int | None = None,
        fft_length: int | None = None,
        window: Any = "hann",
        periodic: bool = False,
        scaling: str | None = "density",
        padding: str = "valid",
        expand_dims: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        where = f"layer '{self.name}'"
        if mode not in _MODES:
            raise SpecError(f"mode is one of {', '.join(_MODES)}, got {mode!r}", where=where)
        if frame_step is not None and not 1 <= frame_step <= frame_length:
            raise SpecError(f"frame_step is in [1, {frame_length}], got {frame_step}", where=where)
        if fft_length is not None and fft_length < frame_length:
            raise SpecError(f"fft_length is at least {frame_length}, got {fft_length}", where=where)
        if padding not in ("valid", "same"):
            raise SpecError(f"padding is 'valid' or 'same', got {padding!r}", where=where)
        if scaling not in (None, "density", "spectrum"):
            raise SpecError(f"there is no scaling {scaling!r}", where=where)
        if isinstance(window, str):
            check_window(window, where)
        self.mode = mode
        self.frame_length = frame_length
        self.frame_step = frame_step
        self.fft_length = fft_length
        self.window = window
        self.periodic = periodic
        self.scaling = scaling
        self.padding = padding
        self.expand_dims = expand_dims
        self.data_format = check_format(data_format, where)

    @property
    def _num_bins(self) -> int:
        length = self.fft_length or 2 ** math.ceil(math.log2(self.frame_length))
        return length // 2 + 1

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 3:
            raise ShapeError(
                f"needs a signal of rank 3, got {list(input_shape)}", where=f"layer '{self.name}'"
            )
        shape = (self.frame_length, 1, self._num_bins)
        self.real_kernel = self.imag_kernel = None
        if self.mode != "imag":
            self.real_kernel = self._kernel("real", shape)
        if self.mode != "real":
            self.imag_kernel = self._kernel("imag", shape)

    def _kernel(self, side: str, shape: tuple[int, ...]) -> Any:
        initializer = initializers.STFT(side, self.window, self.scaling, self.periodic)
        return self.add_weight(shape, initializer, name=f"{side}_kernel")

    def call(self, inputs: Any) -> Any:
        if self.data_format == "channels_last":
            inputs = ops.transpose(inputs, (0, 2, 1))
        batch, channels, time = inputs.type.shape
        frames = ops.reshape(inputs, (batch * channels, time, 1))
        step = self.frame_step or self.frame_length // 2

        def parts(kernel: Any) -> Any:
            """`[N, C, frames, bins]`."""
            y = ops.conv(frames, kernel, step, self.padding)
            return ops.reshape(y, (batch, channels, *y.type.shape[1:]))

        kernels = (self.real_kernel, self.imag_kernel)
        y = self._combined([parts(kernel) for kernel in kernels if kernel is not None])
        _, _, num_frames, num_bins = y.type.shape
        last = self.data_format == "channels_last"
        if self.expand_dims:
            return ops.transpose(y, (0, 2, 3, 1)) if last else y
        if last:
            y = ops.transpose(y, (0, 2, 1, 3))
            return ops.reshape(y, (batch, num_frames, channels * num_bins))
        y = ops.transpose(y, (0, 1, 3, 2))
        return ops.reshape(y, (batch, channels * num_bins, num_frames))

    def _combined(self, parts: list[Any]) -> Any:
        """The mode's number for each frame and bin, from the real, the imaginary part or both."""
        if len(parts) == 1:
            return parts[0]
        real, imag = parts
        if self.mode == "stft":
            return ops.concatenate(parts, -1)
        if self.mode == "angle":
            return ops.arctan2(imag, real)
        power = ops.square(real) + ops.square(imag)
        if self.mode == "psd":
            # Bins but the first and the last stand for negative frequencies as well.
            return power + ops.pad(power[..., 1:-1], ((0, 0), (0, 0), (0, 0), (1, 1)))
        magnitude = ops.sqrt(ops.maximum(power, _EPSILON))
        return magnitude if self.mode == "magnitude" else ops.log(ops.maximum(magnitude, _EPSILON))


class MelSpectrogram(Layer):
    """The spectrum `[N, num_mel_bins, frames]` of a signal `[N, T]` (or `[T]`) on the mel scale.

    Args:
        fft_length: of the Fourier transform.
        sequence_stride: samples from one frame to the next.
        sequence_length: samples of a frame; fft_length by default.
        window: its name, values, or None.
        sampling_rate: in Hz.
        num_mel_bins: how many.
        min_freq, max_freq: of the bins, in Hz; max_freq is half the sampling rate by default.
        power_to_db: whether y is in decibel, against ref_power.
        top_db: how far below the greatest of the whole batch y may be, in decibel.
        mag_exp: exponent of magnitudes.
        min_power: the least power.
        ref_power: what 0 decibel are.

    Raises:
        SpecError: fft_length is less than sequence_length.
    """

    def __init__(
        self,
        fft_length: int = 2048,
        sequence_stride: int = 512,
        sequence_length: int | None = None,
        window: Any = "hann",
        sampling_rate: float = 16000,
        num_mel_bins: int = 128,
        min_freq: float = 20.0,
        max_freq: float | None = None,
        power_to_db: bool = True,
        top_db: float = 80.0,
        mag_exp: float = 2.0,
        min_power: float = 1e-10,
        ref_power: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fft_length = fft_length
        self.sequence_stride = sequence_stride
        self.sequence_length = sequence_length or fft_length
        if fft_length < self.sequence_length:
            raise SpecError(
                f"fft_length is at least sequence_length, got {fft_length} and {sequence_length}",
                where=f"layer '{self.name}'",
            )
        self.window = window
        self.sampling_rate = sampling_rate
        self.num_mel_bins = num_mel_bins
        self.min_freq = min_freq
        self.max_freq = max_freq or int(sampling_rate / 2)
        self.power_to_db = power_to_db
        self.top_db = top_db
        self.mag_exp = mag_exp
        self.min_power = min_power
        self.ref_power = ref_power

    def call(self, inputs: Any) -> Any:
        real, imag = ops.stft(
            ops.cast(inputs, "float32"),
            self.sequence_length,
            self.sequence_stride,
            self.fft_length,
            self.window,
        )
        magnitude = ops.sqrt(ops.square(real) + ops.square(imag))
        y = ops.matmul(ops.power(magnitude, self.mag_exp), self._mel_weights())
        if self.power_to_db:
            reference = max(abs(self.ref_power), self.min_power)
            y = 10.0 * ops.log10(ops.maximum(y, self.min_power)) - 10.0 * math.log10(reference)
            y = ops.maximum(y, ops.max(y) - self.top_db)
        return ops.cast(ops.swapaxes(y, -1, -2), self.compute_dtype)

    def _mel_weights(self) -> Any:
        """Triangles `[bins, num_mel_bins]` of height 1, evenly spaced in mel; bin 0 has none."""
        num_bins = self.fft_length // 2 + 1
        check_numbers(num_bins, self.num_mel_bins)
        mels = _mel(np.linspace(0, self.sampling_rate / 2, num_bins))[1:, None]
        edges = np.linspace(_mel(self.min_freq), _mel(self.max_freq), self.num_mel_bins + 2)
        lower, center, upper = edges[:-2], edges[1:-1], edges[2:]
        rising, falling = (mels - lower) / (center - lower), (upper - mels) / (upper - center)
        triangles = np.maximum(0, np.minimum(rising, falling))
        return np.pad(triangles, ((1, 0), (0, 0))).astype(np.float32)


def _mel(frequency: Any) -> Any:
    """`1127 * log(1 + f / 700)`, f in Hz (the HTK formula)."""
    return 1127.0 * np.log1p(frequency / 700.0)
