"""Handlers of POST and DELETE. Each change of an alert, a silence, a label or a token is audited under the name of the token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from actions.audited_actions import API, AuditedActions
from api import requests, types
from api.context import RequestContext
from api.problems import ApiProblem, invalid_field
from api.reads import alert_or_404, with_lifecycles
from core.errors import BadRecord, ModelError, NotFound
from domain.alert_lifecycle import silence
from domain.tokens import ACTOR_PREFIX, minted_token
from storage.store import Label
from storage.tables.labels import check

NO_MODEL = "this process has no model: set api_classify = true and restart it"
NO_BROKER = "this process does not know where to send articles: set `broker` to the address of Kafka and restart it"


def add_alert_event(context: RequestContext[requests.NoQuery, requests.EventIn]) -> types.AlertOut:
    """Act on an alert. Returns the alert after the action."""
    alert = alert_or_404(context.store, context.path_parameters["id"])
    _actions(context).act_on([alert.id], context.body.kind, context.body.text)
    (found,) = with_lifecycles(context.store, context.backends, [alert], context.now, None)
    return found


def add_silence(context: RequestContext[requests.NoQuery, requests.SilenceIn]) -> types.SilenceOut:
    """Add a silence."""
    body = context.body
    new = silence(
        series=body.series,
        rules=body.rules,
        least=body.least,
        most=body.most,
        author=context.token.name,
        comment=body.comment,
        starts_at=body.starts_at or context.now,
        ends_at=body.ends_at,
        now=context.now,
    )
    return types.silence_out(_actions(context).add_silence(new), context.now)


def expire_silence(context: RequestContext[requests.NoQuery, None]) -> types.SilenceOut:
    """End a silence now. One that has expired stays as it is."""
    silence_id = context.path_parameters["id"]
    found = [each for each in context.store.silences.find(silence_id) if each.id == silence_id]
    if not found:
        raise NotFound(f"there is no silence {silence_id!r}")
    if found[0].state(context.now) != "ended":
        _actions(context).end_silence(silence_id)
        found = [each for each in context.store.silences.find(silence_id) if each.id == silence_id]
    return types.silence_out(found[0], context.now)


def add_labels(context: RequestContext[requests.NoQuery, requests.LabelsIn]) -> types.LabelsStored:
    """Store labels of articles, all or none."""
    articles = context.store.articles.keys(sorted({each.id for each in context.body.labels}))
    labels = []
    for number, each in enumerate(context.body.labels):
        article = articles.get(each.id)
        if article is None:
            raise invalid_field(f"labels[{number}].id", f"there is no article {each.id!r}")
        labels.append(
            Label(
                id=each.id,
                task=each.task,
                labels=each.labels,
                company=each.company,
                author=context.token.name,
                model=article.model,
                labelled_at=context.now,
            )
        )
        try:
            check(labels[-1])
        except BadRecord as error:
            raise invalid_field(f"labels[{number}]", error.reason) from error
    _actions(context).label(labels)
    return types.LabelsStored(stored=len(labels))


def push_articles(context: RequestContext[requests.NoQuery, requests.UncheckedArticlesIn]) -> types.PushResults:
    """Accept articles and process them like crawled ones."""
    if context.backends.push is None:
        raise ApiProblem(503, NO_BROKER)
    items = [_parse_article(raw) for raw in context.body.articles]
    valid = [(index, article) for index, article in enumerate(items) if isinstance(article, requests.ArticleIn)]
    results = {
        index: types.PushResult(index=index, accepted=False, reason=reason) for index, reason in enumerate(items) if isinstance(reason, str)
    }
    pushed: Sequence[types.PushResult] = (
        context.backends.push([article for _, article in valid], context.now, context.token.name) if valid else ()
    )
    for (index, _), result in zip(valid, pushed, strict=True):
        results[index] = msgspec.structs.replace(result, index=index)
    accepted = sum(result.accepted for result in results.values())
    return types.PushResults(
        accepted=accepted, rejected=len(results) - accepted, results=tuple(results[index] for index in range(len(items)))
    )


def classify_texts(context: RequestContext[requests.NoQuery, requests.TextsIn]) -> types.Classified:
    """Classify texts. Nothing is stored."""
    if context.backends.classify is None:
        raise ApiProblem(503, NO_MODEL)
    try:
        return context.backends.classify(context.body.texts)
    except ModelError as error:
        raise ApiProblem(503, f"the model is not available: {error}", headers={"Retry-After": "5"}) from error


def create_token(context: RequestContext[requests.NoQuery, requests.TokenIn]) -> types.NewTokenOut:
    """Create a token with scopes of this one, and at most until this one ends. Its secret is only in this response."""
    body = context.body
    secret, token = minted_token(body.name, body.scopes, parent=context.token, now=context.now, expires_at=body.expires_at)
    _actions(context).add_token(token)
    out = types.token_out(token)
    return types.NewTokenOut(token=secret, **{name: getattr(out, name) for name in out.__struct_fields__})


def revoke_token(context: RequestContext[requests.NoQuery, None]) -> types.TokenOut:
    """Revoke a token and those made with it; within seconds no process accepts it. One that is revoked stays as it is."""
    token_id = context.path_parameters["id"]
    found = next((token for token in context.store.tokens.all() if token.id == token_id), None)
    if found is None:
        raise NotFound(f"there is no token {token_id!r}")
    if found.revoked_at is None:
        _actions(context).revoke_token(token_id)
        found = next(token for token in context.store.tokens.all() if token.id == token_id)
    return types.token_out(found)


def _actions(context: RequestContext[Any, Any]) -> AuditedActions:
    """Audited actions under the name of the token."""
    return AuditedActions(context.store, lambda: context.now, lambda: context.token.name, API, ACTOR_PREFIX)


def _parse_article(raw: msgspec.Raw) -> requests.ArticleIn | str:
    """The article, or the reason why it is invalid."""
    try:
        return msgspec.json.decode(raw, type=requests.ArticleIn)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return str(error)
