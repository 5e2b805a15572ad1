"""Names of `keras.utils` that are not there, each with its reason."""

from __future__ import annotations

from kcompile.ops.missing import missing

FeatureSpace = missing("utils.FeatureSpace", "preprocess with the layers that it is made of")
Progbar = missing(
    "utils.Progbar", "fit, evaluate and predict show their own; see callbacks.ProgbarLogger"
)
audio_dataset_from_directory = missing(
    "utils.audio_dataset_from_directory",
    "decode the files with a library, and give arrays to fit",
)
