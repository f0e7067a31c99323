"""A report as one HTML file: it loads nothing, runs no script but its own, and can be read without any.

Names come from the cluster and are hostile. Every text goes through ``printable`` and is escaped by the templates; the
matrix is JSON in which nothing can end its element; a content security policy allows one style sheet and one script, by
their digests.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TextIO

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from auditor.report.documents import lines, write_text
from auditor.report.explorable import Explorable
from auditor.report.pictures import DrawnGraph, DrawnTrend


@dataclass(frozen=True, slots=True)
class Article:
    """One finding. ``grave`` ones look so; ``code`` is a command or a manifest."""

    title: str
    lines: Sequence[str] = ()
    labelled: Sequence[tuple[str, str]] = ()
    code: str = ""
    grave: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page, as a picture, as articles, as a table of ``rows``, as a list of ``lines``, or as several of
    these.
    """

    title: str
    lines: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    articles: Sequence[Article] = ()
    picture: DrawnGraph | DrawnTrend | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.lines or self.rows or self.articles or self.picture)


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says: the conclusion first, then sections ``before`` the matrix, the matrix, and those ``after``."""

    title: str
    conclusion: str
    headline: str
    remarks: Sequence[str] = ()
    labelled: Sequence[tuple[str, str]] = ()
    before: Sequence[Section] = ()
    explorable: Explorable | None = None
    matrix_title: str = "Matrix"
    after: Sequence[Section] = ()
    origin: str = ""


@dataclass(frozen=True, slots=True)
class _Inline:
    """A style sheet or a script with its digest, as a content security policy names it."""

    text: Markup
    hash: str


def write_page(page: Page, stream: TextIO) -> None:
    """Write ``page`` to ``stream``."""
    templates = _templates()
    section = templates.get_template("section.html.j2")

    def show(shown: Section) -> Markup:
        return Markup("" if shown.is_empty else section.render(section=shown))  # noqa: S704 - rendered with escapes

    html = templates.get_template("page.html.j2").render(
        page=page,
        show=show,
        style=_inline("report.css"),
        script=_inline("report.js") if page.explorable is not None else None,
        data=_embedded(page.explorable.data()) if page.explorable is not None else "",
    )
    write_text(html.rstrip("\n"), stream)


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("auditor.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _harmless(value: Any) -> Any:
    """``value`` as it is shown: no text from outside moves a cursor, hides anything or is a command to a CI system."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return lines(value.split("\n"))
    return value


@cache
def _inline(name: str) -> _Inline:
    text = (files("auditor.report") / "page" / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return _Inline(Markup(text), f"sha256-{digest}")  # noqa: S704 - ours


def _embedded(value: Any) -> Markup:
    """``value`` as JSON that can stand in a script element: no ``<``, ``>`` or ``&``, and only ASCII."""
    text = json.dumps(value, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - nothing in it is markup
