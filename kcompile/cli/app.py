"""The commands. What a command needs beyond click is imported when it runs."""

from __future__ import annotations

from pathlib import Path

import click

from kcompile import __version__
from kcompile.cli.running import common_options

EXIT_CODES = """\b
Exit codes:
  0  done
  1  an error in the model, the data or a file
  2  an error in the command line
  3  the compiled model computes something else than the model: nothing is written
"""

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW_FILE = click.Path(dir_okay=False, path_type=Path)
_spec = click.argument("spec", type=_FILE)
_weights = click.option(
    "--weights",
    type=_FILE,
    help="The weights, a .weights.h5 file. By default NAME.weights.h5 beside NAME.json.",
)
_seed = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the initial weights that a model without a weights file gets.",
)


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kcompile")
def main() -> None:
    """Compile neural networks.

    SPEC is an architecture in JSON, as Keras 3's model.to_json() gives it.
    """


@main.command("compile", epilog=EXIT_CODES)
@_spec
@_weights
@click.option("-o", "--output", type=_NEW_FILE, required=True, help="The ONNX file to write.")
@click.option("--opset", type=click.IntRange(min=1), help="By default the lowest that will do.")
@click.option(
    "--verify/--no-verify",
    default=True,
    help="Whether to run the file and hold it against the reference before it is kept.",
)
@click.option("--explain", is_flag=True, help="Show what each pass did and declined to do.")
@_seed
@common_options
def compile_command(
    spec: Path,
    weights: Path | None,
    output: Path,
    opset: int | None,
    verify: bool,
    explain: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Compile a model to an ONNX file."""
    from kcompile.cli.compiling import compile_file

    compile_file(spec, weights, output, opset, verify, explain, seed, as_json)


@main.command("inspect", epilog=EXIT_CODES)
@_spec
@_weights
@click.option(
    "--target",
    type=click.Choice(["onnx", "training", "inference"]),
    help="Run the passes of this target. By default none run, with --after those of onnx.",
)
@click.option("--after", metavar="PASS", help="Stop after this pass.")
@_seed
@common_options
def inspect_command(
    spec: Path,
    weights: Path | None,
    target: str | None,
    after: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Show the graph of a model, and what each layer makes and costs.

    FLOPs and memory are for one sample; a multiplication with its addition is two FLOPs.
    """
    from kcompile.cli.inspecting import inspect_file

    inspect_file(spec, weights, target, after, seed, as_json)


@main.command("run", epilog=EXIT_CODES)
@click.argument("model", type=_FILE)
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="[NAME=]FILE.npy",
    help="An input; give one for each, by name or in order.",
)
@click.option("-o", "--output", type=_NEW_FILE, help="Write the outputs to this .npz file.")
@common_options
def run_command(model: Path, inputs: tuple[str, ...], output: Path | None, as_json: bool) -> None:
    """Run an ONNX file in onnxruntime and show its outputs."""
    from kcompile.cli.executing import run_file

    run_file(model, inputs, output, as_json)
