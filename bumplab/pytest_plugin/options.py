"""The command line's options, checked: what is wrong is one line, before anything is collected or trained."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from bumplab import profiles
from bumplab.profiles import Profile
from bumplab.pytest_plugin import drift
from bumplab.pytest_plugin.drift import Expected
from bumplab.runs.store import RunStore
from bumplab.verdicts import variation
from bumplab.verdicts.claim import Claim
from bumplab.verdicts.error_rate import CLAIMS, FIRST_LOOK, LAST_LOOK, MAX_SEEDS, MIN_SEEDS, Looks
from bumplab.verdicts.variation import Variation


@dataclass(frozen=True)
class Settings:
    """The options of one session."""

    profile: Profile
    looks: Looks
    controls: bool
    variations: tuple[Variation, ...]
    drift: bool
    strict: bool
    expected: Mapping[tuple[str, str], Expected]
    """The accepted verdicts, by profile and claim."""
    store: RunStore
    device: str
    report: Path
    report_named: bool
    figures: Path | None

    @property
    def seeds(self) -> str:
        """Such as ``3 to 8 seeds``."""
        looks = self.looks
        return f"{looks.first} seeds" if looks.first == looks.last else f"{looks.first} to {looks.last} seeds"

    def accepted(self, claim: Claim) -> Expected | None:
        """The verdict accepted for the claim at this profile, if any."""
        return self.expected.get((self.profile.name, claim.id))

    def report_of(self, judged: Collection[str]) -> Path:
        """Where the report on these claims goes: of a few, unless a file was named, not where that of all is."""
        if self.report_named or set(CLAIMS) <= set(judged):
            return self.report
        return self.report.with_stem(f"{self.report.stem}-subset")

    def forms(self, claim: Claim) -> list[Claim]:
        """The claim and, as far as asked for, its controls and its variations."""
        controls = [claim.under(control) for control in claim.controls] if self.controls else []
        return [claim, *controls, *(v.of(claim) for v in self.variations)]


def add(parser: pytest.Parser) -> None:
    group = parser.getgroup("claims", "bumplab: the paper's claims")
    group.addoption(
        "--profile", default="quick", metavar="NAME", help=f"scale of the runs: {', '.join(profiles.ALL)} (quick)"
    )
    group.addoption(
        "--seeds", metavar="N", help=f"training runs of each condition when a claim is first judged ({FIRST_LOOK})"
    )
    group.addoption(
        "--max-seeds", metavar="M", help=f"the most there may be, one more at a time while it is open ({LAST_LOOK})"
    )
    group.addoption("--controls", action="store_true", help="also try each claim in worlds where its verdict is known")
    group.addoption(
        "--vary",
        action="append",
        default=[],
        metavar="CHOICE=VALUE",
        help="also try each claim with one open choice changed, such as prediction=epsilon; may be repeated",
    )
    group.addoption("--drift", action="store_true", help=f"pass where the verdict is the one accepted in {drift.FILE}")
    group.addoption("--power", action="store_true", help="print what the claims could find and train nothing")
    group.addoption("--plan", action="store_true", help="print what would be trained and its cost; train nothing")
    group.addoption("--gpu", action="store_true", help="train on the GPU; each worker takes the next one")
    group.addoption(
        "--exact", action="store_true", help="with --gpu: runs repeat bit for bit, slower; kept in DIR/exact"
    )
    group.addoption("--runs-dir", default=".runs", metavar="DIR", help="where runs are stored and found (.runs)")
    group.addoption(
        "--report",
        default=None,
        metavar="FILE",
        help="report to write (reports/claims-PROFILE.html; of some claims alone claims-PROFILE-subset.html)",
    )
    group.addoption("--figures", default=None, metavar="DIR", help="also write each figure there, as SVG and PNG")
    group.addoption("--strict-claims", action="store_true", help="an INCONCLUSIVE claim fails instead of xfailing")


def check(config: pytest.Config) -> Settings:
    """Raises `pytest.UsageError`: what was given, what is allowed."""
    option = config.option
    try:
        profile = profiles.get(option.profile)
    except ValueError as error:
        raise pytest.UsageError(f"--profile: {error}") from error
    try:
        variations = tuple(variation.parse(text, profile.base) for text in dict.fromkeys(option.vary))
    except ValueError as error:
        raise pytest.UsageError(f"--vary: {error}") from error
    try:
        expected = drift.load(config.rootpath / drift.FILE)
    except ValueError as error:
        raise pytest.UsageError(f"{drift.FILE}: {error}") from error
    for name, given in (("--runs-dir", option.runs_dir), ("--report", option.report), ("--figures", option.figures)):
        if given == "":
            raise pytest.UsageError(f"{name}: must name a {'file' if name == '--report' else 'folder'}")
    report = config.invocation_params.dir / (option.report or config.rootpath / f"reports/claims-{profile.name}.html")
    if report.is_dir() or report.suffix != ".html":
        raise pytest.UsageError(f"--report {option.report}: must name an .html file")
    return Settings(
        profile=profile,
        looks=_looks(option.seeds, option.max_seeds),
        controls=option.controls or option.drift,  # accepted verdicts are those their controls have checked
        variations=variations,
        drift=option.drift,
        strict=option.strict_claims,
        expected=expected,
        store=RunStore(config.rootpath / option.runs_dir / ("exact" if option.exact else "")),
        device=_device(option.gpu, option.exact),
        report=report,
        report_named=option.report is not None,
        figures=config.invocation_params.dir / option.figures if option.figures else None,
    )


def _looks(seeds: str | None, max_seeds: str | None) -> Looks:
    """What is not given follows what is: 3 to 8, `--seeds 10` is 10 to 10, `--max-seeds 2` is 2 to 2."""
    first, last = _number("--seeds", seeds), _number("--max-seeds", max_seeds)
    if first is not None and last is not None and last < first:
        raise pytest.UsageError(f"--max-seeds {last}: must be at least --seeds, which is {first}")
    if last is None:
        last = max(LAST_LOOK, first or 0)
    return Looks(min(FIRST_LOOK, last) if first is None else first, last)


def _number(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    allowed = {str(seeds): seeds for seeds in range(MIN_SEEDS, MAX_SEEDS + 1)}
    if text not in allowed:
        raise pytest.UsageError(f"{name} {text}: must be a whole number from {MIN_SEEDS} to {MAX_SEEDS}")
    return allowed[text]


def _device(gpu: bool, exact: bool) -> str:
    if exact and not gpu:
        raise pytest.UsageError("--exact: goes with --gpu; on a CPU runs repeat bit for bit anyway")
    if not gpu:
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise pytest.UsageError("--gpu: torch finds no GPU here; leave --gpu away to train on the CPU")
    if exact:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked for by torch, before the GPU is first used
        torch.use_deterministic_algorithms(True)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return f"cuda:{int(worker) % count}"
