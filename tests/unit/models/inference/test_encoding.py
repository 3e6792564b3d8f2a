"""Input of the network: composed texts, and batches under a token budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.inference.encoding import around, compose, pack, rows_of, width_of


@given(st.lists(st.integers(0, 120), max_size=60), st.integers(1, 400))
def test_batches_contain_every_text_once_within_the_budget(lengths, budget):
    batches = pack(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= budget


@given(st.lists(st.integers(0, 96), min_size=1, max_size=400))
def test_padded_batches_have_few_shapes_within_the_budget(lengths):
    widths = [width_of(length) for length in lengths]
    for batch in pack(widths, 2048):
        width = max(widths[i] for i in batch)
        rows = rows_of(len(batch), width, 2048)
        assert len(batch) <= rows
        assert rows * width <= 2048
        assert max(lengths[i] for i in batch) <= width
        assert rows == 2048 // width or rows & (rows - 1) == 0


def test_no_texts_make_no_batches():
    assert pack([], 2048) == []


@pytest.mark.parametrize(
    ("title", "text", "wanted"),
    [
        ("Bank fails", "Depositors wait.", "Bank fails Depositors wait."),
        ("", "Depositors wait.", "Depositors wait."),
        ("Bank fails", "", "Bank fails"),
        (" ", "\n", ""),
        ("华信股份违约", "【华信股份违约】公司公告称", "华信股份违约 公司公告称"),
        ("华信股份违约", "华信股份违约。公司公告称", "华信股份违约 公司公告称"),
        ("华信股份违约", "华信股份违约", "华信股份违约"),
    ],
)
def test_a_title_is_not_repeated(title, text, wanted):
    assert compose(title, text) == wanted


def test_a_late_mention_moves_the_start_of_the_text():
    text = "Markets were calm. " * 40 + "Velmont defaulted on its bonds."
    assert around(text, "Velmont", 320).endswith("Velmont defaulted on its bonds.")
    assert len(around(text, "Velmont", 320)) < 200
    assert around("Velmont defaulted.", "Velmont", 320) == "Velmont defaulted."
    assert around(text, "Nobody", 320) == text
