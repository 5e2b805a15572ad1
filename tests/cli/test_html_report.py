"""`kcompile inspect --html`: what the page says, and that it is only text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import kcompile
from kcompile import layers
from kcompile.cli import main
from kcompile.ir.errors import ExportError
from kcompile.passes.journal import Refusal
from kcompile.passes.pipelines import LogEntry
from kcompile.utils import html_report
from kcompile.utils.html_report import PassView, Report, render_report
from kcompile.utils.inspection import layer_table, peak_activation_bytes, total

HOSTILE = "<script>alert(1)'&lt;"
_VOID = {"meta"}


class Page(HTMLParser):
    """The text of each element by tag; an error if tags are not closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.attributes: list[tuple[str, str, str | None]] = []
        self.cells: list[list[str]] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag in _VOID:
            return
        self.open.append(tag)
        self.texts.setdefault(tag, []).append("")
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data
        if {"td", "th"} & set(self.open):
            self.cells[-1][-1] += data

    def row(self, first: str) -> list[str]:
        """The only row of a table that begins so."""
        (found,) = [row for row in self.cells if row and row[0] == first]
        return found


@pytest.fixture(scope="module")
def model() -> kcompile.Model:
    """Layers that fold into each other; one has a hostile name."""
    kcompile.utils.set_random_seed(0)
    return kcompile.Sequential(
        [
            layers.Input((6, 6, 1), name="image"),
            layers.Conv2D(2, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(name="flat"),
            layers.Dense(3, activation="softmax", name=HOSTILE),
        ],
        name='net <b>"&',
    )


@pytest.fixture
def spec(model: kcompile.Model, tmp_path: Path) -> Path:
    """Its file."""
    path = tmp_path / "<i>.json"
    path.write_text(model.to_json())
    model.save_weights(tmp_path / "<i>.weights.h5")
    return path


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["inspect", *map(str, arguments)])


def write(spec: Path, *options: Any) -> Page:
    output = spec.with_name("report.html")
    result = run(spec, "--html", output, *options)
    assert result.exit_code == 0, result.output
    return Page(output)


def test_the_numbers_are_the_models(model: kcompile.Model, spec: Path) -> None:
    page = write(spec)
    rows = layer_table(model)
    for row in (*rows, total(rows)):
        cells = page.row(row.name)
        assert cells[3:5] == [f"{row.num_parameters:,}", f"{row.flops:,}"], row.name
    assert page.row("conv")[1:3] == ["Conv2D", "[?, 4, 4, 2]"]
    assert page.row("parameters")[1].startswith(f"{model.count_params()} (")
    assert page.row("status")[1] == "passed"
    executable = kcompile.compile(model)
    assert f", and {len(executable.graph.nodes)} after" in page.row("nodes")[1]
    assert page.row("ONNX file")[1].startswith(f"{executable.report['nodes']} nodes, ")


def test_each_pass_is_there_with_what_it_did(model: kcompile.Model, spec: Path) -> None:
    page = write(spec)
    titles = [text for text in page.texts["summary"] if " (" in text]
    log = kcompile.compile(model, verify=False).log
    assert len(titles) == len(log)
    for title, entry in zip(titles, log, strict=True):
        size = f"{entry.num_nodes_before} to {entry.num_nodes_after} nodes"
        assert title.startswith(f"{entry.name} ({entry.reason}): ")
        assert (size in title) or ("no change" in title and not entry.changes), title
        assert (f"{len(entry.refusals)} declined" in title) == bool(entry.refusals)
    items = page.texts["li"]
    assert [f"{rule}: {n}" for entry in log for rule, n in entry.changes] == [
        item for item in items if not item.startswith("not ")
    ]
    (folding,) = [t for t in page.texts["details"] if t.startswith("fold_batch_norm (")]
    assert "batch_norm(" in folding and "lines the same" in folding


def test_names_are_text(spec: Path) -> None:
    page = write(spec)
    text = spec.with_name("report.html").read_text()
    assert page.texts.keys().isdisjoint({"script", "b", "i"})
    assert "<script" not in text
    assert page.texts["h1"] == page.texts["title"] == ['net <b>"&']
    assert page.row("file")[1] == "<i>.json"
    assert page.row(HOSTILE)[1] == "Dense"
    assert any(f'"{HOSTILE}"' in text for text in page.texts["td"])


def test_nothing_comes_from_elsewhere(spec: Path) -> None:
    page = write(spec)
    names = {name for _, name, _ in page.attributes}
    assert names <= {"charset", "http-equiv", "content", "name", "lang", "class", "colspan"}
    assert page.texts.keys().isdisjoint({"a", "img", "link", "script", "iframe", "form"})
    (style,) = page.texts["style"]
    assert not re.search(r"url|@import|expression", style)
    policy = next(v for t, n, v in page.attributes if n == "content" and "default-src" in (v or ""))
    assert policy is not None and policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy and "base-uri 'none'; form-action 'none'" in policy


def test_attributes_and_half_characters(tmp_path: Path) -> None:
    entry = LogEntry("a", "b", 1, 1, (), (Refusal("rule", '"><x', "\ud800 reason"),), 0.0)
    page = tmp_path / "page.html"
    view = PassView(entry, '%"a" : f32 = x()', '%"a" : f32 = <y>()')
    page.write_bytes(render_report(Report("\ud800", {'"><u>': "'"}, [], [view], "failed: <p>")))
    read = Page(page)
    assert read.texts.keys().isdisjoint({"x", "y", "u"})
    assert read.texts["mark"] == ["x", "<y>"]
    assert "failed: <p>" in read.texts["p"]
    assert [cell for row in read.cells for cell in row if "f32" in cell] == [
        view.before,
        view.after,
    ]


