"""One thread for torch."""

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """With two threads on two busy cores, a forward pass of 10 ms took 8 s."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
