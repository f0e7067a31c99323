"""What a person who is not looking hears about a run: what is new and what is gone, and nothing where nothing is.

Three bodies: JSON of our own, and what Slack and Teams take from a webhook. Names in a message come from the cluster;
what Slack or Teams would take for markup in them is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from auditor.model.printable import printable
from auditor.model.report import Report
from auditor.model.standing import Age, Departed, Standing
from auditor.model.verdict import Conclusion
from auditor.report.conclusion import conclude
from auditor.report.headline import headline
from auditor.report.standing import departed_lines, standing_lines

MOST_TOLD = 10
LONGEST = 3000
"""Characters of a message; Slack shortens what is longer than 4,000."""
CARD = "application/vnd.microsoft.card.adaptive"
MARKDOWN = re.compile(r"([\\`*_\[\]#~|>])")


@dataclass(frozen=True, slots=True)
class Message:
    """The news of one run: a title, and ``lines`` below it."""

    report: Report
    title: str
    lines: tuple[str, ...]
    news: tuple[Standing, ...]
    gone: tuple[Departed, ...]

    @property
    def text(self) -> str:
        """All of it, as plain text."""
        text = "\n".join([self.title, *self.lines])
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def message_of(report: Report, last: str = "") -> Message | None:
    """The news of ``report``, after a run that came to the conclusion ``last``; None where there are none.

    News are findings that nobody could know of, findings that are gone, and a run without a verdict after one that had
    one. Without anything to compare with, each finding is news.
    """
    conclusion, comparison = conclude(report), report.comparison
    news = () if comparison is None else comparison.news
    gone = () if comparison is None else tuple(each for each in comparison.departed if each.age is Age.GONE)
    unsure = conclusion is Conclusion.INCONCLUSIVE and last != Conclusion.INCONCLUSIVE
    unheard = comparison is None and conclusion is Conclusion.FAIL
    if not (news or gone or unsure or unheard):
        return None
    lines = [line for each in news[:MOST_TOLD] for line in standing_lines(each)]
    lines += [line for each in gone[:MOST_TOLD] for line in departed_lines(each)]
    if comparison is None:
        lines += [f"{each.kind}: {each.title}" for each in report.findings[:MOST_TOLD]]
    told = max(len(news), len(gone), 0 if comparison else len(report.findings))
    if told > MOST_TOLD:
        lines.append("and more: the report has each")
    title = f"{conclusion.value.upper()} {report.subject}: {headline(report)}"
    return Message(report, printable(title), tuple(map(printable, lines)), news, gone)


def _as_json(message: Message) -> dict[str, Any]:
    report = message.report
    return {
        "schema": "audit.message/v1",
        "text": message.text,
        "subject": report.subject,
        "run": report.run_id,
        "began": report.began,
        "conclusion": conclude(report).value,
        "headline": headline(report),
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