def test_big_graphs_are_cut_and_that_is_said(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html_report, "MAX_LINES", 3)
    monkeypatch.setattr(html_report, "MAX_CHARACTERS", 10)
    page = write(spec)
    assert any("more lines are not shown" in text for text in page.texts["td"])
    assert any("more characters)" in text for text in page.texts["td"])
    monkeypatch.setattr(html_report, "MAX_NODES", 1)
    page = write(spec)
    assert "Graphs of more than 1 nodes are not shown." in page.texts["p"]
    assert "pre" not in page.texts


def test_lines_are_paired_by_what_they_make(tmp_path: Path) -> None:
    entry = LogEntry("a", "b", 3, 2, (("rule", 1),), (), 0.0)
    before = "param %a : f32\n%b : f32 = two(%a)\n%c : f32 = three(%b)"
    after = "%a : f32 = one()\n%c : f32 = four(%a)"
    page = tmp_path / "page.html"
    page.write_bytes(render_report(Report("", {}, [], [PassView(entry, before, after)], "")))
    a, b, c = before.splitlines()
    assert [row for row in Page(page).cells if len(row) == 2][1:] == [
        [a, "%a : f32 = one()"],
        [b, ""],
        [c, "%c : f32 = four(%a)"],
    ]


def test_another_target_or_fewer_passes(spec: Path) -> None:
    page = write(spec, "--after", "fold_batch_norm")
    assert [t for t in page.texts["summary"] if " (" in t][-1].startswith("fold_batch_norm (")
    assert "not verified" in page.texts["p"]
    page = write(spec, "--target", "training")
    assert len([t for t in page.texts["summary"] if " (" in t]) == 1


def test_a_failure_is_on_the_page(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> Any:
        raise ExportError("onnx cannot <hold> it")

    monkeypatch.setattr("kcompile.runtimes.onnxruntime.production.write_file", refuse)
    page = write(spec)
    assert "failed: onnx cannot <hold> it" in page.texts["p"]


def test_quantization(spec: Path) -> None:
    report = spec.with_name("report.json")
    found = {"mode": "static", "layers": ["conv", "<b>"], "excluded": ["norm"], "metric": 0.5}
    report.write_text(
        json.dumps({"quantization": found | {"sensitivity": {"conv": "inf", "<b>": 12.25}}})
    )
    page = write(spec, "--quantization", report)
    assert page.row("mode")[1] == "static"
    assert page.row("in floats")[1] == "norm"
    assert page.row("accuracy")[1] == "0.5000"
    assert page.row("<b>") == ["<b>", "12.2 dB"]
    assert page.cells.index(["<b>", "12.2 dB"]) < page.cells.index(["conv", "inf dB"])


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"quantization": {"mode": "static"}}', "{", "\xff"]
    + [
        json.dumps(
            {"quantization": {"mode": "m", "layers": [], "excluded": [], "sensitivity": bad}}
        )
        for bad in ([1], {"a": "1e5"}, {"a": True})
    ],
)
def test_another_file_for_the_quantization_is_refused(spec: Path, text: str) -> None:
    report = spec.with_name("report.json")
    report.write_text(text, encoding="latin-1")
    output = spec.with_name("report.html")
    result = run(spec, "--html", output, "--quantization", report)
    assert result.exit_code == 1
    assert "report.json" in result.stderr
    assert not output.exists()


def test_usage(spec: Path) -> None:
    missing = run(spec.with_name("none.json"), "--html", spec.with_name("report.html"))
    assert missing.exit_code == 2 and "none.json' does not exist" in missing.stderr
    nowhere = run(spec, "--html", spec.parent / "none" / "report.html")
    assert nowhere.exit_code == 1 and "there is no folder" in nowhere.stderr
    same = run(spec, "--html", spec)
    assert same.exit_code == 2 and "would replace what is read" in same.stderr
    alone = run(spec, "--quantization", spec)
    assert alone.exit_code == 2 and "--html" in alone.stderr
    assert not list(spec.parent.glob("*.html"))


def test_the_page_appears_whole_or_not_at_all(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(spec)
    output = spec.with_name("report.html")
    before, files = output.read_bytes(), sorted(spec.parent.iterdir())

    def fail(*arguments: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("kcompile.utils.atomic.os.fsync", fail)
    result = run(spec, "--html", output)
    assert result.exit_code == 1 and "the disk is full" in result.stderr
    assert output.read_bytes() == before
    assert sorted(spec.parent.iterdir()) == files


def test_json(spec: Path) -> None:
    output = spec.with_name("report.html")
    result = run(spec, "--html", output, "--json")
    found = json.loads(result.stdout)
    assert found["html"] == str(output)
    assert found["verification"]["kcompile.verification.status"] == "passed"


def test_peak_of_what_is_held() -> None:
    x = layers.Input((8,), name="x")
    wide = layers.Concatenate(name="wide")([x, x])
    model = kcompile.Model(x, layers.Activation("relu", name="relu")(wide))
    # x and wide, then x, wide and relu: 8, 16 and 16 numbers of 4 bytes.
    assert peak_activation_bytes(model.graph()) == 4 * (8 + 16 + 16)
