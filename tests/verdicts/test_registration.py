"""What moves a claim's hashes and what does not, the ledger's form, and that later registrations pay."""

import os
import re
import subprocess
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.profiles import ALL, QUICK
from bumplab.verdicts import evidence, hashes, judging, looks, suite
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.evidence import FAMILY_ALPHA, LATER_ALPHA
from bumplab.verdicts.hashes import Fixed, Hashes, hashes_of, rule_hash
from bumplab.verdicts.looks import needed_of
from bumplab.verdicts.registration import (
    FILE,
    Registration,
    Standing,
    fixed_at,
    load,
    register,
    registrations_of,
    standing,
)
from bumplab.verdicts.synthetic import REFERENCE, synthetic

ROOT = Path(__file__).parents[2]
MODULE = """
from bumplab.verdicts.claim import Claim, Compared, Control, PaperFigure, Part, Premise, Region, falling, rising
from bumplab.verdicts.effects import area_of

LEAST = 0.25

def rise(runs):
    (run,) = runs.values()
    return run.last("probe.correct") - run["probe.correct"][0]

def untrained(profile, seed):
    return {"dense": profile.untrained(profile.run(seed))}

def lost(runs):
    return {c: run.replaced({"probe.correct": 0 * run.steps}) for c, run in runs.items()}

CLAIM = Claim(
    id="hole", statement="s", source="Fig. 1", prediction="p", curves={"probe.correct": "right"},
    runs=lambda profile, seed: {"dense": profile.run(seed)},
    parts=(
        Part("gain", "the words", "it rises", "of images", Region(low=LEAST), "because", rise,
            premise=Premise("error", "few", "pixels", Region(high=2), lambda runs: runs["dense"].last("probe.error"))),
        Part("order", "words", "it is", "rho", Region(low=0), "because", Compared(area_of("probe.correct"), rising),
            runs=lambda profile, seed: {f"d={d:g}": profile.run(seed, dx=d) for d in profile.increments}),
        Part("shown", "words", "it is", "u", Region(low=0), "because", rise, judges=False),
    ),
    controls=(Control("untrained", "w", runs=untrained, parts=("gain",)),
              Control("lost", "w", change=lost, parts=("gain",))),
)
"""
KEEP = {
    "a variable of another name": ("LEAST", "LEAST_GAIN"),
    "a function of another name": ("rise", "gain_of_right"),
    "another order of functions": ("def lost", "def unused(): ...\n\ndef lost"),
    "another reason": ('"because"', '"for another reason"'),
    "another end of the sentence": ('"it rises"', '"it gets better"'),
    "another source": ('"Fig. 1"', '"Fig. 2"'),
    "another prediction": ('prediction="p"', 'prediction="q"'),
    "another curve in the report": ('curves={"probe.correct": "right"}', "curves={}"),
    "another need in words": ('"few"', '"fewer pixels"'),
    "a figure": ("curves=", "figure=PaperFigure(None, 'n'), curves="),
    "another order of the same sums": ('.last("probe.correct") -', '.last("probe.correct") * (1 + 1e-14) -'),
}
MOVE = {
    # change: its text, and what it moves
    "a region": ("LEAST = 0.25", "LEAST = 0.26", {"design"}),
    "an effect's formula": ("- run", "- 1.01 * run", {"behaviour"}),
    "what an effect reads": ('.last("probe.correct") -', '.last("probe.correct_x") -', {"behaviour"}),
    "what is compared": ('area_of("probe.correct")', 'area_of("probe.error")', {"behaviour"}),
    "the weights": ('area_of("probe.correct"), rising', 'area_of("probe.correct"), falling', {"behaviour"}),
    "another method": ('Compared(area_of("probe.correct"), rising)', "lambda runs: 1.0", {"design", "behaviour"}),
    "the region of a premise": ("Region(high=2)", "Region(high=3)", {"design"}),
    "the number of a premise": ('last("probe.error")', 'last("probe.error_x")', {"behaviour"}),
    "no premise": ("premise=Premise(", "premise=None and Premise(", {"design", "behaviour"}),
    "a judging part": ("judges=False", "judges=True", {"design"}),
    "the unit": ('"of images"', '"%"', {"design"}),
    "the quoted sentence": ('"the words"', '"other words"', {"design"}),
    "the statement": ('statement="s"', 'statement="t"', {"design"}),
    "a control's change": ("0 * run.steps", "1e-4 * run.steps", {"behaviour"}),
    "a control's parts": ('change=lost, parts=("gain",)', "change=lost", {"design", "behaviour"}),
    "a positive control": ("change=lost,", "change=lost, positive=True,", {"design"}),
    "a control's runs": ("profile.untrained(profile.run(seed))", "profile.shuffled(profile.run(seed))", {"runs"}),
    "a run's spec": ('"dense": profile.run(seed)}', '"dense": profile.run(seed, dx=1.0)}', {"runs"}),
    "fewer conditions": ("in profile.increments}", "in profile.increments[1:]}", {"behaviour", "runs"}),
    "other seeds of a run": ('"dense": profile.run(seed)}', '"dense": profile.run(seed + 1)}', {"runs"}),
}  # fmt: skip


