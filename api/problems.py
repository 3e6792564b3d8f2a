"""Errors of the API as problem details (RFC 9457), with the invalid fields named."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from flask import Response

from api.types import FieldError, Problem

_FIELD_PATH = re.compile(r" - at `(?:key in )?\$\.?(.*)`$")


class ApiProblem(Exception):
    """A request that is answered with problem details.

    Attributes:
        status: HTTP status
        errors: the invalid fields
        headers: further headers of the response
    """

    def __init__(self, status: int, detail: str, *, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def invalid_field(field: str, reason: str) -> ApiProblem:
    """422 for one field."""
    return ApiProblem(422, f"{field}: {reason}", errors=[FieldError(field=field, reason=reason)])


def validation_problem(error: Exception) -> ApiProblem:
    """422 for a value that msgspec, or a check of the record itself, rejects. The field is read from the message of msgspec."""
    text = str(error)
    path = _FIELD_PATH.search(text)
    field, reason = (path[1], text[: path.start()]) if path else ("", text)
    unknown = re.search(r"unknown field `([^`]*)`", text)
    if unknown:
        field = f"{field}.{unknown[1]}".strip(".")
    return ApiProblem(422, f"{field}: {reason}" if field else reason, errors=[FieldError(field=field, reason=reason)] if field else ())


def response(problem: ApiProblem) -> Response:
    """The HTTP response of a problem."""
    body = Problem(title=HTTPStatus(problem.status).phrase, status=problem.status, detail=problem.detail, errors=problem.errors)
    answer = Response(msgspec.json.encode(body), status=problem.status, content_type="application/problem+json")
    answer.headers.update(problem.headers)
    return answer
