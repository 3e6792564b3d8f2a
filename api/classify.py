"""Articles in, and texts through the model: what needs more than the store, and is here where this process was given it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from api import requests, types
from api.calls import Call
from api.problems import Refused
from core.errors import ModelError

NO_MODEL = "this process has no model: set api_classify = true and start it again"
NO_BROKER = "this process does not know where articles go: set `broker` to the address of the Kafka and start it again"


class LooseArticles(requests.Asked, frozen=True, kw_only=True):
    """As asked.ArticlesIn, its items read one by one: a bad one must not shut the others out."""

    articles: Annotated[tuple[msgspec.Raw, ...], Meta(min_length=1, max_length=requests.MOST_ARTICLES)]


def classify(call: Call[requests.NoQuery, requests.TextsIn]) -> types.Classified:
    """What the model says of texts; nothing is kept."""
    if call.backends.classify is None:
        raise Refused(503, NO_MODEL)
    try:
        return call.backends.classify(call.body.texts)
    except ModelError as error:
        raise Refused(503, f"the model cannot be used: {error}", headers={"Retry-After": "5"}) from error


def push(call: Call[requests.NoQuery, LooseArticles]) -> types.PushedAll:
    """Take articles as if they had been crawled."""
    if call.backends.push is None:
        raise Refused(503, NO_BROKER)
    read = [_article(raw) for raw in call.body.articles]
    good = [(index, article) for index, article in enumerate(read) if isinstance(article, requests.ArticleIn)]
    results = {index: types.Pushed(index=index, accepted=False, reason=why) for index, why in enumerate(read) if isinstance(why, str)}
    pushed: Sequence[types.Pushed] = call.backends.push([article for _, article in good], call.now) if good else ()
    for (index, _), result in zip(good, pushed, strict=True):
        results[index] = msgspec.structs.replace(result, index=index)
    accepted = sum(result.accepted for result in results.values())
    return types.PushedAll(accepted=accepted, rejected=len(results) - accepted, results=tuple(results[index] for index in range(len(read))))


def _article(raw: msgspec.Raw) -> requests.ArticleIn | str:
    """The article, or why there is none."""
    try:
        return msgspec.json.decode(raw, type=requests.ArticleIn)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return str(error)
