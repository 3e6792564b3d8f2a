from hypothesis import given
from hypothesis import strategies as st

from core.chunks import chunks


@given(st.lists(st.integers(), max_size=50), st.integers(1, 7))
def test_chunks_hold_all_items_in_order_and_none_is_empty_or_too_long(items: list[int], size: int):
    parts = list(chunks(items, size))
    assert [item for part in parts for item in part] == items
    assert all(0 < len(part) <= size for part in parts)
    assert len(parts) == -(-len(items) // size)
