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
