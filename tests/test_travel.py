"""``python -m bumplab runs export`` and ``import``: which runs travel, and one line for what is wrong."""

import os
from dataclasses import replace

import pytest

from bumplab import __main__ as command
from bumplab import profiles, travel
from bumplab.config import SubjectSpec
from bumplab.runs.archive import Archive
from bumplab.runs.store import RunStore, run_key
from bumplab.verdicts import suite
from tests.pytest_plugin.planted import Suite
from tests.runs.archives import KEY, OTHER, OTHER_KEY, SPEC, export, publish, read_all, rewrite, store_of_two

SMOKE = profiles.get("smoke")
pytestmark = pytest.mark.usefixtures("no_sync")


@pytest.fixture
def no_sync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def store(tmp_path):
    return store_of_two(tmp_path / "store")


def run(*words):
    """The exit status of `python -m bumplab runs`; argparse's own where it refuses an option."""
    try:
        return command.main(["runs", *map(str, words)])
    except SystemExit as error:
        return error.code


def keys_in(path):
    with Archive(path) as archive:
        return set(archive.manifest.runs)


def test_what_one_command_exports_another_imports(store, tmp_path, capsys):
    path, other = tmp_path / "a.zip", RunStore(tmp_path / "other")
    assert run("--runs-dir", store.root, "export", path) == 0
    assert run("import", path, path, "--runs-dir", other.root) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{path}: 2 new, 0 already stored, 0 left out",
        f"{path}: 0 new, 2 already stored, 0 left out",
    ]
    for spec in (SPEC, OTHER):
        record, expected = other.load(spec), store.load(spec)
        assert record.rows == expected.rows
        assert record.draws == expected.draws
        assert record.evidence.keys() == expected.evidence.keys()
    with Archive(path) as archive:
        assert archive.manifest.command == "python -m bumplab runs export FILE"
        assert archive.manifest.registration == 0


def test_draws_images_and_weights_travel_as_asked(store, tmp_path):
    """The images that a report shows in full are those of the first seeds of the phases."""
    shown = SMOKE.run(10)
    assert shown in travel.shown_at_every_checkpoint([SMOKE], 0)
    assert {spec.seed for spec in travel.shown_at_every_checkpoint([SMOKE], 2)} == {2000, 2001, 2002}
    publish(store, shown)
    rows = {"spec.json", "rows.json"}
    for words, of_shown, of_others in (
        ((), {"evidence.safetensors"}, {"evidence.safetensors"}),
        (("--no-draws",), set(), set()),
        (("--no-draws", "--shown-images"), {"evidence.safetensors"}, set()),
        (("--no-draws", "--weights"), {"weights.safetensors"}, {"weights.safetensors"}),
    ):
        path = tmp_path / "a.zip"
        assert run("export", path, "--profile", "smoke", *words, "--runs-dir", store.root) == 0, words
        files = {run_key(spec): set() for spec in (SPEC, shown)}
        for name in read_all(path):
            if name != "manifest.json" and "/draws-" not in name and (key := name.split("/")[1]) in files:
                files[key].add(name.split("/")[2])
        assert files == {run_key(shown): rows | of_shown, KEY: rows | of_others}, words
        assert any("/draws-" in name for name in read_all(path)) == (words == ()), words


def test_only_runs_that_the_claims_ask_for_travel(store, tmp_path):
    """Also the runs of controls, of all stored seeds and of a user's subject, and no others."""
    users = SubjectSpec("mine.py:Gan", source="0" * 64)
    base = SMOKE.run(5, hole=SMOKE.holes[0])
    asked = [
        base, SMOKE.untrained(base), replace(base, seed=3), replace(base, subject=users),
        SMOKE.replicate(5),
    ]  # fmt: skip
    others = [replace(base, training=replace(base.training, learning_rate=1e-5)), SMOKE.run(5, dx=1.25)]
    for spec in (*asked, *others):
        publish(store, spec)
    path = tmp_path / "a.zip"
    assert run("export", path, "--profile", "smoke", "--runs-dir", store.root) == 0
    assert keys_in(path) == {run_key(spec) for spec in (*asked, SPEC, OTHER)}
    assert run("export", path, "--runs-dir", store.root, "--claims", "hole") == 0
    of_hole = keys_in(path)
    assert run_key(base) in of_hole
    assert not {run_key(spec) for spec in others} & of_hole
    assert of_hole < keys_in(path) | {run_key(spec) for spec in asked}
    assert run("export", path, "--profile", "paper", "--runs-dir", store.root) == 2


