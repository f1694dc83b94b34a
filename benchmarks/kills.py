"""A suite of two workers, killed again and again, must end as one that never was: a part of `benchmarks/faults.py`."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bumplab import profiles
from bumplab.runs.progress import ProgressFile

ROOT = Path(__file__).parents[1]
SMOKE = profiles.get("smoke")
KILLS = 8
"""Most kills of one suite."""
SHARE = 0.6
"""Sessions are killed within this share of a whole suite's time: those that go on have less left to do."""
STEPS = "FAULTS_STEPS"
"""Names the file in which the workers of a suite note their steps."""
VICTIMS = ("all", "all", "worker", "controller")
TIMEOUT = 600.0
"""Seconds until a session that does not end counts as one that never would."""


@dataclass
class Outcome:
    tried: int = 0
    survived: int = 0
    lost: int = 0
    used_wrongly: int = 0


def kills(count: int, rng: random.Random, claims: str = "phases or hole") -> Outcome:
    """A smoke suite of two workers killed at random: it must end as one that was never killed.

    Every other time at a random step, else at a random moment; all of it, or a worker or the controller alone. A suite
    that repeats more than the steps since a run's last checkpoint has lost work.
    """
    outcome, victims = Outcome(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        verdicts(Path(folder) / "compiles", claims)
        began = time.monotonic()
        expected = verdicts(Path(folder) / "whole", claims)
        length = time.monotonic() - began
        steps = len(_steps(Path(folder) / "whole"))
        while outcome.tried < count:
            place = Path(folder) / f"killed-{outcome.tried}"
            hits = 0
            while hits < KILLS and outcome.tried < count:
                by_step = outcome.tried % 2 == 0
                done = len(_steps(place))
                until = rng.randint(done + 1, max(done + 1, steps)) if by_step else math.inf
                within = 10 * length if by_step else rng.uniform(0, length * SHARE)
                victim = killed(place, claims, within, until, rng.choice(VICTIMS))
                if not victim:  # it was done before
                    break
                victims[victim] += 1
                hits += 1
                outcome.tried += 1
            found = verdicts(place, claims)
            again = repeated(_steps(place))
            lost = found is None or any(map(too_many, again))
            outcome.lost += hits * lost
            outcome.used_wrongly += hits * (found is not None and found != expected)
            outcome.survived += hits * (not lost and found == expected)
            if lost or found != expected:
                print(f"{place.name} kept in {kept_for_a_look(place)}: {difference(expected, found)}", flush=True)
            shutil.rmtree(place, ignore_errors=True)
            print(f"{outcome.tried} kills, {outcome.survived} survived; (reached, taken up at): {again}", flush=True)
    print("killed:", ", ".join(f"{victim} {times}" for victim, times in victims.items()), flush=True)
    return outcome


def kept_for_a_look(place: Path) -> Path:
    return Path(shutil.copytree(place, Path(tempfile.mkdtemp(prefix="faults-")) / place.name))


def difference(expected: str | None, found: str | None) -> str:
    """Where what a session says departs from what was expected of it."""
    if expected is None or found is None:
        return "no report"
    if expected == found:
        return "steps repeated"
    at = next((at for at, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), 0)
    return f"...{expected[max(0, at - 60) : at + 60]}... is ...{found[max(0, at - 60) : at + 60]}..."


def killed(place: Path, claims: str, within: float, until: float, victim: str) -> str:
    """Starts a session and kills it, or one of its processes, once so many steps are noted or so many seconds over.

    Returns the victim: all, where no worker has begun to train; empty where the session ends before. A session that
    loses a worker goes on to its end; workers that lose their controller may outlive this call.
    """
    done = len(_steps(place))
    process = subprocess.Popen(**command(place, claims), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    began = time.monotonic()
    while process.poll() is None:
        if len(noted := _steps(place)) >= until or time.monotonic() - began > within:
            if victim == "controller":
                process.kill()
            elif victim == "worker" and len(noted) > done:
                with suppress(ProcessLookupError):
                    os.kill(int(noted[-1].split()[0]), signal.SIGKILL)
            else:
                victim = "all"
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10 * TIMEOUT)
            return victim
        time.sleep(0.01)
    return ""


def _steps(place: Path) -> list[str]:
    """The steps that a suite has noted: worker, run and step."""
    noted = place / STEPS
    return noted.read_text().splitlines() if noted.exists() else []


def command(place: Path, claims: str, words: Sequence[str] = ()) -> dict[str, Any]:
    """A session as `subprocess` starts it. ``words`` are further options, which come last."""
    options = ["--profile", "smoke", "--seeds", "2", "--max-seeds", "2", "-n", "2", "-k", claims, "-q"]
    place.mkdir(exist_ok=True)
    return {
        "args": [
            *(sys.executable, "-m", "pytest", "claims", *options, "-p", "benchmarks.kills"),
            *("--runs-dir", str(place / "runs"), "--report", str(place / "report.html"), *words),
        ],
        "cwd": ROOT,
        "env": os.environ
        | {
            STEPS: str(place / STEPS),
            "PYTHONPATH": str(ROOT / "tests" / "site"),  # UMAP is compiled once for all sessions
            "NUMBA_CACHE_DIR": str(place.parent / "compiled"),
        },
        "start_new_session": True,
    }


def pytest_configure() -> None:
    """For the suite that is killed: each worker notes every step of a run, and where it took the run up.

    Its sessions share UMAP's compiled code: most kills of a session that compiles for 14 s would find it at that.
    """
    if path := os.environ.get(STEPS):
        update = ProgressFile.update

        def noted(self: ProgressFile, step: int) -> None:
            with open(path, "a") as log:
                log.write(f"{os.getpid()} {self.progress.key} {step}\n")
            update(self, step)

        ProgressFile.update = noted  # type: ignore[method-assign]


def repeated(log: list[str]) -> list[tuple[int, int]]:
    """Each time that a run was taken up, by another process or the same: the step that it had reached, and where."""
    trainer: dict[str, str] = {}
    reached: dict[str, int] = {}
    again = []
    for process, key, step in map(str.split, log):
        if key in reached and (trainer[key] != process or int(step) <= reached[key]):
            again.append((reached[key], int(step)))
        trainer[key], reached[key] = process, int(step)
    return again


def too_many(again: tuple[int, int]) -> bool:
    """Whether more was repeated than the steps since the last checkpoint, which a kill may have found unwritten."""
    reached, taken_up = again
    every = SMOKE.base.measure.every
    return reached - taken_up > (reached % every or every)


def verdicts(place: Path, claims: str, words: Sequence[str] = ()) -> str | None:
    """How a session ends and what it says but for its times, or None where it came to no report."""
    (place / "report.json").unlink(missing_ok=True)
    try:
        ended = subprocess.run(**command(place, claims, words), capture_output=True, check=False, timeout=TIMEOUT)
        body = json.loads((place / "report.json").read_text())
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    for claim in body["claims"]:
        claim.pop("process_seconds")
    for run in body["runs"].values():
        run.pop("seconds")
    return json.dumps([ended.returncode, body["claims"], body["runs"]], sort_keys=True)
