"""What a browser is shown: Swagger UI, Redoc, and a page for each type of problem; everything from this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Final, NamedTuple

from aiohttp import web

from protocols.smpp.constants import CommandStatus
from smscd.core.reasons import REASONS
from smscd.ingress.http.answers import Answer
from smscd.ingress.http.problem_advice import ADVICE
from smscd.ingress.http.problems import HTTP_CODES, NOT_FOUND, TYPE_BASE, Code, Problem, problem
from smscd.ingress.http.server import Route

DOCS: Final = "/api/docs/"
SCHEMA: Final = "/api/schema/"
PAGES: Final = "/api/pages/"
HTML: Final = "text/html; charset=utf-8"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_STYLE: Final = "text/css; charset=utf-8"

# Redoc keeps its styles in elements that it makes, empty ones and one with a text of its own: these two hashes. What it
# then puts into them goes by another way, which the policy does not ask about.
_REDOC_STYLES: Final = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='"
)
_POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; style-src 'self'{styles}; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_SAFE: Final = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_PAGE: Final = {**_SAFE, "Content-Security-Policy": _POLICY.format(styles="")}
_REDOC_PAGE: Final = {**_SAFE, "Content-Security-Policy": _POLICY.format(styles=f" {_REDOC_STYLES}")}
_ASSET: Final = {**_SAFE, "Cache-Control": "public, max-age=3600"}

ASSETS: Final = {
    "docs.js": _SCRIPT,
    "schema.js": _SCRIPT,
    "page.css": _STYLE,
    "icon.svg": "image/svg+xml",
    "vendor/swagger-ui.css": _STYLE,
    "vendor/swagger-ui-bundle.js": _SCRIPT,
    "vendor/redoc.standalone.js": _SCRIPT,
}
"""What the pages load, below smscd/ingress/http/pages, by content type; asked for by the last part of its name."""


class ProblemType(NamedTuple):
    """A type of problem as its page has it. command_statuses: what SMPP says for the same."""

    code: str
    status: int
    title: str
    detail: str
    command_statuses: tuple[str, ...]


class Page(NamedTuple):
    """What is answered, without the headers that are of one answer only."""

    body: bytes
    headers: Mapping[str, str]
    content_type: str = HTML


class Documents:
    """The pages; routes() is what a server is made with. more: problems of this server's own, and what to do."""

    def __init__(self, more: Sequence[tuple[Code, str]] = ()) -> None:
        folder = files(__package__) / "pages"
        own = [ProblemType(code.code, code.status, code.title, code.detail, ()) for code, _ in more]
        types = [*problem_types(), *own]
        advice = ADVICE | {code.code: text for code, text in more}
        self._docs = Page((folder / "docs.html").read_bytes(), _PAGE)
        self._schema = Page((folder / "schema.html").read_bytes(), _REDOC_PAGE)
        self._index = Page(_index_page(types), _PAGE)
        self._problems = {kind.code: Page(_problem_page(kind, advice[kind.code]), _PAGE) for kind in types}
        self._assets = {
            name.rpartition("/")[2]: Page((folder / name).read_bytes(), _ASSET, content_type)
            for name, content_type in ASSETS.items()
        }

    def routes(self) -> list[Route]:
        """Open to everybody."""
        return [
            _page(DOCS, self._docs),
            _page(SCHEMA, self._schema),
            _pages(PAGES + "{id}", self._assets),
            _page(TYPE_BASE, self._index),
            _pages(TYPE_BASE + "{id}", self._problems),
        ]


def problem_types() -> list[ProblemType]:
    """Every type of problem that an answer may name, by its code. HTTP's own sentence comes before the table's."""
    found = {code.code: ProblemType(code.code, code.status, code.title, code.detail, ()) for code in HTTP_CODES}
    for answer in REASONS.values():
        known = found.get(answer.code)
        if known is None:
            known = ProblemType(answer.code, answer.http_status, answer.title, answer.detail, ())
        names = {*known.command_statuses, CommandStatus(answer.command_status).name}
        found[answer.code] = known._replace(command_statuses=tuple(sorted(names)))
    return [found[code] for code in sorted(found)]


def _problem_page(kind: ProblemType, advice: str) -> bytes:
    rows = [("What it means", kind.detail), ("What to do", advice)]
    if kind.command_statuses:
        rows.append(("Over SMPP", ", ".join(kind.command_statuses)))
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows)
    body = f"<h1><code>{kind.code}</code></h1><p>{kind.status} {escape(kind.title)}</p><dl>{listed}</dl>"
    return _html(kind.code, f'{body}<p><a href="{TYPE_BASE}">All problems</a></p>')


def _index_page(types: list[ProblemType]) -> bytes:
    listed = "".join(
        f'<dt><a href="{TYPE_BASE}{kind.code}"><code>{kind.code}</code></a> {kind.status}</dt>'
        f"<dd>{escape(kind.detail)}</dd>"
        for kind in types
    )
    return _html("problems", f"<h1>Problems</h1><p>Every refusal names one of these as its type.</p><dl>{listed}</dl>")


def _html(title: str, main: str) -> bytes:
    head = (
        f'<meta charset="utf-8"><title>smscd: {title}</title><link rel="icon" href="{PAGES}icon.svg">'
        f'<link rel="stylesheet" href="{PAGES}page.css">'
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body><main>{main}</main></body></html>'.encode()


def _page(path: str, page: Page) -> Route:
    async def answer(_: web.BaseRequest) -> Answer | Problem:
        return Answer(200, page.body, dict(page.headers), page.content_type)

    return Route(path, open={"GET": answer})


def _pages(template: str, pages: Mapping[str, Page]) -> Route:
    async def answer(request: web.BaseRequest) -> Answer | Problem:
        page = pages.get(request.path.rpartition("/")[2])
        if page is None:
            return problem(NOT_FOUND)
        return Answer(200, page.body, dict(page.headers), page.content_type)

    return Route(template, open={"GET": answer})
