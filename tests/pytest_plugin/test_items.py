"""The items of a claim's test: how they are named and selected, and how each ends that is judged alone."""

from xml.etree import ElementTree

import pytest

from bumplab.pytest_plugin import items, obtained
from bumplab.runs import planner
from bumplab.verdicts.claim import Claim, Control, Part, Region
from tests.pytest_plugin.planted import FIRST, HARMLESS, INSIDE, PLANTED, VALUE, WRONG

ITEMS = {
    "overlap": ["right", "verdict"],  # without chance, so its verdict is the first
    "density": ["right", "verdict"],
    "hole": ["right", "sigma-inside", "control-turned", "control-shuffled", "control-planted", "verdict"],
    "sigma": ["right", "control-harmless", "verdict"],
}


def names(claims, *, controls=True, profile="quick"):
    """The names of the claims' items, as ``hole[quick-verdict]``."""
    return [
        f"{claim}[{profile}-{item}]"
        for claim in claims
        for item in ITEMS[claim]
        if controls or not item.startswith("control-")
    ]


def selected(suite, *options):
    """The names of the items that a session would run."""
    lines = suite.run("--collect-only", "-q", *options).printed.splitlines()
    return [line.partition("::test_")[2] for line in lines if "::" in line]


def test_each_part_each_control_and_the_verdict_is_an_item(suite):
    """A part that is only shown has none."""
    assert selected(suite) == names(ITEMS, controls=False)
    assert selected(suite, "--controls") == names(ITEMS)
    assert selected(suite, "--profile", "smoke") == names(ITEMS, controls=False, profile="smoke")
    part = Part("a part", "words", "holds", "u", Region(low=0), "why", lambda runs: 1.0)
    shown = Part("shown", "words", "holds", "u", Region(low=0), "why", lambda runs: 1.0, judges=False)
    claim = Claim("hole", "s", "Fig. 0", "p", lambda profile, seed: {}, (part, shown), {})
    assert list(items.items_of(claim, controls=True)) == ["a-part", "verdict"]


def test_a_claims_id_selects_that_claim_alone(suite):
    """A part of hole is called "sigma inside", and a control of density is called "Hole left out"."""
    suite.write("density", VALUE, "{'a': profile.run(seed)}", HARMLESS.replace("harmless", "Hole left out"))
    everything = selected(suite, "--controls")
    assert {"density[quick-control-hole-left-out]", "hole[quick-sigma-inside]"} <= set(everything)
    for claim in ITEMS:
        of_claim = [name for name in everything if name.startswith(f"{claim}[")]
        assert selected(suite, "--controls", "-k", claim) == of_claim, claim
        others = [name for name in everything if name not in of_claim]
        assert selected(suite, "--controls", "-k", f"not {claim}") == others, claim
    assert selected(suite, "-k", "hole and verdict") == ["hole[quick-verdict]"]
    assert selected(suite, "-k", "inside", "--seeds", "5") == ["hole[quick-sigma-inside]"]
    (node,) = (line for line in suite.run("--collect-only", "-q", "-k", "inside").printed.splitlines() if "::" in line)
    assert node == "claims/test_hole.py::test_hole[quick-sigma-inside]", "its whole name, which can be asked for"
    assert "1 passed" in suite.run(claims=node).printed


def test_a_part_alone_is_judged_on_its_own_runs_and_makes_no_report(suite):
    """So are a control alone, and items of several claims by two workers."""
    ended = suite.run("-k", "inside")
    assert ended.status == 0
    assert len(ended.lines("no report: ")) == 1, ended.printed
    (told,) = ended.lines("hole, sigma inside: ")
    assert "in 7 of 7 seeds" in told
    assert not (suite.folder / "report.html").exists()
    assert {label for label, _ in suite.trained()} == {f"d=0.5 seed {seed}" for seed in range(FIRST, FIRST + 7)}
    before = len(suite.trained())
    ended = suite.run("-k", "shuffled", "--controls")
    assert (ended.status, len(ended.lines("no report: "))) == (0, 1)
    assert len(ended.lines("hole, shuffled: CONTRADICTED")) == 1
    assert [label for label, _ in suite.trained()[before:]] == [
        f"d=1 shuffled seed {seed}" for seed in range(FIRST, FIRST + 5)
    ]
    ended = suite.run("-k", "right", "-n", "2")
    assert "3 passed, 1 xfailed" in ended.printed
    assert len(ended.lines("no report: ")) == 1
    assert not (suite.folder / "report.html").exists()


def test_items_of_a_claim_share_its_runs(suite, monkeypatch):
    """The store keeps each run once. A process asks for a run once, however many items need it."""
    asked = []

    def obtain(needed, *rest, **train):
        asked.extend(needed)
        return planner.obtain(needed, *rest, **train)

    monkeypatch.setattr(obtained, "obtain", obtain)
    ended = suite.run("-k", "hole", "--controls")
    assert "6 passed" in ended.printed
    labels = [label for label, _ in suite.trained()]
    assert len(labels) == len(set(labels)) == 7 + 7 + 5
    assert len(asked) == len(set(asked)) == len(labels)
    assert suite.verdicts() == {"hole": "SUPPORTED"}


