"""Input of the network: composing texts, token ids, and batches of similar length under a token budget.

<s> text </s>                      a document
<s> text </s> </s> company </s>    sentiment towards a company
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor


def pack(lengths: Sequence[int], budget_tokens: int) -> list[list[int]]:
    """Group texts of similar length into batches, longest first.

    Args:
        lengths: tokens of each text.
        budget_tokens: limit for (longest text of a batch) x (texts in the batch), that is, with padding.

    Returns:
        Lists of indices into `lengths`, each index in exactly one of them. A text longer than the budget has its own batch.
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
    """The width to which a text of `length` tokens is padded: the next multiple of WIDTH_STEP."""
    return max(1, -(-length // WIDTH_STEP)) * WIDTH_STEP


def rows_of(rows: int, width: int, budget_tokens: int) -> int:
    """The number of rows to which a batch is padded: the next power of two, at most what the budget allows at this width.

    Together with `width_of` it keeps the number of shapes under a hundred. CPU matrix kernels are compiled per shape, which takes
    longer than running them (7 times for 28 texts of 75 tokens).
    """
    full = max(1, budget_tokens // width)
    return max(rows, min(full, 1 << (rows - 1).bit_length())) if rows else 0


PAD_ID = 1
TARGET_TOKENS = 16
CHARACTERS_PER_TOKEN = 8  # above the average length of a piece, so the rest of a long text is never tokenised


def mask_id(tokenizer: Tokenizer) -> int:
    """The token id of <mask>. Raises ModelError when the tokenizer has none."""
    found = tokenizer.token_to_id("<mask>")
    if found is None:
        message = "the tokenizer has no <mask> token: it was not made by Tocsin"
        raise ModelError(message)
    return found


def compose(title: str, text: str) -> str:
    """Join title and text. The title is not repeated where the text begins with it, plain or in 【】, as agency copy often does."""
    title, text = title.strip(), text.strip()
    if not title:
        return text
    for repeated in (f"【{title}】", title):
        if text.startswith(repeated):
            text = text[len(repeated) :].lstrip("。.:： -—\n")
            break
    return f"{title} {text}" if text else title


def around(text: str, company: str, characters: int) -> str:
    """The text from shortly before the first mention of `company`, if that mention is beyond the first `characters`."""
    at = text.find(company)
    return text if at + len(company) <= characters else text[at - characters // 3 :]


def encode_pairs(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], max_tokens: int) -> list[list[int]]:
    """Tokenise pairs of a text and a company or "".

    Args:
        tokenizer: the model's tokenizer.
        pairs: N pairs.
        max_tokens: limit of the text part, special tokens included. A company is cut to TARGET_TOKENS.

    Returns:
        N lists of token ids.
    """
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
    """Token ids (B, L) as int64, padded with PAD_ID: to `shape`, which must be large enough, or to the longest row (at least 1)."""
    import numpy as np
    import torch

    wanted = shape or (len(rows), max(1, *map(len, rows)) if rows else 1)
    out = np.full(wanted, PAD_ID, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return torch.from_numpy(out)
