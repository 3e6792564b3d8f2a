"""In which batches is a pile of texts run? Like lengths together, under a budget of tokens, padding counted."""

from __future__ import annotations

from collections.abc import Sequence


def pack(lengths: Sequence[int], budget_tokens: int) -> list[list[int]]:
    """Batches of indices into `lengths`, longest first, each with (its longest) x (its size) <= budget_tokens.

    Every index is in exactly one batch; one longer than the budget is alone in its own. Empty for no texts.
    """
    batches: list[list[int]] = []
    width = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches and width * (len(batches[-1]) + 1) <= budget_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
            width = max(1, lengths[index])
    return batches


WIDTH_STEP = 8


def width_of(length: int) -> int:
    """The width that a text of `length` tokens is padded to: a multiple of WIDTH_STEP."""
    return max(1, -(-length // WIDTH_STEP)) * WIDTH_STEP


def rows_of(rows: int, width: int, budget_tokens: int) -> int:
    """How many rows a batch of `rows` texts is padded to: all that the budget allows, or the next power of two if that is less.

    With width_of it keeps the number of different shapes under a hundred: the CPU's matrix kernels are compiled per shape,
    which costs more than running them (28 texts of 75 tokens: 7 times).
    """
    full = max(1, budget_tokens // width)
    return max(rows, min(full, 1 << (rows - 1).bit_length())) if rows else 0
