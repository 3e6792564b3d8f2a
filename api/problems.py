"""Errors of the API as problem details (RFC 9457), each naming what is wrong and, where it is a field, which."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus

import msgspec
from flask import Response

from api.types import FieldError, Problem
from core.errors import BadRecord, UserError

_PLACE = re.compile(r" - at `(?:key in )?\$\.?(.*)`$")


class Refused(Exception):
    """A request that gets no answer but a problem."""

    def __init__(self, status: int, detail: str, *, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def invalid(field: str, reason: str) -> Refused:
    """422 for one field."""
    return Refused(422, f"{field}: {reason}", errors=[FieldError(field=field, reason=reason)])


def of_validation(error: Exception) -> Refused:
    """422 for what msgspec, or a record's own check, does not take."""
    text = str(error)
    place = _PLACE.search(text)
    field, reason = (place[1], text[: place.start()]) if place else ("", text)
    unknown = re.search(r"unknown field `([^`]*)`", text)
    if unknown:
        field = f"{field}.{unknown[1]}".strip(".")
    return Refused(422, f"{field}: {reason}" if field else reason, errors=[FieldError(field=field, reason=reason)] if field else ())


@contextmanager
def refusing(field: str = "") -> Iterator[None]:
    """An error of the user inside becomes a problem with the status of its type."""
    try:
        yield
    except (UserError, BadRecord) as error:
        raise (invalid(field, str(error)) if field else Refused(error.http_status, str(error))) from error


def response(refused: Refused) -> Response:
    """The problem as it goes out."""
    problem = Problem(title=HTTPStatus(refused.status).phrase, status=refused.status, detail=refused.detail, errors=refused.errors)
    answer = Response(msgspec.json.encode(problem), status=refused.status, content_type="application/problem+json")
    answer.headers.update(refused.headers)
    return answer
