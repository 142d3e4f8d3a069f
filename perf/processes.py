"""Worker processes, seen from the process that compares them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from perf.workload import Variant, Workload, mismatch

ROOT = Path(__file__).resolve().parent.parent
# Importing a framework and compiling for the first time, on a slow machine.
TIMEOUT_SECONDS = 300.0
_SHOWN_LINES, _SHOWN_COLUMNS = 5, 200


class WorkerError(Exception):
    """A worker ended, hung, or returned results that differ from the reference."""


class Worker:
    """One process; it exists stopped except while it is asked for something.

    Frameworks keep threads that spin for a while after their work. A worker that is
    not being timed must not take the cores of the one that is, so it is stopped by a
    signal between its rounds.
    """

    def __init__(
        self, workload: Workload, variant: Variant, mode: str, env: Mapping[str, str]
    ) -> None:
        self.workload = workload
        self.variant = variant
        self._folder = tempfile.TemporaryDirectory(prefix="perf-")
        self._results = Path(self._folder.name) / "results.npz"
        self._errors = Path(self._folder.name) / "errors.txt"
        names = (mode, workload.name, variant.label, str(self._results))
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "perf.worker", *names],
                cwd=ROOT,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self, reference: list[np.ndarray]) -> dict[str, float]:
        """Wait until the worker has built and run its variant; compare its results.

        Returns:
            Seconds of the import, of building and of the first call.

        Raises:
            WorkerError: if it failed or its results are not those of `reference`.
        """
        facts = self._receive()
        with np.load(self._results, allow_pickle=False) as saved:
            got = [saved[f"arr_{i}"] for i in range(len(saved.files))]
        self._results.unlink()
        wrong = mismatch(got, reference, self.workload.rtol)
        if wrong:
            raise WorkerError(f"wrong results: {wrong}")
        self._signal(signal.SIGSTOP)
        return facts

    def time(self, seconds: float) -> list[float]:
        """Seconds per call of samples taken during about `seconds`."""
        self._signal(signal.SIGCONT)
        self._send(f"time {seconds}\n")
        times: list[float] = self._receive()["times"]
        self._signal(signal.SIGSTOP)
        return times

    def close(self) -> None:
        """End the process and those it started; nothing is left of them."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._folder.cleanup()

    def _signal(self, number: signal.Signals) -> None:
        # Its own process group: torch.compile starts processes that outlive it.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        stream = self._process.stdout
        assert stream is not None
        ready, _, _ = select.select([stream], [], [], TIMEOUT_SECONDS)
        line = stream.readline() if ready else b""
        if not line:
            raise WorkerError(self._last_words(hung=not ready))
        message: dict[str, Any] = json.loads(line)
        return message

    def _last_words(self, *, hung: bool) -> str:
        if hung:
            return f"no answer within {TIMEOUT_SECONDS:.0f} s"
        text = self._errors.read_text(encoding="utf-8", errors="replace")
        lines = [line[:_SHOWN_COLUMNS] for line in text.strip().splitlines()]
        return "\n".join(lines[-_SHOWN_LINES:]) or "the process ended without a word"


def load_average() -> float:
    """Runnable processes of the machine, mean of the last minute."""
    return os.getloadavg()[0]
