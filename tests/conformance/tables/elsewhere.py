"""Layers whose numbers other files of this folder hold against Keras, as cases for coverage.

Keras draws other random numbers than we do, and needs TensorFlow for text; so these cannot run
through `checks`.
"""

from __future__ import annotations

from tests.conformance import test_augmentation, test_noise
from tests.conformance.case import Case, case

VOCABULARY = ["a", "b"]
MODULES = {"test_noise": test_noise.CASES, "test_augmentation": test_augmentation.CASES}
IMAGE = (6, 7, 3)
PLAIN = {
    "test_augmentation, of several layers": [
        case("RandomElasticTransform", IMAGE, scale=0.9),
        case("RandomColorJitter", IMAGE, brightness_factor=0.2),
        case("RandAugment", IMAGE),
        Case("Pipeline", {"layers": lambda k: [k.layers.RandomFlip()]}, (IMAGE,)),
    ],
    "test_encoding": [
        case("Discretization", (3,), bin_boundaries=[0.0, 0.5]),
        Case("CategoryEncoding", {"num_tokens": 4}, ((3,),), dtype="int32"),
    ],
    "test_strings": [
        Case("StringLookup", {"vocabulary": VOCABULARY}, ((3,),), dtype="string"),
        Case("IntegerLookup", {"vocabulary": [3, 5]}, ((3,),), dtype="int32"),
        Case(
            "TextVectorization",
            {"vocabulary": VOCABULARY, "output_sequence_length": 4},
            ((1,),),
            dtype="string",
        ),
        Case("Hashing", {"num_bins": 7}, ((3,),), dtype="string"),
        Case("HashedCrossing", {"num_bins": 7}, ((1,), (1,)), as_list=True, dtype="string"),
    ],
}


def _shape(given: object) -> tuple[int, ...]:
    return tuple(given) if isinstance(given, (tuple, list)) else given.shape[1:]  # type: ignore[attr-defined]


#: Cases by the file that holds the numbers.
ELSEWHERE: dict[str, list[Case]] = {
    **{
        module: [Case(name, config, (_shape(shape),)) for name, config, shape in entries]
        for module, entries in MODULES.items()
    },
    **PLAIN,
}
