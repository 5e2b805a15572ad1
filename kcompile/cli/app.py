"""The commands. What a command needs beyond click is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kcompile import __version__
from kcompile.cli.options import (
    Ends,
    Reading,
    interface_options,
    quantization_options,
    reading_options,
    source_of,
)
from kcompile.cli.parsing import FILE, NEW_FILE, BatchSizes, InputShape, Pair
from kcompile.cli.running import common_options

EXIT_CODES = """\b
Exit codes:
  0  done
  1  an error in the model, the data or a file
  2  an error in the command line
  3  the compiled model computes something else than the model: nothing is written
"""
DIFF_EXIT_CODES = """\b
Exit codes:
  0  the same
  1  they differ
  2  an error in a file or in the command line
"""

_file = click.argument("file", type=FILE)


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kcompile")
def main() -> None:
    """Compile neural networks.

    FILE is a model that Keras wrote, of any version: .keras, .h5, .hdf5, an architecture in JSON
    with its weights beside it, or the model.json of TF.js. Nothing in it is executed.
    """


@main.command("compile", epilog=EXIT_CODES)
@_file
@reading_options
@click.option("-o", "--output", type=NEW_FILE, required=True, help="The file to write.")
@click.option("--opset", type=click.IntRange(min=1), help="By default the lowest that will do.")
@click.option(
    "--target",
    default="onnx",
    metavar="TARGET",
    help="onnx; onnxruntime==X, the oldest release that has to take the ONNX file; xla, machine"
    " code for this machine; or reference, for NumPy.",
)
@click.option(
    "--batch-sizes",
    type=BatchSizes(),
    help="Numbers of rows that a file of xla has programs for, such as 1,32.",
)
@interface_options
@click.option(
    "--verify/--no-verify",
    default=True,
    help="Whether to run the file and hold it against the reference before it is kept.",
)
@click.option(
    "--check-passes",
    is_flag=True,
    help="Run the graph before and after each pass, and stop at one that changes the numbers.",
)
@click.option("--explain", is_flag=True, help="Show what each pass did and declined to do.")
@common_options
def compile_command(
    file: Path,
    reading: Reading,
    output: Path,
    opset: int | None,
    target: str,
    batch_sizes: tuple[int, ...] | None,
    ends: Ends,
    verify: bool,
    check_passes: bool,
    explain: bool,
    as_json: bool,
) -> None:
    """Compile a model to an ONNX file, or to an executable of another target."""
    from kcompile.cli.compiling import compile_executable, compile_file
    from kcompile.compiler import split_target

    source = source_of(file, reading, ends)
    if split_target(target)[0] != "onnx":
        options = {"opset": opset, "check_passes": check_passes}
        rows = batch_sizes or ()
        compile_executable(source, output, ends, target, rows, options, explain, as_json)
        return
    if batch_sizes is not None:
        raise click.UsageError("--batch-sizes is for --target xla; a fixed number is --batch")
    compile_file(source, output, ends, opset, target, verify, check_passes, explain, as_json)


@main.command("inspect", epilog=EXIT_CODES)
@_file
@reading_options
@click.option(
    "--target",
    type=click.Choice(["onnx", "training", "inference"]),
    help="Run the passes of this target. By default none run, with --after those of onnx.",
)
@click.option("--after", metavar="PASS", help="Stop after this pass.")
@click.option(
    "--html",
    type=NEW_FILE,
    help="Write a page instead: layers, the graph before and after each pass, verification.",
)
@click.option(
    "--quantization",
    type=FILE,
    metavar="FILE.json",
    help="What kcompile quantize --json printed; it is shown on the page too.",
)
@interface_options
@common_options
def inspect_command(
    file: Path,
    reading: Reading,
    target: str | None,
    after: str | None,
    html: Path | None,
    quantization: Path | None,
    ends: Ends,
    as_json: bool,
) -> None:
    """Show the graph of a model, and what each layer makes and costs.

    FLOPs and memory are for one sample; a multiplication with its addition is two FLOPs.
    """
    source = source_of(file, reading, ends)
    if html is not None:
        from kcompile.cli.reporting import report_file

        report_file(source, html, ends, target or "onnx", after, quantization, as_json)
        return
    if quantization is not None:
        raise click.UsageError("--quantization is for the page of --html")
    from kcompile.cli.inspecting import inspect_file

    inspect_file(source, ends, target, after, as_json)


@main.command("diff", epilog=DIFF_EXIT_CODES)
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option(
    "--activation",
    "activations",
    type=Pair(),
    multiple=True,
    help="What a name in the files stands for, such as '<lambda>=relu'.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="How far weights may be apart, in relation to the largest one of the two.",
)
@common_options
def diff_command(
    a: Path, b: Path, activations: tuple[tuple[str, str], ...], tolerance: float, as_json: bool
) -> int:
    """Compare two models: layers, how they are connected, and weights."""
    from kcompile.cli.comparing import diff_files

    return diff_files(a, b, dict(activations), tolerance, as_json)


@main.command("verify", epilog=EXIT_CODES)
@_file
@click.argument("model", type=FILE)
@reading_options
@click.option(
    "--data",
    type=FILE,
    metavar="FILE.npz",
    help="Inputs by name, all with the same rows; random ones by default.",
)
@interface_options
@common_options
def verify_command(
    file: Path, model: Path, reading: Reading, data: Path | None, ends: Ends, as_json: bool
) -> None:
    """Run the ONNX file MODEL, and hold its outputs against those of the model in FILE."""
    from kcompile.cli.verifying import verify_files

    verify_files(source_of(file, reading, ends), model, ends, data, as_json)


@main.command("quantize", epilog=EXIT_CODES)
@_file
@reading_options
@click.option("-o", "--output", type=NEW_FILE, required=True, help="The ONNX file to write.")
@click.option(
    "--data",
    type=FILE,
    metavar="FILE.npz",
    help="Inputs by name, some hundred rows like those to come; static quantization needs them.",
)
@quantization_options
@interface_options
@common_options
def quantize_command(
    file: Path,
    reading: Reading,
    output: Path,
    data: Path | None,
    quantization: dict[str, Any],
    ends: Ends,
    as_json: bool,
) -> None:
    """Compile a model to an ONNX file that computes with small integers."""
    from kcompile.cli.quantizing import quantize_file

    quantize_file(source_of(file, reading, ends), output, ends, data, quantization, as_json)


@main.command("convert", epilog=EXIT_CODES)
@_file
@click.argument("output", type=NEW_FILE)
@reading_options
@click.option(
    "--input-shape",
    "shapes",
    type=InputShape(),
    multiple=True,
    help="The shape of the input, batch included, if the file does not tell it.",
)
@common_options
def convert_command(
    file: Path,
    output: Path,
    reading: Reading,
    shapes: tuple[tuple[str, tuple[int | None, ...]], ...],
    as_json: bool,
) -> None:
    """Write a model of any era as a file of Keras 3.

    The ending of OUTPUT tells the format: .keras, .h5, .weights.h5, or .json for the architecture
    alone.
    """
    from kcompile.cli.converting import convert_file

    convert_file(source_of(file, reading, Ends(shapes=shapes)), output, as_json)


@main.command("run", epilog=EXIT_CODES)
@click.argument("model", type=FILE)
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="[NAME=]FILE.npy",
    help="An input; give one for each, by name or in order.",
)
@click.option("-o", "--output", type=NEW_FILE, help="Write the outputs to this .npz file.")
@click.option(
    "--trusted",
    is_flag=True,
    help="Run the machine code in a file of xla. Say so if nobody but you could write the file.",
)
@common_options
def run_command(
    model: Path, inputs: tuple[str, ...], output: Path | None, trusted: bool, as_json: bool
) -> None:
    """Run an ONNX file in onnxruntime, or another executable, and show its outputs."""
    from kcompile.cli.executing import run_file

    run_file(model, inputs, output, trusted, as_json)


@main.command("doctor", epilog=EXIT_CODES)
@common_options
def doctor_command(as_json: bool) -> int:
    """Say what is installed and whether it works: the first part of a bug report."""
    from kcompile.cli.doctor import examine

    return examine(as_json)
