"""Which words are everyday ones? Those that the tokenizer of a model has as one piece: the most used of both languages."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from models.registry.files import TOKENIZER
from models.registry.manifest import read_verified


def everyday_words(folder: Path) -> frozenset[str]:
    """The pieces of a version's tokenizer that are two letters or longer, in lower case. Raises ModelError."""
    _, contents = read_verified(folder)
    pieces = Tokenizer.from_buffer(contents[TOKENIZER]).get_vocab()
    return frozenset(word for piece in pieces if len(word := piece.lstrip("▁").lower()) > 1)
