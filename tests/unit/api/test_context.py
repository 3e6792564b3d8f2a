"""Pagination cursors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.context import decode_cursor, encode_cursor
from api.problems import ApiProblem
from api.requests import ArticlesQuery
from tests.helpers.strategies import texts


@given(st.integers(0, 2**32 - 1), texts(64), texts(40))
def test_a_cursor_decodes_to_the_position_that_was_encoded(at: int, article_id: str, source: str):
    query = ArticlesQuery(source=source)
    cursor = encode_cursor(query, "/articles", (at, article_id))
    assert decode_cursor(cursor, query, "/articles", tuple[int, str]) == (at, article_id)
    for wrong in (cursor[:-2], cursor + "A", cursor.swapcase(), "🔔" + cursor):
        if wrong != cursor:
            with pytest.raises(ApiProblem) as rejected:
                decode_cursor(wrong, ArticlesQuery(source=source + "x"), "/articles", tuple[int, str])
            assert rejected.value.errors[0].field == "cursor"
