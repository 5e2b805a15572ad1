"""What all commands share: options, errors and output."""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Callable
from typing import Any

import click

from kcompile.ir.errors import KCompileError, VerifyError

EXIT_ERROR = 1
EXIT_NOT_VERIFIED = 3


def common_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add `--json` and `--traceback`, and turn errors of the model or data into exit codes."""

    @click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object on standard output."
    )
    @click.option("--traceback", is_flag=True, help="Show where in the code an error came up.")
    @functools.wraps(function)
    def run(*, traceback: bool, **options: Any) -> None:
        try:
            function(**options)
        except (KCompileError, NotImplementedError, OSError) as error:
            if traceback:
                raise
            _report(error, options["as_json"])
            raise click.exceptions.Exit(
                EXIT_NOT_VERIFIED if isinstance(error, VerifyError) else EXIT_ERROR
            ) from error

    return run


def _report(error: Exception, as_json: bool) -> None:
    message = " ".join(str(error).split())
    if as_json:
        print_json({"error": {"type": type(error).__name__, "message": message}})
    say(f"[bold red]error:[/] {escaped(message)}")


def say(text: str) -> None:
    """A line for people, on standard error; rich markup."""
    from rich.console import Console

    Console(stderr=True, highlight=False, soft_wrap=True).print(text)


def escaped(text: str) -> str:
    """`text` without meaning as rich markup."""
    from rich.markup import escape

    return escape(text)


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
