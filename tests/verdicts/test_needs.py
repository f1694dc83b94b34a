"""What a claim needs of a subject is found by trying its parts."""

from dataclasses import dataclass, replace

import pytest

from bumplab.config import ROLES
from bumplab.profiles import QUICK
from bumplab.verdicts.claim import Design, Premise, Region
from bumplab.verdicts.needs import NEEDS, delivered, missing, needs_of, unreadable, without_missing
from tests.verdicts.planted import CLAIM
from tests.verdicts.seeds import part


@dataclass
class Subject:
    roles: dict
    tells: bool = False
    sees: bool = False


def reading(*names):
    return lambda runs: sum(runs["dense"].last(name) for name in names)


@pytest.mark.parametrize(
    ("effect", "needs"),
    [
        (reading("probe.correct"), set()),
        (reading("layer4.flatness"), {"layer4"}),
        (reading("layer4.told_x"), {"layer4", "told"}),
        (reading("layer4.seen"), {"layer4", "seen"}),
        (reading("layer4.canvas"), {"layer4", "canvas"}),
        (reading("bottleneck.signal", "layer4.order"), {"layer4", "bottleneck"}),
        (lambda runs: runs["dense"].area("layer4.told"), {"layer4", "told"}),
        (lambda runs: runs["dense"].replaced({"v": runs["dense"].steps}).last("encoder.signal"), {"encoder"}),
    ],
)
def test_the_roles_and_readings_of_a_part_and_of_its_premise_are_those_it_reads(effect, needs):
    read = part("read", Region(low=0), effect=effect, design=Design(1.0, 1.0, "s"))
    premised = replace(read, effect=reading("probe.correct"), premise=Premise("p", "n", "u", Region(low=0), effect))
    for tried in (read, premised):
        tried_claim = replace(CLAIM, parts=(tried,), plant=lambda specs, read: CLAIM.plant(specs, (), 0.1), controls=())
        assert needs_of(tried_claim)["read"] == needs


def test_a_claim_is_skipped_for_what_a_judged_part_reads_and_loses_what_a_shown_one_reads():
    assert missing(CLAIM, ["layer4"]) == ()
    assert missing(CLAIM, ["bottleneck", "told"]) == ("layer4",)
    assert [part.name for part in without_missing(CLAIM, ["layer4"]).parts] == ["flat", "pace"]
    assert without_missing(CLAIM, NEEDS) == CLAIM


def test_a_claim_without_a_planted_world_counts_as_needing_nothing():
    assert missing(replace(CLAIM, plant=None), []) == ()


def test_a_subject_delivers_its_roles_and_the_readings_that_it_says():
    roles = dict.fromkeys(ROLES, "words")
    assert delivered(Subject(roles)) == set(ROLES)
    assert delivered(Subject({}, tells=True)) == {"told"}
    assert delivered(Subject({}, sees=True)) == {"seen", "canvas"}
    assert delivered(Subject(roles, tells=True, sees=True)) == set(NEEDS)


def test_what_no_run_could_show_is_refused_before_any_training():
    """A misspelt number, a condition that the runs lack, and a premise that needs what is not measured."""
    read = part("read", Region(low=0), effect=reading("probe.correct"), design=Design(1.0, 1.0, "s"))
    of_premise = Premise("p", "n", "u", Region(low=0), reading("probe.corect"))
    for tried, words in (
        (read, ""),
        (replace(read, effect=reading("probe.corect")), "KeyError: 'probe.corect'"),
        (replace(read, effect=lambda runs: runs["sparse"].last("probe.correct")), "KeyError: 'sparse'"),
        (replace(read, premise=of_premise), "KeyError: 'probe.corect'"),
    ):
        problem = unreadable(replace(CLAIM, parts=(tried,), controls=()), QUICK)
        assert words in problem, tried
        assert (problem == "") == (words == "")
        assert "\n" not in problem
