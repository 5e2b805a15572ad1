"""A page about a model: its layers, and its graph before and after each pass.

The page needs nothing from elsewhere, and runs nothing: its Content-Security-Policy allows the one
style sheet that it has. Names come from files that are not trusted; what is not `Html` is escaped.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import html
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kcompile.ir.graph import Graph
from kcompile.ir.printer import print_graph
from kcompile.passes.pipelines import LogEntry
from kcompile.utils.inspection import LayerRow, total
from kcompile.utils.units import format_bytes

#: The most nodes of a graph whose text is shown.
MAX_NODES = 5000
#: The most lines that are shown of one comparison, and of one graph.
MAX_LINES = 600
#: The most characters that are shown of a line.
MAX_CHARACTERS = 1000
#: The most refusals of a pass that are listed.
MAX_REFUSALS = 50
#: Lines that stay the same and are shown around one that changed.
CONTEXT = 2
_ROLE = re.compile(r"(data|param|state|rng) ")

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --gone: #f4433633; --new: #4caf5033; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 90rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; }
th, td { overflow-wrap: anywhere; border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.total td { font-weight: 600; border-top: 2px solid; }
.wide { overflow-x: auto; }
.quiet { opacity: .7; }
.bad { color: #d32f2f; font-weight: 600; }
details { border: 1px solid var(--line); border-radius: 6px; }
details { margin: .4rem 0; padding: .3rem .8rem; }
summary { cursor: pointer; }
code, pre, .diff td { font: 12px/1.5 ui-monospace, monospace; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.diff { table-layout: fixed; width: 100%; }
.diff td { width: 50%; white-space: pre-wrap; border: 0; padding: 0 .5rem 0 2.5rem; }
.diff td { text-indent: -2rem; }
.diff td + td { border-left: 1px solid var(--line); }
.diff .skipped { text-align: center; opacity: .7; padding: .3rem; }
.gone { background: var(--gone); }
.new { background: var(--new); }
.gone mark { background: #f4433666; color: inherit; }
.new mark { background: #4caf5066; color: inherit; }
"""


@dataclass(frozen=True)
class PassView:
    """What one pass did.

    Attributes:
        entry: its entry in the log.
        before, after: the graph's texts; None if the graph is too big to be shown.
    """

    entry: LogEntry
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Report:
    """What a page shows.

    Attributes:
        title: the model's name.
        facts: what is said in short, by label.
        layers: of the model.
        passes: of the pipeline, in order.
        verification: what was found, by name; a text if nothing was verified or it failed.
        quantization: facts about the quantized file, if there is one.
        sensitivity: of layers that alone are quantized, signal to noise in decibels.
    """

    title: str
    facts: dict[str, str]
    layers: Sequence[LayerRow]
    passes: Sequence[PassView]
    verification: dict[str, str] | str
    quantization: dict[str, str] = field(default_factory=dict)
    sensitivity: dict[str, float] = field(default_factory=dict)


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def graph_text(graph: Graph) -> str | None:
    """The graph's text; None if it is too big to be shown."""
    return print_graph(graph) if len(graph.nodes) <= MAX_NODES else None


