"""The planted project: one for each test, and one that was tried once for all tests of this folder."""

import pytest

from bumplab.report import page
from bumplab.runs import space
from tests.pytest_plugin.planted import Suite


@pytest.fixture
def suite(tmp_path):
    """Four planted claims in a project of their own, none of them tried yet."""
    return Suite(tmp_path / "suite")


@pytest.fixture(scope="session")
def tried(tmp_path_factory):
    """The planted claims after a session with controls and a variation by two workers; what pytest printed.

    The session is reached from another folder, through a link and with another configuration. While it writes its
    report, another process tries to remove all runs; the file ``refused`` holds the answer.
    """
    folder = tmp_path_factory.mktemp("planted")
    suite = Suite(folder / "suite")
    suite.path = suite.folder / "reports" / "claims-quick.json"
    (folder / "link").symlink_to(suite.folder)
    (folder / "other.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    (folder / "elsewhere").mkdir()
    write = page.write

    def prune_and_write(report, store, *rest):
        try:
            space.prune(store, keep=0)
        except ValueError as error:
            (folder / "refused").write_text(str(error))
        write(report, store, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "write", prune_and_write)
        ended = suite.run(
            "-c", folder / "other.ini", "--junit-xml", folder / "junit.xml", "-n", "2",
            "--controls", "--vary", "prediction=epsilon",
            claims=folder / "link" / "claims", report=None, folder=folder / "elsewhere",
        )  # fmt: skip
    return suite, ended
