"""Offsets and their children compared with lists of lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geojepa_cli.store import csr

LISTS = st.lists(st.integers(0, 4), max_size=12)


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64, np.int64])
@given(counts=LISTS, data=st.data())
def test_children_of_any_rows_are_those_of_a_list_of_lists(dtype: type, counts: list[int], data: st.DataObject) -> None:
    numbers = iter(range(sum(counts)))
    lists = [[next(numbers) for _ in range(n)] for n in counts]
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=9)) if lists else []
    ends = csr.offsets(np.array(counts, np.int64))
    stored = ends.astype(dtype)
    assert ends.tolist() == [sum(counts[:i]) for i in range(len(counts) + 1)]
    chosen = np.array(rows, np.int64)
    assert csr.children(stored, chosen).tolist() == [child for row in rows for child in lists[row]]
    assert csr.parents(stored).tolist() == [row for row, found in enumerate(lists) for _ in found]
    first, last = csr.spans(stored, chosen)
    assert (last - first).tolist() == [counts[row] for row in rows]
    assert csr.ranges(first, last).dtype == np.int64
