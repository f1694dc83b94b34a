"""``--power``, ``--plan`` and ``--check``: tables in place of the claims' tests. Nothing is stored."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import pytest
from rich.console import Console

from bumplab.measure.names import SamplesNotFinite
from bumplab.pytest_plugin import items, options, pace, plan, subject
from bumplab.pytest_plugin.settings import Settings
from bumplab.subjects.protocol import Diverged
from bumplab.subjects.sources import SubjectError
from bumplab.terminal import line, paper, text_on, warnings_as_usual
from bumplab.verdicts.claim import Claim
from bumplab.verdicts.suite import in_the_papers_order


class Tables:
    """Takes the place of `ClaimsSession` in a session that prints tables."""

    def __init__(self, config: pytest.Config, settings: Settings):
        self.config, self.settings = config, settings

    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Prints the tables instead of running tests. After errors of the collection pytest goes on as usual."""
        if session.testsfailed or options.only_lists(self.config):
            return None
        claims = in_the_papers_order([claim for claim, _ in items.claims_of(session.items)])
        problems = [problem for claim in claims if (problem := self.settings.problem(claim))]
        if problems and not options.value(self.config, "check"):
            raise options.usage_error(problems[0])
        try:
            with warnings_as_usual():
                if claims and options.value(self.config, "power"):
                    self._print_power(claims)
                if claims and options.value(self.config, "plan"):
                    self._print_plan(claims)
                if options.value(self.config, "check"):
                    session.testsfailed += self._print_check()
        except (SubjectError, Diverged, SamplesNotFinite) as error:
            raise options.usage_error(f"--subject: {error or 'diverged'}") from error
        return True

    def _print_power(self, claims: Sequence[Claim]) -> None:
        from bumplab.verdicts.power import table

        needed = {claim.id: self.settings.needed(claim) for claim in claims}
        text = table(claims, self.settings.looks, needed=needed)
        self._print_section("power of the claims", text)

    def _print_plan(self, claims: Sequence[Claim]) -> None:
        """The title comes before the trial, which takes up to half a minute."""
        write_line = self._print_section(
            "plan of the claims",
            "(a trial of some seconds or, with UMAP to compile, half a minute where runs are missing)",
        )
        workers = getattr(self.config.option, "numprocesses", None) or 1
        with paper(getattr(sys.stdout, "encoding", None)) as text:
            plan.show(claims, self.settings, workers, Console(file=text, width=120))
            write_line(text_on(text))

    def _print_check(self) -> int:
        """Prints what the subject promises and keeps. Returns the number of broken promises."""
        settings = self.settings
        checked = settings.subject.check(settings.device)
        write_line = self._print_section(f"contract of {settings.profile.base.subject.name}", "", seeds="")
        for text in subject.report_lines(checked):
            write_line(line(text))
        if options.value(self.config, "pace") and not checked.broken:
            write_line(line(pace.report_line(settings.profile, settings.subject, settings.device)))
        return len(checked.broken)

    def _print_section(self, name: str, text: str, seeds: str | None = None) -> Callable[[str], None]:
        """Prints a title and a text. Returns the function that prints further lines."""
        seeds = self.settings.seeds if seeds is None else seeds
        title = line(", ".join(filter(None, (name, seeds))))
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None:  # -p no:terminal
            print(title)
            print(text)
            return print
        terminal.section(title)
        terminal.write_line(text)
        write_line: Callable[[str], None] = terminal.write_line
        return write_line
