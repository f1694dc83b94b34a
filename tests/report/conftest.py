"""The planted report, written once."""

import pytest

from tests.report.planted import REPORT, write


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    return write(tmp_path_factory.mktemp("report"), REPORT)
