"""``python -m bumplab register``: what it writes, what it says of each claim, and its errors in one line."""

from bumplab import __main__ as command
from bumplab.verdicts import registration
from bumplab.verdicts import suite as suite_module
from tests.pytest_plugin.planted import FIRST, Suite


def test_register_writes_and_shows_how_each_claim_stands(tmp_path, capsys, monkeypatch):
    suite = Suite(tmp_path / "suite")
    suite.ledger.unlink()
    monkeypatch.chdir(suite.folder)
    monkeypatch.setenv("COLUMNS", "200")

    def told(*options):
        """What the command prints of each claim, by its first word. It reads the claims' files as they are now."""
        suite_module._claim_in.cache_clear()
        status = command.main(["register", *options])
        printed = capsys.readouterr()
        assert (status == 0) == (printed.err == ""), printed
        rows = [line.split() for line in printed.out.splitlines() if line.split()]
        return printed.err or {first: " ".join([first, *others]) for first, *others in rows}

    deciding = ", ".join(registration.deciding_profiles())
    shown = told("--show")
    assert shown["hole"] == f"hole {deciding} not registered exploring 60"
    assert shown["overlap"] == f"overlap {deciding} certain: needs no registration none none"
    assert "no registration" in shown["claims/registered.toml"]
    told_new = told("--why", "planted")
    assert told_new["hole"] == f"hole {deciding} new from {FIRST} 60"
    assert told_new["overlap"].endswith("new none none")
    assert [entry.why for entry in registration.load(suite.ledger)] == ["planted"]
    assert told("--show")["hole"] == f"hole {deciding} registration 1 from {FIRST} 60"
    path = suite.folder / "claims" / "test_hole.py"
    path.write_text(path.read_text().replace("Region(low=0)", "Region(low=0.01)"))
    assert told("--show")["hole"].startswith(f"hole {deciding} changed since registration 1 in design")
    assert told("--show")["hole"].endswith("exploring 60")
    changed = told("--why", "planted")
    assert changed["hole"].endswith("from 2000 1200")
    assert "sigma" not in changed
    assert "density, overlap, sigma" in changed["unchanged,"]
    before = suite.ledger.read_bytes()
    for options, words in (
        (["--why", ""], "must say why in one line"),
        (["--why", "x" * 501], "1 to 500"),
        (["--why", "planted"], "nothing has changed since registration 2"),
    ):
        error = told(*options)
        assert words in error
        assert len(error.splitlines()) == 1
    assert suite.ledger.read_bytes() == before
    suite.ledger.write_text(suite.ledger.read_text().replace("planted", "later"))
    for options in (["--show"], ["--why", "planted"]):
        assert "claims/registered.toml: registration 1 was changed" in told(*options)
    monkeypatch.chdir(tmp_path)
    assert "holds no claims" in told("--show")