def render_report(report: Report) -> bytes:
    """The page, in UTF-8."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = _element(
        "head",
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        _element("title", report.title),
        _element("style", Html(_STYLE)),
    )
    page = Html("<!DOCTYPE html>\n") + _element("html", head, _body(report), lang="en")
    # A name in a JSON file can hold half a character, which UTF-8 has not.
    return page.encode("utf-8", "xmlcharrefreplace")


def _element(tag: str, *children: str, **attributes: str) -> Html:
    """`<tag>children</tag>`; children and attributes that are not `Html` are escaped."""
    named = "".join(
        f' {name.rstrip("_")}="{html.escape(value)}"' for name, value in attributes.items() if value
    )
    inside = "".join(child if isinstance(child, Html) else html.escape(child) for child in children)
    return Html(f"<{tag}{named}>{inside}</{tag}>")


def _body(report: Report) -> Html:
    sections = [
        _element("h1", report.title),
        _facts(report.facts),
        _element("h2", "Verification"),
        _verification(report.verification),
        _element("h2", "Layers"),
        _layers(report.layers),
        _element("h2", "Passes"),
        *map(_pass, report.passes),
    ]
    if report.passes:
        sections.append(_last_graph(report.passes[-1]))
    if report.quantization:
        sections += [_element("h2", "Quantization"), _facts(report.quantization)]
        sections.append(_sensitivity(report.sensitivity))
    return _element("body", *sections)


def _facts(facts: dict[str, str]) -> Html:
    rows = (_element("tr", _element("th", k), _element("td", v)) for k, v in facts.items())
    return _element("table", *rows)


def _verification(found: dict[str, str] | str) -> Html:
    if isinstance(found, str):
        return _element("p", found, class_="bad")
    return _facts({name.rpartition(".")[2].replace("_", " "): v for name, v in found.items()})


def _layers(rows: Sequence[LayerRow]) -> Html:
    sums = total(rows)
    titles = (("layer", "type", "output shape"), ("parameters", "FLOPs", "share", "output memory"))
    head = [_element("th", title) for title in titles[0]]
    head += [_element("th", title, class_="number") for title in titles[1]]
    body = [_layer(row, sums.flops) for row in rows]
    body.append(_layer(sums, sums.flops, "total"))
    table = _element("table", _element("tr", *head), *body)
    note = "For one sample; a multiplication with its addition is two FLOPs."
    return _element("div", _element("p", note, class_="quiet"), table, class_="wide")


def _layer(row: LayerRow, all_flops: int, kind: str = "") -> Html:
    shapes = [", ".join("?" if n is None else str(n) for n in shape) for shape in row.output_shapes]
    share = f"{row.flops / all_flops:.1%}" if all_flops else ""
    texts = (_cut(row.name), _cut(row.kind), " ".join(f"[{shape}]" for shape in shapes))
    numbers = (f"{row.num_parameters:,}", f"{row.flops:,}", share, format_bytes(row.output_bytes))
    cells = [_element("td", text) for text in texts]
    cells += [_element("td", number, class_="number") for number in numbers]
    return _element("tr", *cells, class_=kind)


def _pass(view: PassView) -> Html:
    entry = view.entry
    changed = view.before != view.after or bool(entry.changes)
    size = f"{entry.num_nodes_before:,} to {entry.num_nodes_after:,} nodes"
    notes = [size if changed else "no change"]
    if entry.refusals:
        notes.append(f"{len(entry.refusals)} declined")
    title = _element(
        "summary",
        _element("strong", entry.name),
        f" ({entry.reason}): ",
        _element("span", ", ".join(notes), class_="" if changed else "quiet"),
    )
    rules = [_element("li", f"{rule}: {count}") for rule, count in entry.changes]
    refused = [
        _element("li", f"not {refusal.rule} at %{_cut(refusal.node)}: {_cut(refusal.reason)}")
        for refusal in entry.refusals[:MAX_REFUSALS]
    ]
    if (more := len(entry.refusals) - MAX_REFUSALS) > 0:
        refused.append(_element("li", f"and {more:,} more"))
    return _element("details", title, _element("ul", *rules, *refused), _comparison(view))


def _comparison(view: PassView) -> Html:
    if view.before is None or view.after is None:
        return _element("p", f"Graphs of more than {MAX_NODES:,} nodes are not shown.")
    if view.before == view.after:
        return _element("p", "The graph stays as it is.", class_="quiet")
    rows = list(_with_context(_aligned(view.before.splitlines(), view.after.splitlines())))
    shown = [_row(row) for row in rows[:MAX_LINES]]
    if (more := len(rows) - MAX_LINES) > 0:
        shown.append(_across(f"{more:,} more lines are not shown"))
    head = _element("tr", _element("th", "before"), _element("th", "after"))
    return _element("table", head, *shown, class_="diff")


class _Row(NamedTuple):
    """A line before and the one after that it became; None where there is none."""

    before: str | None
    after: str | None


def _key(line: str) -> str:
    """What tells a line from others: the name of what it makes, be it given or computed."""
    return re.split(r" [:=] ", _ROLE.sub("", line.strip()), maxsplit=1)[0]


def _aligned(before: Sequence[str], after: Sequence[str]) -> Iterator[_Row]:
    keys = [_key(line) for line in before], [_key(line) for line in after]
    matcher = difflib.SequenceMatcher(None, *keys, autojunk=False)
    for _, start, end, new_start, new_end in matcher.get_opcodes():
        pairs = itertools.zip_longest(before[start:end], after[new_start:new_end])
        yield from itertools.starmap(_Row, pairs)


def _with_context(rows: Iterable[_Row]) -> Iterator[_Row | int]:
    """Rows that changed and those around them; a number for rows that are left out."""
    listed = list(rows)
    changed = [index for index, row in enumerate(listed) if row.before != row.after]
    near = {n for i in changed for n in range(i - CONTEXT, i + CONTEXT + 1)}
    for is_near, group in itertools.groupby(enumerate(listed), lambda item: item[0] in near):
        entries = [row for _, row in group]
        if is_near:
            yield from entries
        else:
            yield len(entries)


def _row(row: _Row | int) -> Html:
    if isinstance(row, int):
        return _across(f"{row:,} {'line' if row == 1 else 'lines'} the same")
    before, after = (None if line is None else _cut(line) for line in row)
    if row.before == row.after:
        return _element("tr", _element("td", before or ""), _element("td", after or ""))
    left, right = before or "", after or ""
    if _key(left) == _key(right):
        left, right = _marked(left, right)
    return _element(
        "tr",
        _element("td", left, class_="" if before is None else "gone"),
        _element("td", right, class_="" if after is None else "new"),
    )


def _across(text: str) -> Html:
    return _element("tr", _element("td", text, colspan="2", class_="skipped"))


def _marked(before: str, after: str) -> tuple[Html, Html]:
    """Two lines with the words marked in which they differ."""
    old, new = (re.findall(r"[\w/]+|.", line) for line in (before, after))
    left, right = Html(), Html()
    for tag, start, end, new_start, new_end in difflib.SequenceMatcher(
        None, old, new, autojunk=False
    ).get_opcodes():
        left = Html(left + _piece("".join(old[start:end]), tag))
        right = Html(right + _piece("".join(new[new_start:new_end]), tag))
    return left, right


def _piece(text: str, tag: str) -> Html:
    if tag == "equal" or not text:
        return Html(html.escape(text))
    return _element("mark", text)


def _cut(text: str) -> str:
    more = len(text) - MAX_CHARACTERS
    return text if more <= 0 else f"{text[:MAX_CHARACTERS]}… ({more:,} more characters)"


def _last_graph(view: PassView) -> Html:
    title = _element("summary", "The graph after the last pass")
    if view.after is None:
        return _element("details", title, _comparison(view))
    lines = view.after.splitlines()
    text = "\n".join(map(_cut, lines[:MAX_LINES]))
    if (more := len(lines) - MAX_LINES) > 0:
        text += f"\n({more:,} more lines are not shown)"
    return _element("details", title, _element("pre", text))


def _sensitivity(sensitivity: dict[str, float]) -> Html:
    if not sensitivity:
        return _element("p", "The sensitivity of layers was not measured.", class_="quiet")
    head = _element(
        "tr",
        _element("th", "layer that alone is quantized, the most sensitive first"),
        _element("th", "signal to noise", class_="number"),
    )
    rows = (
        _element("tr", _element("td", _cut(name)), _element("td", f"{db:.1f} dB", class_="number"))
        for name, db in sorted(sensitivity.items(), key=lambda item: item[1])
    )
    return _element("table", head, *rows)
