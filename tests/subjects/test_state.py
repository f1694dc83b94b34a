"""A state comes back from its bytes as it was. What cannot be stored is refused in one line."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bumplab.subjects.state import STORED_DTYPES, StateError, from_bytes, to_bytes
from tests.errors import error_of

NAMES = st.text(st.characters(categories=["L", "N", "P"]), min_size=1)
ARRAYS = st.sampled_from(STORED_DTYPES).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, min_side=0))
)
MEMORY = {
    "as it is": lambda array: array,
    "transposed": lambda array: array.T,
    "in Fortran's order": lambda array: np.asarray(array, order="F"),
    "reversed": lambda array: array[::-1] if array.ndim else array,
    "of the other byte order": lambda array: array.astype(array.dtype.newbyteorder()),
    "a scalar": lambda array: array[()],
}


@given(st.dictionaries(NAMES, st.tuples(ARRAYS, st.sampled_from(sorted(MEMORY)))))
def test_a_state_comes_back_as_it_was(state):
    state = {name: MEMORY[memory](array) for name, (array, memory) in state.items()}
    again = from_bytes(to_bytes(state))
    assert again.keys() == state.keys()
    for name, array in state.items():
        assert again[name].shape == array.shape
        assert again[name].dtype == array.dtype.newbyteorder("=")
        assert np.array_equal(again[name], array, equal_nan=array.dtype.kind == "f")
        again[name][...] = 0  # a learner may go on in it


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ([np.ones(2)], "is a list"),
        (None, "is a NoneType"),
        ({1: np.ones(2)}, "name 1"),
        ({"a\nb": np.ones(2)}, "printable"),
        ({"__metadata__": np.ones(2)}, "__metadata__"),
        ({"\ud800": np.ones(2)}, "printable"),
        ({"w": 1.0}, "'w' is a float"),
        ({"w": [1.0]}, "'w' is a list"),
        ({"w": torch.ones(2)}, "'w' is a Tensor"),
        ({"w": np.array([None])}, "'w' has dtype object"),
        ({"w": np.array(["a"])}, "'w' has dtype str"),
        ({"w": np.ones(2, complex)}, "'w' has dtype complex128"),
        ({"w": np.zeros(2, "M8[D]")}, "'w' has dtype datetime64"),
    ],
)
def test_what_cannot_be_stored_is_one_line(state, words):
    with pytest.raises(StateError) as caught:
        to_bytes(state)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=64))
def test_other_bytes_are_refused(content):
    assert "cannot be read" in error_of(from_bytes, content)


def test_a_truncated_state_is_refused():
    content = to_bytes({"w": np.ones(100), "b": np.ones(3, np.float16)})
    for length in range(len(content)):
        assert "cannot be read" in error_of(from_bytes, content[:length]), length
