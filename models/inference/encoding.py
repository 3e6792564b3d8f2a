"""In which batches is a pile of texts run? Like lengths together, under a budget of tokens, padding counted.

What does the network read? Token ids of a text, or of a text and the company that the sentiment is towards.

<s> text </s>                      a document
<s> text </s> </s> company </s>    sentiment towards a company
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from core.errors import ModelError


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


PAD_ID = 1
TARGET_TOKENS = 16
CHARACTERS_PER_TOKEN = 8  # more than any of our pieces needs on average; the rest of a long text is never tokenised


def mask_id(tokenizer: Tokenizer) -> int:
    """The id of <mask>. Raises ModelError when the tokenizer has none."""
    found = tokenizer.token_to_id("<mask>")
    if found is None:
        message = "the tokenizer has no <mask>: it is not one of ours"
        raise ModelError(message)
    return found


def compose(title: str, text: str) -> str:
    """Title and text as one, the title once: wire copy often begins with its own title, in 【】 or bare."""
    title, text = title.strip(), text.strip()
    if not title:
        return text
    for repeated in (f"【{title}】", title):
        if text.startswith(repeated):
            text = text[len(repeated) :].lstrip("。.:： -—\n")
            break
    return f"{title} {text}" if text else title


def around(text: str, company: str, characters: int) -> str:
    """`text` from shortly before the first mention of `company`, when that mention is beyond the first `characters`."""
    at = text.find(company)
    return text if at + len(company) <= characters else text[at - characters // 3 :]


def encode_pairs(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], max_tokens: int) -> list[list[int]]:
    """Token ids of (text, company or ""): the text cut to `max_tokens` with its marks, the company to TARGET_TOKENS."""
    limit = max_tokens * CHARACTERS_PER_TOKEN
    texts = [encoding.ids for encoding in tokenizer.encode_batch_fast([text[:limit] for text, _ in pairs])]
    names = iter(tokenizer.encode_batch_fast([name for _, name in pairs if name]))
    ids = []
    for text, (_, name) in zip(texts, pairs, strict=True):
        cut = text if len(text) <= max_tokens else [*text[: max_tokens - 1], text[-1]]
        if name:
            named = next(names).ids[1:-1][:TARGET_TOKENS]
            cut = [*cut, cut[-1], *named, cut[-1]]
        ids.append(cut)
    return ids


def pad(rows: Sequence[Sequence[int]], shape: tuple[int, int] | None = None) -> Tensor:
    """Token ids of rows padded to `shape`, at least (B, L); without it to (B, the longest), L >= 1."""
    wanted = shape or (len(rows), max(1, *map(len, rows)) if rows else 1)
    out = np.full(wanted, PAD_ID, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return torch.from_numpy(out)
