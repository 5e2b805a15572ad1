"""Arguments for the metrics that have no defaults for all of theirs."""

from typing import Any

REQUIRED: dict[str, dict[str, Any]] = {
    "IoU": {"num_classes": 7, "target_class_ids": [0, 2]},
    "MeanIoU": {"num_classes": 7},
    "OneHotIoU": {"num_classes": 7, "target_class_ids": (1, 2)},
    "OneHotMeanIoU": {"num_classes": 7},
    "PrecisionAtRecall": {"recall": 0.3},
    "RecallAtPrecision": {"precision": 0.2},
    "SensitivityAtSpecificity": {"specificity": 0.4},
    "SpecificityAtSensitivity": {"sensitivity": 0.4},
}


def arguments_of(name: str) -> dict[str, Any]:
    """What the metric of that name is made with."""
    return REQUIRED.get(name, {})