def test_the_runs_of_a_claim_are_those_of_its_parts_and_controls():
    for claim in suite.claims(suite.OURS):
        wanted = set()
        for form in (claim, *map(claim.under, claim.controls)):
            for part in form.parts:
                wanted |= set(form.runs_of(part)(SMOKE, 4).values())
        for stored in (replace(SPEC, seed=4), SMOKE.replicate(4)):
            assert travel.asked_for([stored], [SMOKE], [claim]) == wanted, (claim.id, stored.seed)


def test_runs_of_one_registration_travel(store, tmp_path, capsys):
    """Those on which the profile is judged, unless another is named. Smoke is judged on exploring seeds."""
    publish(store, later := replace(SPEC, seed=1003))
    path = tmp_path / "a.zip"
    export_all = ("export", path, "--runs-dir", store.root)
    assert run(*export_all) == 2
    assert "seeds of registration 0 and 1" in capsys.readouterr().err
    for words, keys, registration in (
        (("--profile", "smoke"), {KEY, OTHER_KEY}, 0),
        (("--profile", "smoke", "--registration", 1), {run_key(later)}, 1),
        (("--registration", 1), {run_key(later)}, 1),
    ):
        assert run(*export_all, *words) == 0, words
        assert keys_in(path) == keys, words
        assert f"of registration {registration}, " in capsys.readouterr().out, words
        with Archive(path) as archive:
            assert archive.manifest.registration == registration, words
            assert archive.manifest.command.endswith(f"--registration {registration}"), words


def test_a_profile_is_judged_on_the_latest_registration_that_still_holds(tmp_path, monkeypatch):
    project = Suite(tmp_path / "project")
    monkeypatch.setattr(suite, "OURS", project.folder / "claims")

    def judged_on(profile="quick"):
        suite._claim_in.cache_clear()
        return travel.judged_on(profile)

    assert (judged_on("quick"), judged_on("smoke")) == (1, 0)
    claim = project.folder / "claims" / "test_hole.py"
    before = claim.read_text()
    claim.write_text(before.replace('statement="s"', 'statement="another"'))
    assert judged_on() == 1, "the others stand as they were"
    project.register("the second")
    assert judged_on() == 2
    claim.write_text(before)
    assert judged_on() == 1
    project.ledger.unlink()
    assert judged_on() == 0


def test_what_is_wrong_is_one_line_and_exit_code_2(store, tmp_path, capsys):
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("x")
    good = export(tmp_path / "good.zip", store)
    for words, message in (
        (("export", tmp_path / "a.tar"), "must name a .zip file"),
        (("export", tmp_path / "absent" / "a.zip"), "a folder that exists"),
        (("export", tmp_path / "folder.zip"), "must name a file"),
        (("export", tmp_path / "a.zip", "--claims", "holes"), "--claims holes: must be of"),
        (("export", tmp_path / "a.zip", "--shown-images"), "goes with --no-draws"),
        (("export", tmp_path / "a.zip", "--profile", "paper"), "holds none of these runs finished"),
        (("export", tmp_path / "a.zip", "--runs-dir", tmp_path / "absent"), "is no folder"),
        (("export", tmp_path / "a.zip", "--runs-dir", tmp_path / "empty"), "holds none of these runs finished"),
        (("import", good, "--gpu"), "--gpu: goes with --profile"),
        (("import", good, tmp_path / "absent.zip"), "absent.zip: cannot be read"),
        (("import", good, tmp_path / "empty"), "empty: cannot be read"),
        (("import", good, tmp_path / "text"), "text: is no archive"),
    ):
        place = (
            () if "--runs-dir" in words else ("--runs-dir", store.root if words[0] == "export" else tmp_path / "new")
        )
        assert run(*words, *place) == 2, words
        error = capsys.readouterr().err
        assert message in error, words
        assert error.count("\n") == 1, words
    assert not (tmp_path / "new").exists(), "nothing is imported where one of the archives is bad"
    assert not list(tmp_path.rglob(".*zip*"))


def test_what_is_left_out_is_named_and_gives_exit_code_1(store, tmp_path, capsys):
    path = export(tmp_path / "a.zip", store, draws=False)
    rewrite(path, read_all(path) | {f"runs/{KEY}/rows.json": b"{}"})
    assert run("import", path, "--runs-dir", tmp_path / "new") == 1
    printed = capsys.readouterr()
    assert printed.out == f"{path}: 1 new, 0 already stored, 1 left out\n"
    assert f"{path}: run {KEY}: rows.json does not match its checksum; left out\n" in printed.err
