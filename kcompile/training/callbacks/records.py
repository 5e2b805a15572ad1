"""Callbacks that write the logs of every epoch somewhere else."""

from __future__ import annotations

import csv
import http.client
import json
import os
import urllib.parse
import urllib.request
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from kcompile.ir.errors import SpecError
from kcompile.training.callbacks.base import Callback, Logs

_TIMEOUT = 10.0  # seconds to wait for an answer


class CSVLogger(Callback):
    """Writes a row for every epoch into a CSV file, which is closed in between.

    The columns are `epoch`, counted from 0, and the names of the first epoch's logs. Where these
    have no `val_` names, there is a `val_` column for each; what the logs lack is `NA`.

    Args:
        filename: of the file.
        separator: between columns.
        append: whether to go on with a file that is there; else it is overwritten.
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        super().__init__()
        self.filename = os.fspath(filename)
        self.sep = separator
        self.append = append
        self.keys: list[str] | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self.keys = None
        with open(self.filename, "a" if self.append else "w"):
            pass  # a file that cannot be written is an error before training, not after

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = logs or {}
        rows: list[list[Any]] = []
        if self.keys is None:
            self.keys = _columns(logs)
            if os.path.getsize(self.filename) == 0:
                rows.append(["epoch", *self.keys])
        rows.append([epoch, *(_cell(logs.get(key, "NA")) for key in self.keys)])
        with open(self.filename, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=self.sep).writerows(rows)


def _columns(logs: Mapping[str, Any]) -> list[str]:
    names = sorted(logs)
    if any(name.startswith("val_") for name in names):
        return names
    return names + [f"val_{name}" for name in names]


def _cell(value: Any) -> Any:
    if np.ndim(value) == 0:
        return value
    return f'"[{", ".join(map(str, value))}]"'


class RemoteMonitor(Callback):
    """Sends the logs of every epoch to a server, with POST. A failure is a warning.

    Args:
        root: address of the server, with http or https.
        path: on the server.
        field: of the form, which holds the logs as JSON.
        headers: of the request.
        send_as_json: whether to send the JSON itself, and no form.

    Raises:
        SpecError: the address is of another kind.
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: Mapping[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        super().__init__()
        if urllib.parse.urlsplit(root).scheme not in ("http", "https"):
            raise SpecError(
                f"root must begin with http:// or https://, got {root!r}", where="RemoteMonitor"
            )
        self.root = root
        self.path = path
        self.field = field
        self.headers = headers
        self.send_as_json = send_as_json

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        sent = {"epoch": epoch, **{name: _plain(value) for name, value in (logs or {}).items()}}
        try:
            with urllib.request.urlopen(self._request(json.dumps(sent)), timeout=_TIMEOUT):
                pass
        except (OSError, http.client.HTTPException) as error:
            warnings.warn(f"RemoteMonitor could not send to {self.root}: {error}", stacklevel=2)

    def _request(self, text: str) -> urllib.request.Request:
        if self.send_as_json:
            body, kind = text, "application/json"
        else:
            body = urllib.parse.urlencode({self.field: text})
            kind = "application/x-www-form-urlencoded"
        headers = {"Content-Type": kind, **(self.headers or {})}
        return urllib.request.Request(self.root + self.path, body.encode(), headers)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray | np.generic) else value
