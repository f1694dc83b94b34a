"""Each test imports users' files as if it were a process of its own."""

import pytest


@pytest.fixture(autouse=True)
def own_imports(users_imports):
    return users_imports