def claim_of(*change):
    """The claim of `MODULE` after a change of its text."""
    before, after = change or ("", "")
    assert before in MODULE
    names = {}
    exec(MODULE.replace(before, after), names)
    return names["CLAIM"]


CLAIM = claim_of()
HASHES = hashes_of(CLAIM)


def moved(claim):
    now = hashes_of(claim)
    return {name for name in ("design", "behaviour", "runs") if getattr(now, name) != getattr(HASHES, name)}


@pytest.mark.parametrize("change", KEEP)
def test_what_decides_nothing_keeps_the_hashes(change):
    assert moved(claim_of(*KEEP[change])) == set()


@pytest.mark.parametrize("change", MOVE)
def test_what_decides_moves_its_hash(change):
    *texts, what = MOVE[change]
    assert moved(claim_of(*texts)) >= what
    assert "runs" in what or "runs" not in moved(claim_of(*texts)), "the runs are the same"


def test_another_profile_moves_its_own_runs_alone(monkeypatch):
    monkeypatch.setitem(ALL, "quick", replace(QUICK, increments=(0.1, 1.0, 2.0, 4.0)))
    now = hashes_of(CLAIM)
    assert {profile for profile in HASHES.runs if now.runs[profile] != HASHES.runs[profile]} == {"quick"}
    assert (now.design, now.behaviour) == (HASHES.design, HASHES.behaviour)
    assert "smoke" not in HASHES.runs, "it decides nothing"


