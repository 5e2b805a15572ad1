"""The tables of the grid."""

from __future__ import annotations

import json
import re
from pathlib import Path

from report import table

#: Outcome -> what it says in the tables.
OUTCOMES = {
    "ok": "works",
    "error": "error when exporting",
    "invalid file": "ONNX's checker refuses the file",
    "refused": "onnxruntime refuses the file",
    "one size": "runs at one size only",
    "wrong": "computes something else, silently",
}


def brief(result: dict[str, str]) -> str:
    """The outcome and the start of what was said, without paths of the machine."""
    text = re.sub(r"\S*/\S+/\S+", "...", result.get("detail", ""))
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"Load model from \S+ failed:", "", text)
    text = re.sub(r"Name:'[^']*' ?", "", text.replace("Non-zero status code returned while ", ""))
    text = re.sub(r"<[^<>]{20,}>|0x[0-9a-f]{6,}|\x1b\[[0-9;]*m", "...", text)
    text = " ".join(text.replace("|", "/").replace("](", "] (").split())
    if result["outcome"] in ("wrong", "error"):
        text = re.sub(r"^(\w+\.)*(?=\w+(Error|Exception|Failed))", "", text)
    return f"**{result['outcome']}** {text[:100]}".strip().rstrip("`")


def write(found: dict[str, dict[str, dict[str, str]]], folder: Path) -> str:
    """[case][route]: the tables, which are written to grid.md in the folder, beside grid.json."""
    routes = list(next(iter(found.values())))
    counts = [
        [text, *(str(sum(row[r]["outcome"] == key for row in found.values())) for r in routes)]
        for key, text in OUTCOMES.items()
    ]
    failures = [
        [name, *("" if row[route]["outcome"] == "ok" else brief(row[route]) for route in routes)]
        for name, row in found.items()
        if any(result["outcome"] != "ok" for result in row.values())
    ]
    text = table((f"of {len(found)} models", *routes), counts)
    if failures:
        text += "\n\n" + table(("model", *routes), failures)
    folder.joinpath("grid.json").write_text(json.dumps(found, indent=1))
    folder.joinpath("grid.md").write_text(text + "\n")
    return text
