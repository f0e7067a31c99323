"""What a person who is not looking hears about a run: what is new and what is gone, and nothing where nothing is.

Three bodies: JSON of our own, and what Slack and Teams take from a webhook. Names in a message come from the cluster;
what Slack or Teams would take for markup in them is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditor.model.beside import KINDS_BESIDE
from auditor.model.printable import printable
from auditor.model.report import Report
from auditor.model.scorecard import Score, Scorecard
from auditor.model.standing import Age, Comparison, Departed, Standing
from auditor.model.verdict import Conclusion
from auditor.report.conclusion import conclude
from auditor.report.headline import headline
from auditor.report.lookups import wrong_in_lookups
from auditor.report.reached import wrong_at_services
from auditor.report.services import cause_through_services
from auditor.report.standing import departed_lines, standing_lines

MOST_TOLD = 10
LONGEST = 3000
"""Characters of a message; Slack shortens what is longer than 4,000."""
CARD = "application/vnd.microsoft.card.adaptive"
MARKDOWN = re.compile(r"([\\`*_\[\]#~|>])")


@dataclass(frozen=True, slots=True)
class Message:
    """The news of one run: a title, and ``lines`` below it. The other fields are those of its report."""

    subject: str
    run: str
    began: str
    conclusion: str
    headline: str
    lines: tuple[str, ...]
    news: tuple[Standing, ...]
    gone: tuple[Departed, ...]

    @property
    def text(self) -> str:
        """All of it, as plain text."""
        title = printable(f"{self.conclusion.upper()} {self.subject}: {self.headline}")
        text = "\n".join([title, *map(printable, self.lines)])
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def message_of(report: Report, last: str = "") -> Message | None:
    """The news of ``report``, after a run that came to the conclusion ``last``; None where there are none.

    News are findings that nobody could know of, findings that are gone, and a run without a verdict after one that had
    one. Without anything to compare with, each finding is news.
    """
    conclusion, comparison = conclude(report), report.comparison
    news, gone = _news(comparison)
    unsure = conclusion is Conclusion.INCONCLUSIVE and last != Conclusion.INCONCLUSIVE
    unheard = comparison is None and conclusion is Conclusion.FAIL
    if not (news or gone or unsure or unheard):
        return None
    beside = comparison is None or any(each.kind in KINDS_BESIDE for each in news)
    through = [text for label, text in cause_through_services(report.services) if beside and label != "advice"]
    if comparison is None:
        through += [*wrong_at_services(report.reached), *wrong_in_lookups(report.dns)]
    found = [] if comparison is not None else [f"{each.kind}: {each.title}" for each in report.findings]
    lines = (*_lines(news, gone, found), *through)
    return Message(report.subject, report.run_id, report.began, conclusion, headline(report), lines, news, gone)


def message_of_card(card: Scorecard, last: str = "") -> Message | None:
    """The news of a conformance run, after one that came to ``last``: features that depart and didn't, or of which
    nobody could know, features that conform again, and a run without a verdict after one that had one.
    """
    news, gone = _news(card.comparison)
    unsure = card.score is Score.INCONCLUSIVE and last != Score.INCONCLUSIVE
    departing = [f"departs: {each.title}" for each in card.features if each.score is Score.DEPARTS]
    unheard = card.comparison is None and card.score is Score.DEPARTS
    if not (news or gone or unsure or unheard):
        return None
    lines = _lines(news, gone, [] if card.comparison is not None else departing)
    return Message(card.subject, card.run_id, card.began, card.score, card.behaviour, lines, news, gone)


def _news(comparison: Comparison | None) -> tuple[tuple[Standing, ...], tuple[Departed, ...]]:
    """What is new and what is gone, as far as anybody asked."""
    if comparison is None:
        return (), ()
    return comparison.news, tuple(each for each in comparison.departed if each.age is Age.GONE)


def _lines(news: Sequence[Standing], gone: Sequence[Departed], found: Sequence[str]) -> tuple[str, ...]:
    """What is new, what is gone, and what was ``found`` where nobody knows what is new."""
    lines = [line for each in news[:MOST_TOLD] for line in standing_lines(each)]
    lines += [line for each in gone[:MOST_TOLD] for line in departed_lines(each)]
    lines += found[:MOST_TOLD]
    if max(len(news), len(gone), len(found)) > MOST_TOLD:
        lines.append("and more: the report has each")
    return tuple(lines)


def _as_json(message: Message) -> dict[str, Any]:
    return {
        "schema": "audit.message/v1",
        "text": message.text,
        "subject": message.subject,
        "run": message.run,
        "began": message.began,
        "conclusion": message.conclusion,
        "headline": message.headline,
        "new": [{"id": each.id, "kind": each.kind, "title": each.title, "age": each.age} for each in message.news],
        "gone": [{"id": each.id, "kind": each.kind, "title": each.title} for each in message.gone],
    }


def _as_slack(message: Message) -> dict[str, Any]:
    """What Slack's incoming webhooks take (docs.slack.dev/messaging: &, < and > are escaped)."""
    text = message.text
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)
    return {"text": text}


def _as_teams(message: Message) -> dict[str, Any]:
    """An adaptive card, which Teams' workflow webhooks take; its texts are Markdown."""
    title, *rest = message.text.split("\n")
    heading = {"type": "TextBlock", "text": _plain(title), "weight": "Bolder", "wrap": True}
    details = [{"type": "TextBlock", "text": _plain(line), "wrap": True, "spacing": "None"} for line in rest]
    content = {"type": "AdaptiveCard", "version": "1.4", "body": [heading, *details]}
    return {"type": "message", "attachments": [{"contentType": CARD, "content": content}]}


def _plain(text: str) -> str:
    return MARKDOWN.sub(r"\\\1", text)


BODIES: Mapping[str, Callable[[Message], dict[str, Any]]] = {"json": _as_json, "slack": _as_slack, "teams": _as_teams}
"""What is sent, by the name of the format."""
