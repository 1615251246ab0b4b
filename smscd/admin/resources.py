"""What the admin API is made of: an operation for each method of a path, with the types that read and document it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from smscd.admin.bodies import RULES, read_fields
from smscd.admin.orders import Refusal
from smscd.ingress.http.problems import INVALID, NOT_FOUND, FieldError, Problem
from smscd.ingress.http.queries import Parameter
from smscd.ingress.http.strict_bodies import FIELD_ERRORS_MAX, read_strict
from storage.postgres.operators import Token

JSON: Final = "application/json"
CSV: Final = "text/csv"
TOML: Final = "application/toml"
_TITLES: Final = {404: NOT_FOUND.title, 409: "Conflict", 422: INVALID.title}
_PART: Final = re.compile(r"\{([a-z_]+)(\*?)\}")


class Done(msgspec.Struct, frozen=True):
    """What a resource answers when it does not refuse. body: anything that msgspec writes as JSON."""

    status: int
    body: object
    headers: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of somebody who may make it. names: of the path. query, body: as the operation has read them."""

    operator: Token
    names: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any = None


Call: TypeAlias = Callable[[Asked], Awaitable[Done | Problem]]


class Body(Protocol):
    """How a body is read, and what the document says of it."""

    @property
    def content_type(self) -> str:
        """The one that is taken."""
        ...

    def read(self, body: bytes) -> Any:
        """What the body says, or a Problem with everything that is wrong with it."""
        ...

    def types(self) -> tuple[type, ...]:
        """The types that the schema refers to."""
        ...

    def schema(self, ref: Callable[[type], dict[str, Any]]) -> dict[str, Any]:
        """Its JSON schema. ref: a reference to a type."""
        ...


@dataclass(frozen=True, slots=True)
class StructBody:
    """A JSON object that is a struct. rules: what a field must be, in words, where the type does not say it well."""

    kind: type[msgspec.Struct]
    rules: Mapping[str, str] = field(default_factory=lambda: RULES)
    content_type: str = JSON

    def read(self, body: bytes) -> Any:
        """The struct."""
        return read_strict(body, self.kind, self.rules)

    def types(self) -> tuple[type, ...]:
        """The struct."""
        return (self.kind,)

    def schema(self, ref: Callable[[type], dict[str, Any]]) -> dict[str, Any]:
        """A reference to it."""
        return ref(self.kind)


@dataclass(frozen=True, slots=True)
class FieldsBody:
    """A JSON object whose members a table of fields reads. described: what the document says of it."""

    described: Mapping[str, Any]
    content_type: str = JSON

    def read(self, body: bytes) -> Any:
        """The members, as JSON has them."""
        return read_fields(body)

    def types(self) -> tuple[type, ...]:
        """None."""
        return ()

    def schema(self, ref: Callable[[type], dict[str, Any]]) -> dict[str, Any]:
        """As it was given."""
        return dict(self.described)


@dataclass(frozen=True, slots=True)
class TextBody:
    """Octets as they come: a file."""

    content_type: str = CSV

    def read(self, body: bytes) -> Any:
        """The octets."""
        return body

    def types(self) -> tuple[type, ...]:
        """None."""
        return ()

    def schema(self, ref: Callable[[type], dict[str, Any]]) -> dict[str, Any]:
        """Text."""
        return {"type": "string"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A parameter of a URL: how it is read, and what the document says of it."""

    parameter: Parameter
    schema: Mapping[str, Any]
    sentence: str
    is_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A method of a path below /admin/v1/. {name} in the path is a part of it, {name*} the rest, slashes and all.

    id: the name in the document. parts: what parts of the path must match. answer: the type of what is answered; None:
    a JSON object. statuses: of success. example: an answer; asks: a body that fits it.
    """

    method: str
    path: str
    id: str
    summary: str
    call: Call
    body: Body | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Query] = field(default_factory=dict)
    answer: type | None = None
    statuses: tuple[int, ...] = (200,)
    example: object = None
    asks: object = None

    @property
    def route(self) -> str:
        """How the table of roles calls it."""
        return f"{self.method} {self.path}"

    @property
    def names(self) -> list[str]:
        """The parts of the path that are named, in their order."""
        return [part.group(1) for part in _PART.finditer(self.path)]

    def pattern(self) -> re.Pattern[str]:
        """What the path is found by."""
        pieces = []
        at = 0
        for part in _PART.finditer(self.path):
            name, is_rest = part.groups()
            inside = self.parts.get(name, ".+" if is_rest else "[^/]+")
            pieces += [re.escape(self.path[at : part.start()]), f"(?P<{name}>{inside})"]
            at = part.end()
        return re.compile("".join([*pieces, re.escape(self.path[at:])]))


def problem_of(refusal: Refusal) -> Problem:
    """A refusal as HTTP says it."""
    errors = tuple(FieldError(f"/{place}" if place else "", rule) for place, rule in refusal.faults[:FIELD_ERRORS_MAX])
    return Problem(
        status=refusal.status, code=refusal.code, title=_TITLES[refusal.status], detail=refusal.detail, errors=errors
    )


def answered(found: object, status: int = 200) -> Done | Problem:
    """What a function of this package found, or its refusal."""
    if isinstance(found, Problem):
        return found
    return problem_of(found) if isinstance(found, Refusal) else Done(status, found)
