"""Shows the progress of training: bars in a terminal, plain lines elsewhere. xdist changes nothing in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from bumplab.runs.board import Board
from bumplab.runs.progress import Progress, running
from bumplab.runs.store import RunStore, run_key
from bumplab.terminal import cell, duration, line, uncaptured_stdout

REFRESH = 1.0
"""Seconds between two looks at the store."""
LINE_EVERY = 30.0
"""Seconds between two plain lines where the output is no terminal."""


class ProgressDisplay:
    """A thread that reads the store's progress files and shows them, from `start` to `stop`."""

    def __init__(self, board: Board):
        self.board, self.store = board, RunStore(board.root)
        self._stream = uncaptured_stdout()
        self.console = Console(file=self._stream)
        self.live = Live(console=self.console, transient=True, auto_refresh=False) if self.console.is_terminal else None
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._began, self.elapsed = time.time(), 0.0
        self._steps_at_first: dict[str, int] = {}
        """Steps of each wanted run that were done when the display first saw it, by run key."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        with self._lock:
            self._hide()
        self._stream.close()
        self.elapsed = round(time.time() - self._began, 1)

    def say(self, text: str) -> None:
        """Writes one line between pytest's own."""
        with self.paused():
            self._stream.write(line(f"[bumplab] {text}") + "\n")
            self._stream.flush()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keeps the bars off the terminal while pytest writes to it."""
        with self._lock:
            self._hide()
            yield

    def _hide(self) -> None:
        if self.live and self.live.is_started:
            self.live.stop()

    def _loop(self) -> None:
        last_line = time.time()
        while not self._stop.wait(REFRESH):
            runs = running(self.board.root)
            status = self._status(runs) if runs else None
            if status is None:
                continue
            with self._lock:
                if self._stop.is_set():
                    return
                if self.live:
                    if not self.live.is_started:
                        self.live.start()
                    self.live.update(_table(runs, status), refresh=True)
                elif time.time() - last_line >= LINE_EVERY:
                    last_line = time.time()
                    current = ", ".join(f"{run.label} at step {run.step}/{run.steps}" for run in runs)
                    self._stream.write(line(f"[bumplab] {status}: {current}") + "\n")
                    self._stream.flush()

    def _status(self, runs: list[Progress]) -> str | None:
        """Such as ``7 of 21 runs done, about 6 min for the others``. Open claims add runs later.

        None while the workers are still collecting.
        """
        wanted = {run_key(spec): spec.training.steps for spec in self.board.wanted()}
        if not wanted:
            return None
        stored = {key for key in wanted if self.store.path(key).is_dir()}
        active = [run for run in runs if run.key in wanted]
        done = {key: wanted[key] for key in stored} | {run.key: run.step for run in active}
        for key in wanted:
            self._steps_at_first.setdefault(key, done.get(key, 0))
        steps_since = sum(done.values()) - sum(self._steps_at_first.values())
        steps_left = sum(wanted.values()) - sum(done.values())
        rate = steps_since / max(time.time() - self._began, 1e-9)
        remaining = f", about {duration(steps_left / rate)} for the others" if rate > 0 else ""
        return f"{len(stored)} of {len(wanted)} runs done{remaining}"


def _table(runs: list[Progress], status: str) -> Table:
    table = Table(title=status, title_justify="left", box=None, show_header=False)
    for run in runs:
        bar = ProgressBar(run.steps, run.step, width=30)
        table.add_row(cell(run.label), bar, f"{run.step}/{run.steps} steps")
    return table
