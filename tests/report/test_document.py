"""A report's JSON: what is written can be read, earlier forms are refused, and its schema says what it holds."""

import json
import math

import jsonschema
import msgspec
import pytest
from msgspec.structs import replace

from bumplab import __main__ as command
from bumplab.report import document
from bumplab.report.document import PartEntry
from bumplab.runs.store import run_key
from bumplab.verdicts.claim import Claim, Part, Premise, Region
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import decide
from bumplab.verdicts.looks import Looks
from bumplab.verdicts.suite import in_the_papers_order
from tests.report.planted import ERROR, OWN, REPORT, SKIPPED, SPECS, SUBJECT, claim_of, part_of, report_of


def test_a_report_reads_back_as_it_was_written(written):
    report = document.decode(written.with_suffix(".json").read_bytes())
    assert report.schema == document.SCHEMA
    assert (report.claims, report.saved, report.looks) == (REPORT.claims, REPORT.saved, REPORT.looks)
    assert set(report.runs) == set(SPECS), "runs of controls and variations too"
    trained = [run for run in report.runs.values() if run.spec["training"]["steps"] > 1]
    assert [len(run.rows) for run in trained] == [len(OWN[0].measured_steps())] * (len(SPECS) - 1)
    assert "bottleneck.signal" in report.runs[run_key(OWN[0])].rows[-1]


def test_the_command_prints_a_schema_that_the_json_of_a_report_follows(written, capsys):
    assert command.main(["report", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    checker = jsonschema.Draft202012Validator(schema)
    checker.check_schema(schema)
    body = json.loads(written.with_suffix(".json").read_text())
    assert [f"{error.json_path}: {error.message}" for error in checker.iter_errors(body)] == []
    assert set(body) == set(schema["$defs"]["Report"]["properties"])
    for name, kind in schema["$defs"].items():
        silent = [field for field, form in kind["properties"].items() if "description" not in form]
        assert silent == ([] if name != "Looks" else ["first", "last", "needed", "first_seed"]), name
    del body["claims"][0]["parts"][0]["unit"]
    assert not checker.is_valid(body), "the schema lets anything through"


def test_a_report_of_another_schema_is_refused_in_one_line():
    body = msgspec.to_builtins(REPORT)
    for schema, advice in {2: "pytest claims", 6: "pytest claims", 8: "the version that wrote it"}.items():
        with pytest.raises(document.OtherSchema, match=f"schema {schema}: this version reads 7, .*{advice}"):
            document.decode(json.dumps({**body, "schema": schema}).encode())
    with pytest.raises(ValueError, match="schema"):
        document.decode(json.dumps({**body, "schema": 10**40}).encode())


PREMISE = Premise("visits", "seen often", "times", Region(0.0), lambda runs: 1.0)


def test_a_claims_verdict_becomes_its_entry_with_every_number():
    """The entry is made of `decide`'s verdict by the names of its fields: one that is renamed in either is lost."""
    part = Part("a", "r", "it rises", "u", Region(0.0), "w", lambda runs: runs["d"].last("n"), premise=PREMISE)
    claim = Claim("c", "s", "Section 1", "p", lambda profile, seed: {}, (part,), {})
    runs = [{"d": Curves([{"step": 0.0, "n": number}], OWN[0])} for number in (-1.0, 0.0, 1.0)]
    verdict = decide(claim, lambda part, seeds: runs[:seeds], Looks(3, 3, 180.0))
    (entry,) = msgspec.convert(verdict.parts, list[PartEntry], from_attributes=True)
    assert json.loads(msgspec.json.encode(entry)) == json.loads(msgspec.json.encode(verdict.parts[0]))
    assert entry.hits == 1


def test_a_subject_and_skipped_claims_read_back():
    report = report_of(SKIPPED, ERROR, subject=SUBJECT)
    again = document.decode(document.encode(report))
    assert (again.subject, again.claims) == (SUBJECT, report.claims)
    assert not any(claim.judged for claim in again.claims)
    for wrong in ({"source": "abc"}, {"resumes": "perhaps"}, {"roles": {"layer4": 3}}):
        with pytest.raises(msgspec.ValidationError, match="subject"):
            document.encode(replace(report, subject=replace(SUBJECT, **wrong)))


def test_what_no_reader_could_take_is_not_written():
    for wrong in ({"needed": math.nan}, {"needed": -1.0}, {"reason": "\ud800"}, {"seeds": -1}, {"verdict": "MAYBE"}):
        with pytest.raises(ValueError):  # noqa: PT011
            document.encode(report_of(claim_of("density", **wrong)))
    open_part = part_of(estimate=math.nan, low=-math.inf)
    (claim,) = document.decode(document.encode(report_of(claim_of("density", parts=[open_part])))).claims
    assert (claim.parts[0].estimate, claim.parts[0].low) == (None, None)
    with pytest.raises(msgspec.ValidationError, match="key"):
        document.encode(report_of(claim_of("d", conditions={"a": [document.RunReference("../x", {})]})))


def test_claims_are_in_the_papers_order():
    sources = {
        "seeds": "Appendix C.1", "overlap": "Appendix B.5, Fig. 7b", "representation": "Section 3, Fig. 4",
        "density": "Section 3, Fig. 4", "phases": "Section 3, Fig. 3", "coupling": "Section 3, Fig. 5",
    }  # fmt: skip
    entries = [replace(ERROR, claim=claim, source=source) for claim, source in sources.items()]
    order = [entry.claim for entry in in_the_papers_order(entries)]
    assert order == ["phases", "density", "representation", "coupling", "overlap", "seeds"]
