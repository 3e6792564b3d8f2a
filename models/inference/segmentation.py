"""Words of the tokenizer: segmentation of Chinese text, and the list of everyday words.

    远舟控股未能按期兑付债券 ─▶ 远 舟 控股 未能 按 期 兑 付 债券 ─▶ 远舟 控股 未能 按期 兑付 债券

The tokenizer's pieces are the character sequences that are most frequent in a large corpus (Kudo 2018, Subword Regularization), so a
piece of two or more characters is taken as a word. Adjacent single characters that are not particles are joined: they are usually
a name that is not in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

from tokenizers import Tokenizer

from core.errors import ModelError
from models.registry.manifest import TOKENIZER, read_verified, shipped

MAX_JOINED = 6
"""A run of more adjacent single characters than this is not a word."""
PARTICLES = frozenset(
    "的了在是和与及或等为将被把对从向于至以由也都又再就才只而并但其这那该此有无不未没很更最已曾仍还可会能要让使给比自因所们个每各某称据"
)
"""Function characters, which are rarely part of a name."""


def segment(runs: Sequence[str]) -> list[list[str]]:
    """Split runs of Chinese characters into words.

    Args:
        runs: strings of Chinese characters without other scripts.

    Returns:
        For each run its words of two or more characters, in order.

    Raises:
        ModelError: the shipped tokenizer is missing.
    """
    encodings = _tokenizer().encode_batch(list(runs), add_special_tokens=False)
    return [_words(_pieces(run, encoding.offsets)) for run, encoding in zip(runs, encodings, strict=True)]


def everyday_words(folder: Path) -> frozenset[str]:
    """The words that a model's tokenizer has as one piece: the most frequent ones of both languages.

    Args:
        folder: a version folder.

    Returns:
        Pieces of two or more characters, in lower case.

    Raises:
        ModelError: the folder is not a valid version.
    """
    _, contents = read_verified(folder)
    pieces = Tokenizer.from_buffer(contents[TOKENIZER]).get_vocab()
    return frozenset(word for piece in pieces if len(word := piece.lstrip("▁").lower()) > 1)


@cache
def _tokenizer() -> Tokenizer:
    path = shipped() / TOKENIZER
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ModelError(f"{path}: the tokenizer cannot be read ({error})") from error
    tokenizer.no_truncation()
    return tokenizer


def _pieces(run: str, offsets: Iterable[tuple[int, int]]) -> list[str]:
    """The pieces of `run`. The initial "▁" may cover the same first character as the piece after it: the longer one counts."""
    ends = dict(sorted(offsets))
    return [run[start:end] for start, end in ends.items() if end > start]


def _words(pieces: Sequence[str]) -> list[str]:
    words = []
    for kind, group in groupby(pieces, key=lambda piece: "word" if len(piece) > 1 else "particle" if piece in PARTICLES else "character"):
        members = list(group)
        if kind == "word":
            words += members
        elif kind == "character" and 2 <= len(members) <= MAX_JOINED:
            words.append("".join(members))
    return words
