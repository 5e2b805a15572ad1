"""A process that does many jobs, one line of JSON each, and the one that gives it the jobs."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Job = dict[str, Any]

#: Of a process from its start to its first job, in seconds: frameworks are imported.
START_LIMIT = 180


def serve(work: Callable[[Job], Job]) -> None:
    """Answer each job on standard input; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        try:
            answer = work(json.loads(line))
        except Exception as error:  # of any framework; what it says is the result
            answer = {"error": f"{type(error).__name__}: {error}"[:2000]}
        print(json.dumps(answer), file=answers, flush=True)


class Worker:
    """A process that serves, which is started anew after it crashed or took too long."""

    def __init__(self, command: list[str], variables: Mapping[str, str], log: Path) -> None:
        self._command = command
        self._variables = variables
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, job: Job, seconds: float) -> Job:
        """Its answer, or an error that tells of the crash or the time that was too long."""
        if self._process is None:
            self._start()
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer(seconds)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None

    def _start(self) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        if "error" in self._answer(START_LIMIT):
            raise RuntimeError(f"{' '.join(self._command)} does not start; see {self._log}")

    def _answer(self, seconds: float) -> Job:
        assert self._process is not None and self._process.stdout is not None
        end = time.monotonic() + seconds
        text = b""
        while not text.endswith(b"\n"):
            left = max(0.0, end - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                self.close()
                return {"error": f"not done after {seconds:.0f} s"}
            if not (part := os.read(self._process.stdout.fileno(), 1 << 16)):
                code = self._process.wait()
                self.close()
                return {"error": f"the process ended, with exit code {code}"}
            text += part
        answer: Job = json.loads(text)
        return answer
