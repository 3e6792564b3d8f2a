"""What is done: to alerts, silences, labels and tokens. Each is signed with the name of the token, and what was done is never deleted."""

from __future__ import annotations

from typing import Any

from actions.audited_actions import API, Deeds
from api import requests, types
from api.calls import Call
from api.problems import Refused, invalid, refusing
from api.reads import the_alert, with_lives
from api.serializers import silence_out, token_out
from core.errors import BadRecord
from domain.alert_lifecycle import silence
from domain.tokens import new_token
from storage.store import Label
from storage.tables.labels import check


def act(call: Call[requests.NoQuery, requests.EventIn]) -> types.AlertOut:
    """Do something to an alert; how it stands after that."""
    found = the_alert(call.store, call.parts["id"])
    with refusing():
        _deeds(call).act_on([found.id], call.body.kind, call.body.text)
    (shown,) = with_lives(call.store, call.backends, [found], call.now, None)
    return shown


def hush(call: Call[requests.NoQuery, requests.SilenceIn]) -> types.SilenceOut:
    """Silence what is known."""
    body = call.body
    with refusing():
        one = silence(
            series=body.series,
            rules=body.rules,
            least=body.least,
            most=body.most,
            author=call.token.name,
            comment=body.comment,
            starts_at=body.starts_at or call.now,
            ends_at=body.ends_at,
            now=call.now,
        )
    return silence_out(_deeds(call).hush(one), call.now)


def unhush(call: Call[requests.NoQuery, None]) -> types.SilenceOut:
    """End a silence before its time. One that is over stays as it is."""
    ident = call.parts["id"]
    found = [each for each in call.store.silences.find(ident) if each.id == ident]
    if not found:
        raise Refused(404, f"there is no silence {ident!r}")
    if found[0].state(call.now) != "ended":
        _deeds(call).end_silence(ident)
        found = [each for each in call.store.silences.find(ident) if each.id == ident]
    return silence_out(found[0], call.now)


def label(call: Call[requests.NoQuery, requests.LabelsIn]) -> types.Labelled:
    """Keep labels of stored articles, all or none."""
    known = call.store.articles.known(sorted({each.id for each in call.body.labels}))
    labels = []
    for number, each in enumerate(call.body.labels):
        article = known.get(each.id)
        if article is None:
            raise invalid(f"labels[{number}].id", f"there is no article {each.id!r}")
        labels.append(
            Label(
                id=each.id,
                task=each.task,
                labels=each.labels,
                company=each.company,
                author=call.token.name,
                model=article.model,
                labelled_at=call.now,
            )
        )
        try:
            check(labels[-1])
        except BadRecord as error:
            raise invalid(f"labels[{number}]", error.reason) from error
    _deeds(call).label(labels)
    return types.Labelled(kept=len(labels))


def tokens(call: Call[requests.NoQuery, None]) -> types.Tokens:
    """All tokens."""
    return types.Tokens(items=tuple(map(token_out, call.store.tokens.all())))


def grant(call: Call[requests.NoQuery, requests.TokenIn]) -> types.NewTokenOut:
    """Make a token; its secret is in the answer and nowhere else."""
    body = call.body
    with refusing():
        secret, token = new_token(body.name, body.scopes, author=call.token.name, now=call.now, expires_at=body.expires_at)
        _deeds(call).grant(token)
    shown = token_out(token)
    return types.NewTokenOut(token=secret, **{name: getattr(shown, name) for name in shown.__struct_fields__})


def revoke(call: Call[requests.NoQuery, None]) -> types.TokenOut:
    """Let a token open nothing any more, within seconds everywhere. One that opens nothing stays as it is."""
    ident = call.parts["id"]
    found = next((token for token in call.store.tokens.all() if token.id == ident), None)
    if found is None:
        raise Refused(404, f"there is no token {ident!r}")
    if found.revoked_at is None:
        _deeds(call).revoke(ident)
        found = next(token for token in call.store.tokens.all() if token.id == ident)
    return token_out(found)


def _deeds(call: Call[Any, Any]) -> Deeds:
    """Under the token's name."""
    return Deeds(call.store, lambda: call.now, lambda: call.token.name, API)
