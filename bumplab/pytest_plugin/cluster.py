"""``--dask``: its options, the engine of a session, and the threads that ask for the runs of all items at once."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass

import pytest

from bumplab.config import RunSpec
from bumplab.pytest_plugin import entries
from bumplab.pytest_plugin.forms import Form, forms
from bumplab.pytest_plugin.items import Item
from bumplab.pytest_plugin.obtained import Obtained, RunsOfForm
from bumplab.pytest_plugin.options import GRACE, WAIT, usage_error, value
from bumplab.pytest_plugin.settings import Settings
from bumplab.runs.cluster.engine import Cluster
from bumplab.runs.cluster.identity import SubjectByName
from bumplab.runs.cluster.options import ClusterOptions, NoCluster
from bumplab.runs.cluster.submissions import ASKED, CONTROL
from bumplab.verdicts.claim import Claim, Control
from bumplab.verdicts.decision import decide, decide_control

MOST_SECONDS = 604_800
"""Longest ``--dask-wait`` and ``--dask-grace``: a week."""


def cluster_of(config: pytest.Config) -> ClusterOptions | None:
    """What the options say of the cluster; None without ``--dask``. Raises `pytest.UsageError` in one line."""
    address = value(config, "dask")
    if address is None:
        for name in ("--dask-wait", "--dask-grace"):
            if value(config, name[2:].replace("-", "_")) is not None:
                raise usage_error(f"{name}: goes with --dask")
        return None
    name = value(config, "subject")
    folder, arguments = str(config.invocation_params.dir), tuple(value(config, "subject_arg"))
    options = ClusterOptions(
        address=address,
        wait=_seconds(config, "--dask-wait", WAIT),
        grace=_seconds(config, "--dask-grace", GRACE),
        gpu=value(config, "gpu"),
        exact=value(config, "exact"),
        subject=None if name is None else SubjectByName(name, arguments, folder),
    )
    try:
        options.require_possible()
    except NoCluster as error:
        raise usage_error(f"--dask {error}") from error
    return options


def _seconds(config: pytest.Config, option: str, default: int) -> float:
    text = value(config, option[2:].replace("-", "_"))
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or float(text) > MOST_SECONDS:
        raise usage_error(f"{option} {text}: must be a number of seconds from 0 to {MOST_SECONDS}")
    return float(text)


@dataclass(frozen=True)
class Question:
    """A form in which an item judges its claim, and the control whose world it is, if any."""

    claim: Claim
    form: Form
    control: Control | None


def ask_for_all(claims: Sequence[tuple[Claim, list[Item]]], cluster: Cluster, obtained: Obtained) -> None:
    """Submits the first looks of all items, then starts a thread for each form of each claim.

    A thread judges its form as the item will do later. So the runs of the form's next look are submitted as soon as the
    last look is home, whatever the items before it wait for.
    """
    settings = obtained.settings
    questions = list(_questions(claims, settings))
    for stage, of_control in ((ASKED, False), (CONTROL, True)):
        asked = [question for question in questions if (question.control is not None) == of_control]
        first = [_first_look(question.form.claim, settings) for question in asked]
        cluster.ask((run for runs in first for run in runs), stage)
    for question in questions:
        threading.Thread(target=_judge, args=(question, obtained), daemon=True, name="bumplab-judge").start()


def _questions(claims: Sequence[tuple[Claim, list[Item]]], settings: Settings) -> Iterator[Question]:
    """The forms of the selected items. The verdict of a claim judges all its parts, so its parts need no thread."""
    for claim, items in claims:
        if claim.certain:
            continue
        whole = [item for item in items if item.kind == "verdict"]
        of_controls = [item for item in items if item.kind == "control" and not (whole and settings.controls)]
        parts = [item for item in items if item.kind == "part" and not whole]
        controls = {control.slug: control for control in claim.controls}
        for item in (*whole, *of_controls, *parts):
            for form in forms(claim, item, settings):
                yield Question(settings.judged_form(claim), form, controls.get(form.name))


def _first_look(claim: Claim, settings: Settings) -> list[RunSpec]:
    return [run for runs in entries.planned(claim, settings, settings.looks.first).values() for run in runs]


def _judge(question: Question, obtained: Obtained) -> None:
    """Judges a form for its runs alone. Its item meets any error again, and reports it."""
    looks = obtained.settings.looks_of(question.claim)
    if question.control is not None:
        obtained = copy(obtained)
        obtained.stage = CONTROL
    with suppress(Exception), RunsOfForm(obtained, question.form, {}) as runs:
        if question.control is None:
            decide(question.form.claim, runs, looks)
        else:
            decide_control(question.claim, question.control, runs, looks)
