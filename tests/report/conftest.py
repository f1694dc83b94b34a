"""The planted report, written once."""

from types import SimpleNamespace

import pytest

from bumplab.report import figures
from tests.report.planted import REPORT, write


@pytest.fixture(scope="session")
def report_files(tmp_path_factory):
    """The ``page``, the folder of its ``figures``, and how many figures of learning curves were drawn for both."""
    folder, drawn, draw = tmp_path_factory.mktemp("report"), [], figures.learning_curves
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "learning_curves", lambda *args: drawn.append(args) or draw(*args))
        page = write(folder, REPORT, folder / "figures")
    return SimpleNamespace(page=page, figures=folder / "figures", drawn=len(drawn))


@pytest.fixture(scope="session")
def written(report_files):
    return report_files.page
