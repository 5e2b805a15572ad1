"""Values of options."""

from __future__ import annotations

from pathlib import Path

import click

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
#: What leaves a size open.
_OPEN = ("?", "-1", "None")


class Pair(click.ParamType):
    """`OLD=NEW`, cut at the last `=`."""

    name = "OLD=NEW"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        old, equals, new = str(value).rpartition("=")
        if not equals or not old or not new:
            self.fail(f"{value!r} is not of the form OLD=NEW", param, ctx)
        return old, new


class BatchSizes(click.ParamType):
    """`N,N,...`: numbers of rows."""

    name = "N,..."

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        texts = [text.strip() for text in str(value).split(",")]
        for text in texts:
            if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**31:
                self.fail(f"{value!r} is not of the form N,N: numbers from 1", param, ctx)
        return tuple(map(int, texts))


class InputShape(click.ParamType):
    """`[NAME:]SIZE,SIZE,...`; a size is a number, or `?` where it stays open."""

    name = "[NAME:]SIZE,..."

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[int | None, ...]]:
        name, _, sizes = str(value).rpartition(":")
        shape = tuple(self._size(text.strip(), value, param, ctx) for text in sizes.split(","))
        return name, shape

    def _size(
        self, text: str, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        if text in _OPEN:
            return None
        if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**31:
            self.fail(
                f"{value!r} is not of the form {self.name}: sizes are numbers from 1, or ?",
                param,
                ctx,
            )
        return int(text)