def test_a_part_that_contradicts_fails_beside_one_that_does_not(suite):
    suite.write("hole", f"-{VALUE}", "{'a': profile.run(seed, dx=1.0)}", "", INSIDE.replace('["a"]', '["b"]'))
    ended = suite.run("-k", "hole", "-rfp")
    failed = {line.split("[")[1].split("]")[0] for line in ended.lines("FAILED")}
    assert failed == {"quick-right", "quick-verdict"}
    (line,) = ended.lines("FAILED claims/test_hole.py::test_hole[quick-right]")
    assert "in 0 of 8 seeds it is above 0" in line, "two parts: one needs twice the evidence to contradict the claim"
    assert suite.verdicts() == {"hole": "CONTRADICTED"}


def test_an_exploratory_verdict_fails_no_test_but_a_blind_control_does(suite, tmp_path):
    """density and its accepted verdict differ: that is no move, as exploratory verdicts are compared with none."""
    suite.expected.write_text(suite.expected.read_text().replace("CONTRADICTED", "SUPPORTED"))
    ended = suite.run("--from-seed=10", "--controls", "-k", "density or sigma", "--junit-xml", tmp_path / "junit.xml")
    assert "1 failed, 1 passed, 8 deselected, 3 xfailed" in ended.printed
    (line,) = ended.lines("FAILED")
    assert "control-harmless" in line
    cases = {
        case.get("name"): case.find("skipped") for case in ElementTree.parse(tmp_path / "junit.xml").iter("testcase")
    }
    for item in ("right", "verdict"):
        assert cases[f"test_density[quick-{item}]"].get("message").startswith("EXPLORATORY CONTRADICTED: "), item
    assert {claim: entry["exploratory"] for claim, entry in suite.entries().items()} == {"density": True, "sigma": True}
    assert suite.run("-k", "overlap").status == 0
    assert suite.entries()["overlap"]["exploratory"] is False, "nothing is drawn at random"


def test_too_few_seeds_for_a_control_fail_no_test(suite):
    """The only claim with chance compares conditions. It is decided after three seeds, and a control needs five."""
    more = """Part("order", "words", "holds", "", Region(low=0), "why", Compared(
        lambda runs: [run.last("image.order") * level for level, run in enumerate(runs.values())], rising)),"""
    conditions = "{f'd={d}': profile.run(seed, dx=d) for d in (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 4.0)}"
    (suite.folder / "claims" / "test_hole.py").unlink()
    suite.write("sigma", "1.0")
    suite.write("density", "1.0", conditions, WRONG + PLANTED, more)
    path = suite.folder / "claims" / "test_density.py"
    path.write_text(path.read_text().replace('part("right", lambda runs: 1.0), ', ""))
    suite.begin_ledger()
    ended = suite.run("-k", "density", "--controls", "--seeds=2", "--max-seeds=4", "-rfx")
    assert ended.lines("FAILED claims/test_density.py::test_density[quick-control") == []
    (line,) = ended.lines("XFAIL claims/test_density.py::test_density[quick-control-turned]")
    assert "it needs 5 seeds" in line
    assert "quick-control-planted" not in "".join(ended.lines("XFAIL")), "it came out as known after three seeds"


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_claim_that_no_seeds_can_decide_is_refused_before_any_training(suite, workers):
    ended = suite.run("--seeds=3", "--max-seeds=6", *workers)
    refused = [
        line for line in ended.printed.splitlines() if "claim 'density' at the profile quick: part 'right'" in line
    ]
    assert (len(refused), ended.status) == (1, pytest.ExitCode.INTERRUPTED if workers else pytest.ExitCode.USAGE_ERROR)
    assert "--max-seeds" in refused[0]
    assert suite.trained() == []


def test_a_claim_without_chance_needs_no_seeds(suite):
    assert suite.run("--seeds=3", "--max-seeds=6", "-k", "overlap").status == 0


def test_the_profile_smoke_takes_any_number_of_seeds_and_decides_nothing(suite):
    ended = suite.run("--profile", "smoke", "--seeds=2", "--max-seeds=2", "--controls")
    assert (ended.status, " failed" in ended.printed) == (0, False), ended.printed
    assert suite.verdicts() == {
        "density": "INCONCLUSIVE", "hole": "INCONCLUSIVE", "sigma": "INCONCLUSIVE", "overlap": "SUPPORTED"
    }  # fmt: skip


def test_parts_and_controls_of_one_name_are_refused():
    part = Part("untrained", "words", "holds", "u", Region(low=0), "why", lambda runs: 1.0)
    world = Control("Untrained", "w", change=lambda runs: runs)
    for parts, controls, name in (
        ([part, part], [world], "untrained"),
        ([part], [world, world], "control-untrained"),
        ([Part("Verdict", "words", "holds", "u", Region(low=0), "why", lambda runs: 1.0)], [world], "verdict"),
    ):
        with pytest.raises(ValueError, match=f"'{name}' would name two items"):
            Claim("hole", "s", "Fig. 0", "p", lambda profile, seed: {}, tuple(parts), {}, tuple(controls))
