"""What all commands share: options, errors and output."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from kcompile.ir.errors import KCompileError, VerifyError

EXIT_ERROR = 1
EXIT_DIFFERENT = 1
EXIT_TROUBLE = 2
EXIT_NOT_VERIFIED = 3


def common_options(function: Callable[..., int | None]) -> Callable[..., None]:
    """Add `--json` and `--traceback`, and turn errors of the model or data into exit codes.

    The command's own exit code is what it returns; none is 0.
    """

    @click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object on standard output."
    )
    @click.option("--traceback", is_flag=True, help="Show where in the code an error came up.")
    @functools.wraps(function)
    def run(*, traceback: bool, **options: Any) -> None:
        try:
            code = function(**options)
        except (KCompileError, NotImplementedError, OSError, MemoryError) as error:
            if traceback:
                raise
            _report(error, options["as_json"])
            raise click.exceptions.Exit(_exit_code(error)) from error
        if code:
            raise click.exceptions.Exit(code)

    return run


def _exit_code(error: Exception) -> int:
    if isinstance(error, VerifyError):
        return EXIT_NOT_VERIFIED
    # `diff` says with 1 that two files differ.
    is_diff = click.get_current_context().command.name == "diff"
    return EXIT_TROUBLE if is_diff else EXIT_ERROR


def _report(error: Exception, as_json: bool) -> None:
    message = " ".join(str(error).split())
    if as_json:
        print_json({"error": {"type": type(error).__name__, "message": message}})
    say(message, "error:")


def say(text: str, label: str = "") -> None:
    """A line for people, on standard error."""
    if label:
        colour = "red" if label == "error:" else "yellow" if label == "warning:" else None
        text = f"{click.style(label, fg=colour, bold=True)} {text}"
    click.echo(text, err=True)


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Tell people at a terminal what is being done, by the function that is given."""
    if not sys.stderr.isatty():
        yield lambda stage: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update


def show(*renderables: Any) -> None:
    """A result, on standard output."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 120
    console = Console(file=sys.stdout, width=width, highlight=False, markup=False)
    for renderable in renderables:
        console.print(renderable, soft_wrap=isinstance(renderable, str))


def print_json(value: dict[str, Any]) -> None:
    """One object, on standard output. Numbers that JSON does not have become strings."""
    click.echo(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return value