def test_the_rules_hash_moves_with_its_constants_and_its_verdicts(monkeypatch):
    rule = rule_hash.__wrapped__
    before = rule()
    assert rule() == before
    for module, name, other in (
        (evidence, "GUARD", 4.0),
        (evidence, "LATER_ALPHA", 0.01),
        (looks, "LAST_LOOK", 15),
        (evidence, "counted", lambda hits, misses: 2.0**hits / 4**misses),
        (judging, "_verdict", lambda **found: "SUPPORTED"),
        (judging, "_is_given_up", lambda *found: False),
        (judging, "_holds", lambda premise, runs: (True, 1.0)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, other)
            assert rule() != before, name


NAMES = ("probe.correct", "probe.none", "layer4.told", "loss", "probe.error", "image.order", "in_hole.correct")


@given(names=st.permutations(NAMES), number=st.integers(0, 99), factor=st.floats(1.0, 8.0))
def test_a_made_up_run_is_the_same_whatever_is_read_of_it_first(names, number, factor):
    """Its numbers are those of its rows. It is replaced and delayed as rows that are made at once."""
    spec = REFERENCE.run(0, hole=3.0)
    read, fresh = synthetic(spec, "dense", number), synthetic(spec, "dense", number)
    curves = {name: read[name] for name in names}
    at_once = Curves([dict(row) for row in fresh.rows], spec)
    new = {"probe.correct": read["loss"], "new": read.steps}
    for made, whole in (
        (read, at_once),
        (read.replaced(new), at_once.replaced(new)),
        (read.delayed(factor), at_once.delayed(factor)),
        (read.replaced(new).delayed(factor), at_once.replaced(new).delayed(factor)),
    ):
        for name in (*names, "step"):
            np.testing.assert_array_equal(made[name], whole[name])
            assert made.last(name) == whole.last(name)
        assert [row["step"] for row in made.rows] == spec.measured_steps()
    for name, curve in curves.items():
        np.testing.assert_array_equal(fresh[name], curve)
    np.testing.assert_allclose(sum(read[f"probe.{mode}"] for mode in ("none", "several", "single-wrong", "correct")), 1)
    assert (synthetic(spec, "other", number)["loss"] != read["loss"]).all()


def test_a_made_up_run_has_the_names_of_a_stored_one():
    run = synthetic(REFERENCE.run(0), "dense", 0)
    assert run.last("bottleneck.signal") >= 0
    for read in (
        lambda: run["bottleneck.signal"],  # measured at the last step alone
        lambda: run.last("in_hole.correct"),
        lambda: run["probe.corect"],
    ):
        with pytest.raises(KeyError):
            read()


def test_the_behaviour_sees_each_judged_part_of_our_claims():
    """A part that is undefined on all made-up runs could change without a trace."""
    for claim in suite.claims(suite.OURS):
        read = hashes._behaviour(claim)
        for part in claim.judged_parts if not claim.certain else ():
            marks = [mark for mark, *_ in read[f"{part.name}: "]]
            assert sum(mark in ("in", "out") for mark in marks) >= 20, (claim.id, part.name)
            assert {"in", "out"} <= set(marks), (claim.id, part.name)


# The ledger

VERSIONS = st.lists(st.none() | st.sampled_from("abc"), max_size=8)
"""By registration: the version of a claim, None where it is not there."""


def hashes_at(version, profile="quick"):
    return Hashes(design=version, behaviour="b", runs={profile: "r"})


def ledger_of(versions):
    return [
        Registration(number, "2026-01-01", "w", "", "rule", {} if version is None else {"hole": hashes_at(version)})
        for number, version in enumerate(versions, 1)
    ]


@given(versions=VERSIONS, now=st.sampled_from("abc"))
def test_a_claim_stands_where_it_was_fixed_last_and_as_it_was(versions, now):
    """Its seeds are those of the first entry of the last unbroken row of its present version."""
    stands = standing(ledger_of(versions), "hole", "quick", lambda: Fixed("rule", now, "b", "r"))
    if not versions or versions[-1] != now:
        assert (stands.registration, bool(stands.problem)) == (0, True)
        if versions and versions[-1] is not None:
            assert stands.changed == ("design",)
        return
    first = len(versions)
    while first > 1 and versions[first - 2] == now:
        first -= 1
    assert (stands.registration, stands.first_seed, stands.problem) == (first, 1000 * first, "")


@given(versions=VERSIONS, claims=st.integers(1, 40))
def test_each_registration_of_a_changed_claim_pays_and_all_later_ones_together_at_most_their_share(versions, claims):
    times = len(registrations_of(ledger_of(versions), "hole", "quick"))
    changes = sum(version is not None and version != before for before, version in pairwise([None, *versions]))
    assert times == changes
    needed = [needed_of(claims, time) for time in range(1, times + 1)]
    assert needed == sorted(set(needed))
    assert claims / needed_of(claims) == pytest.approx(FAMILY_ALPHA)
    assert sum(claims / evidence for evidence in needed[1:]) < LATER_ALPHA


def test_the_second_registration_asks_for_13_seeds_of_13():
    assert needed_of(9) == needed_of(9, 0) == pytest.approx(180)
    assert needed_of(9, 2) == pytest.approx(3600)
    assert evidence.fewest_seeds(needed_of(9, 2)) == 13


def test_a_claim_is_hashed_only_where_the_ledgers_end_names_it():
    for ledger in ([], ledger_of(["a", None])):
        assert standing(ledger, "hole", "quick", lambda: pytest.fail("hashed")) == Standing(0)
    assert standing(ledger_of(["a"]), "hole", "paper", lambda: pytest.fail("hashed")) == Standing(0)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A ledger of three entries: the claim, another statement, another region."""
    path = tmp_path_factory.mktemp("ledger") / "registered.toml"
    for text, day in ((("", ""), 1), (('"s"', '"t"'), 2), (("0.25", "0.5"), 3)):
        register(path, [claim_of(*text)], f'entry "{day}"', date(2026, 1, day))
    return path


def test_what_is_registered_is_read(written):
    ledger = load(written)
    assert [(entry.number, entry.date, entry.why) for entry in ledger] == [
        (day, f"2026-01-0{day}", f'entry "{day}"') for day in (1, 2, 3)
    ]
    assert ledger[0].claims == {"hole": HASHES}
    assert ledger[0].fixed("hole", "quick") == Fixed(rule_hash(), HASHES.design, HASHES.behaviour, HASHES.runs["quick"])
    assert load(written.with_name("absent.toml")) == ()


def entries_of(text):
    head, *entries = text.split("[[registration]]")
    return head, [f"[[registration]]{entry}" for entry in entries]


def test_a_ledger_that_was_edited_is_one_line(written, tmp_path):
    text = written.read_text()
    head, (first, second, third) = entries_of(text)
    swapped = [entry.replace("number = 2", "number = 1").replace("number = 1", "number = 2", 1) for entry in (first,)]
    register(tmp_path / "other.toml", [CLAIM], "another first entry")
    _, (of_another,) = entries_of((tmp_path / "other.toml").read_text())
    path = tmp_path / "registered.toml"
    for edited, words in (
        (head + of_another + second + third, "registration 2 was changed"),
        (text.replace(HASHES.design, HASHES.design[::-1]), "registration 1 was changed"),
        (text.replace(HASHES.runs["quick"], "0" * 16, 1), "registration 1 was changed"),
        (text.replace('entry \\"2\\"', "another"), "registration 2 was changed"),
        (text.replace("2026-01-03", "2026-01-04"), "registration 3 was changed"),
        (head + second + third, "registration 1 calls itself 2"),
        (head + first + third, "registration 2 calls itself 3"),
        (head + first + third.replace("number = 3", "number = 2"), "registration 2 was changed"),
        (head + second + swapped[0] + third, "registration 1 calls itself 2"),
        (text + first, "registration 4 calls itself 1"),
        (text.replace("number = 2\n", "number = 2\nseeds = 7\n"), "seeds"),
        (text + "\n[more]\n", "more"),
        (text.replace("number = 2\n", ""), "number"),
        (text.replace("number = 2", "number = '2'"), "number"),
        ("registration = 3\n", "another form"),
        (text.replace("[[", "["), "TOML"),
        ("#" * (1 + (1 << 20)), "bytes"),
    ):
        path.write_text(edited)
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - the line is compared below
            load(path)
        assert words in str(raised.value), edited[:300]
        assert "\n" not in str(raised.value)
        with pytest.raises(ValueError, match=re.escape(str(raised.value))):
            register(path, [CLAIM], "why")
        assert path.read_text() == edited, "nothing is added to it"


@given(data=st.data())
def test_no_edited_character_changes_what_the_ledger_says(written, data):
    """It is refused, or it was in a comment or between the entries."""
    text = written.read_text()
    at = data.draw(st.integers(0, len(text) - 1))
    edited = text[:at] + data.draw(st.sampled_from(["", "0", "a", "\n", '"', text[at] * 2])) + text[at + 1 :]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "registered.toml"
        path.write_text(edited)
        try:
            read, refused = load(path), ""
        except ValueError as error:
            read, refused = load(written), str(error)
        assert read == load(written)
        assert "\n" not in refused


def test_what_registers_nothing_is_refused(tmp_path):
    path = tmp_path / "registered.toml"
    for why in ("", " ", "two\nlines", "x" * 501):
        with pytest.raises(ValueError, match="must say why in one line"):
            register(path, [CLAIM], why)
    assert not path.exists()
    register(path, [CLAIM], "first")
    before = path.read_text()
    with pytest.raises(ValueError, match="nothing has changed since registration 1"):
        register(path, [claim_of(*KEEP["another reason"])], "again")
    assert path.read_text() == before
    register(path, [claim_of('"s"', '"t"')], "second")
    assert path.read_text().startswith(before), "it only grows"


# Our own ledger

OURS = ROOT / FILE


@pytest.mark.skipif(not OURS.exists(), reason="no claim is registered yet: python -m bumplab register --why TEXT")
def test_our_ledger_holds_our_claims_rule_and_profiles_as_they_are():
    """Red where one of them changed: register it anew (CONTRIBUTING.md), or take the change back."""
    last = load(OURS)[-1]
    now = {claim.id: hashes_of(claim) for claim in suite.claims(suite.OURS)}
    assert last.rule == rule_hash(), "the rule of verdicts changed"
    assert now.keys() == last.claims.keys()
    fixed = {(claim, profile) for claim, hashes in last.claims.items() for profile in hashes.runs}
    assert fixed
    differ = {where for where in fixed if last.fixed(*where) != fixed_at(where[1], rule_hash(), now[where[0]])}
    assert differ == set()


def test_profiles_are_fixed_where_they_are_named_and_stay_fixed(tmp_path):
    path = tmp_path / "registered.toml"
    with pytest.raises(ValueError, match="'smoke' is no profile that decides"):
        register(path, [CLAIM], "first", profiles=["smoke"])
    first = register(path, [CLAIM], "first", profiles=["quick"])
    assert set(first.claims[CLAIM.id].runs) == {"quick"}
    second = register(path, [CLAIM], "lite was tried on a GPU", profiles=["lite"])
    assert set(second.claims[CLAIM.id].runs) == {"lite", "quick"}
    assert registrations_of(load(path), CLAIM.id, "quick") == [1], "what has not changed pays nothing"
    assert registrations_of(load(path), CLAIM.id, "lite") == [2]


def git(*arguments):
    """What git prints in the project's folder. Variables of an outer git, such as those of a hook, are left out."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", ROOT, *arguments]
    return subprocess.run(command, capture_output=True, env=environment, check=True).stdout


def test_our_ledger_only_grew():
    """Each version of the file in git's history begins the next one. The last begins the file as it is."""
    try:
        shallow = git("rev-parse", "--is-shallow-repository").decode().strip() == "true"
        commits = git("log", "--reverse", "--format=%H", "--", str(FILE)).decode().split()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"git knows no history here: {error}")
    if shallow or not commits:
        pytest.skip("the clone is shallow" if shallow else "git's history holds no ledger yet")
    versions = []
    for commit in commits:
        try:
            versions.append(git("show", f"{commit}:{FILE}"))
        except subprocess.CalledProcessError:
            versions.append(b"")
    versions.append(OURS.read_bytes() if OURS.exists() else b"")
    for i, (before, after) in enumerate(pairwise(versions)):
        assert after.startswith(before), f"the ledger lost or changed an entry after commit {commits[i]}"
