"""Chinese text into words: the pieces that our own tokenizer, which is always here, cuts it into.

    远舟控股未能按期兑付债券 ─▶ 远 舟 控股 未能 按 期 兑 付 债券 ─▶ 远舟 控股 未能 按期 兑付 债券

Its pieces are what was used together most in a large corpus (Kudo 2018, Subword Regularization), so two letters and more that are one
piece are a word. Single letters that follow one another, and are no particles, are one word: a name that the vocabulary does not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby

from tokenizers import Tokenizer

from core.errors import ModelError
from models.registry.files import TOKENIZER, shipped

LONGEST = 6
"""Single letters that follow one another and are more than so many are no word."""
PARTICLES = frozenset(
    "的了在是和与及或等为将被把对从向于至以由也都又再就才只而并但其这那该此有无不未没很更最已曾仍还可会能要让使给比自因所们个每各某称据"
)
"""Letters that stand between words and are in few."""


def segments(runs: Sequence[str]) -> list[list[str]]:
    """Each run of Chinese letters as words of two letters and more, in order. Raises ModelError where the tokenizer is gone."""
    found = _tokenizer().encode_batch(list(runs), add_special_tokens=False)
    return [_words(_pieces(run, encoding.offsets)) for run, encoding in zip(runs, found, strict=True)]


@cache
def _tokenizer() -> Tokenizer:
    path = shipped() / TOKENIZER
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ModelError(f"{path}: no tokenizer can be read there ({error})") from error
    tokenizer.no_truncation()
    return tokenizer


def _pieces(run: str, offsets: Iterable[tuple[int, int]]) -> list[str]:
    """The pieces of `run`. A mark at its beginning may claim the first letter beside the token that has it: the longer one counts."""
    ends = dict(sorted(offsets))
    return [run[start:end] for start, end in ends.items() if end > start]


def _words(pieces: Sequence[str]) -> list[str]:
    words = []
    for kind, group in groupby(pieces, key=lambda piece: "word" if len(piece) > 1 else "particle" if piece in PARTICLES else "letter"):
        found = list(group)
        if kind == "word":
            words += found
        elif kind == "letter" and 2 <= len(found) <= LONGEST:
            words.append("".join(found))
    return words
