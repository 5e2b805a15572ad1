"""The tables of the comparison, from what compare.py measured."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

Rows = dict[str, dict[str, Any]]

OURS = "kcompile"
BATCHES = (1, 32)
HEADER = (
    *("model", "route", "works", "nodes", "Transposes", "MB", "seconds", "peak MB"),
    *("latency, 1 row", "latency, 32 rows", "difference"),
)
SUMMARY = (
    *("model", "nodes, others' fewest", "seconds, others' least", "peak MB, others' least"),
    *("1 row: fastest other", "32 rows: fastest other"),
)


def ratios(rows: Rows, name: str, batch: int) -> list[float]:
    """Latency of a route over that of the file that was measured twice, session by session."""
    base = next(row for row in rows.values() if f"control_{batch}" in row)
    pairs = zip(base[f"control_{batch}"], base[f"latency_{batch}"], strict=True)
    references = [(one * other) ** 0.5 for one, other in pairs]
    return [a / b for a, b in zip(rows[name][f"latency_{batch}"], references, strict=True)]


def control(row: dict[str, Any], batch: int) -> tuple[float, float]:
    """Between what the ratio of a file to itself lay, whichever of the two comes first."""
    pairs = zip(row[f"control_{batch}"], row[f"latency_{batch}"], strict=True)
    largest = max(max(a / b, b / a) for a, b in pairs)
    return 1 / largest, largest


def latency_cell(rows: Rows, name: str, batch: int) -> str:
    row = rows[name]
    if f"latency_{batch}" not in row:
        return ""
    base = next(row for row in rows.values() if f"control_{batch}" in row)
    low, high = control(base, batch)
    if row is base:
        ratio = f"{statistics.median(row[f'latency_{batch}']):.3g} ms = 1"
    else:
        ratio = f"{statistics.median(ratios(rows, name, batch)):.2f}"
    return f"{ratio} ({low:.2f} to {high:.2f})"


def works_cell(row: dict[str, Any]) -> str:
    if "error" not in row:
        return "yes"
    reason = row["error"].strip().splitlines()[-1] if row["error"].strip() else "no message"
    reason = re.sub(r"\S*/\S+/\S+", "...", reason)  # of the machine it ran on
    reason = reason.replace("Load model from ... failed:", "").replace("|", "/")[:110]
    return f"repaired: {reason}" if row.get("is_repaired") else f"no: {reason}"


def cells(model: str, rows: Rows, name: str) -> list[str]:
    row = rows[name]
    start = [model, name, works_cell(row)]
    if "file" not in row:
        return start + [""] * (len(HEADER) - len(start))
    return [
        *start,
        str(row["nodes"]),
        str(row["transposes"]),
        f"{row['bytes'] / 1e6:.2f}",
        f"{row['seconds']:.2f}",
        f"{row['megabytes']:.0f}",
        *(latency_cell(rows, name, batch) for batch in BATCHES),
        f"{row['difference']:.0e}" if row["batches"] else "",
    ]


def against(rows: Rows, key: str) -> str:
    """Ours, the least of the others that work unrepaired, and the ratio."""
    others = [row[key] for name, row in rows.items() if name != OURS and key in row]
    ours = rows[OURS].get(key)
    if ours is None or not others:
        return ""
    digits = 0 if key in ("nodes", "megabytes") else 2
    return f"{ours:.{digits}f}, {min(others):.{digits}f} ({ours / min(others):.2f})"


def fastest_other(rows: Rows, batch: int) -> str:
    """The ratio of the fastest other to ours, beside the control's spread, and its name."""
    names = [name for name in rows if name != OURS and f"latency_{batch}" in rows[name]]
    if not names or f"control_{batch}" not in rows[OURS]:
        return ""
    found = {name: statistics.median(ratios(rows, name, batch)) for name in names}
    best = min(found, key=lambda name: found[name])
    low, high = control(rows[OURS], batch)
    verdict = "slower" if found[best] < low else "faster" if found[best] > high else "as fast"
    return f"{found[best]:.2f} {best} ({low:.2f} to {high:.2f}): ours is {verdict}"


def summary(model: str, rows: Rows) -> list[str]:
    working = {name: row for name, row in rows.items() if name == OURS or row.get("batches")}
    measured = [against(working, key) for key in ("nodes", "seconds", "megabytes")]
    return [model, *measured, *(fastest_other(rows, batch) for batch in BATCHES)]


def table(header: tuple[str, ...], lines: list[list[str]]) -> str:
    rule = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(line)} |" for line in [list(header), rule, *lines])


def write(found: dict[str, Rows], folder: Path) -> str:
    """The tables, which are written to results.md in the folder, beside results.json."""
    lines = [cells(model, rows, name) for model, rows in found.items() for name in rows]
    text = table(HEADER, lines)
    if all(OURS in rows for rows in found.values()):
        lines = [summary(model, rows) for model, rows in found.items()]
        text += "\n\n" + table(SUMMARY, lines)
    folder.joinpath("results.json").write_text(json.dumps(found, indent=1))
    folder.joinpath("results.md").write_text(text + "\n")
    return text
