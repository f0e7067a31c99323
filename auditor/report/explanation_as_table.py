"""One decision for a person: the verdict first, then each side with what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from auditor.model.reasons import policy_place
from auditor.model.verdict import Note, Verdict
from auditor.model.words import in_brief
from auditor.report.console import open_console, print_paragraph
from auditor.report.ways_in import way_in_lines
from auditor.run.explanation import Explained, Explanation
from auditor.run.service_connections import ServicePort

STYLES = {Verdict.ALLOWED: "bold green", Verdict.DENIED: "bold red"}
MOST_SHOWN = 2
MOST_NAMES = 4
MOST_WAYS = 8
NOTE_WORDS = {
    Note.CNI_DEPENDENT: "depends on an ipBlock that covers an address inside the cluster, which the specification "
    "leaves to the CNI",
    Note.UNDEFINED: "the specification leaves it open: a hostNetwork pod, or policies with one priority that differ",
    Note.LABELS_UNKNOWN: "labels on which it hangs are not known: add the Namespace objects, or the pods themselves",
    Note.ADDRESS_UNKNOWN: "an ipBlock might allow it, but the input does not give the address",
}


def render(explanation: Explanation, stream: TextIO) -> None:
    """Write ``explanation`` to ``stream``, one paragraph for each connection in question."""
    console = open_console(stream)
    if explanation.by_way_of:
        _print_translation(explanation.by_way_of, console)
    shown = _examples(explanation.connections)
    for each in shown:
        _print_decision(each, console)
    rest: dict[str, list[Explained]] = {}
    for each in explanation.connections:
        if each not in shown:
            rest.setdefault(_word(each), []).append(each)
    for word, alike in rest.items():
        print_paragraph(
            console, f"{word} as well: {in_brief([each.decision.cell for each in alike], MOST_NAMES)}", 0, 4
        )
    for line in way_in_lines(explanation.entry, MOST_WAYS):
        print_paragraph(console, line, 0, 4)


def _examples(connections: Sequence[Explained]) -> list[Explained]:
    """Those to explain in full: all of a few, or else the first of each outcome."""
    if len(connections) <= MOST_SHOWN:
        return list(connections)
    first = {_word(each): each for each in reversed(connections)}
    return [each for each in connections if each is first[_word(each)]]


def _word(explained: Explained) -> str:
    return "IN DOUBT" if explained.doubt else explained.decision.verdict.value.upper()


def _print_translation(asked: ServicePort, console: Console) -> None:
    ends = list(dict.fromkeys(f"{cell.destination} {cell.protocol}/{cell.port}" for cell in asked.cells))
    print_paragraph(console, f"{_way(asked)} {in_brief(ends, MOST_NAMES)}: policies see the backend and its port")
    for policy, block, address in asked.covering[:MOST_SHOWN]:
        said = (
            f"note: {policy_place(policy)} has ipBlock {block}, which covers the ClusterIP {address}: whether "
            "that counts is up to the CNI"
        )
        print_paragraph(console, said, 2, 4)
    for remark in asked.remarks:
        print_paragraph(console, f"note: {remark}", 2, 4)


def _way(asked: ServicePort) -> str:
    if asked.service.headless:
        return f"{asked.service.full_name} is headless: clients talk to its pods themselves, here to"
    by = f"{asked.at} leads to " if asked.at else ""
    return f"{by}{asked.service.full_name} {asked.port}{', which' if by else ''} is sent to"


def _print_decision(explained: Explained, console: Console) -> None:
    decision, doubt = explained.decision, explained.doubt
    word, style = _word(explained), "bold yellow" if doubt else STYLES[decision.verdict]
    line = Text(word, style=style)
    line.append(f"  {decision.cell}", style="not bold default")
    print_paragraph(console, line)
    if doubt:
        print_paragraph(console, doubt, 2, 4)
        print_paragraph(console, f"{decision.verdict.value} by what can be read:", 2, 4)
    for reason in decision.because():
        print_paragraph(console, reason, 2, 4)
    for note in explained.notes:
        print_paragraph(console, f"note: {NOTE_WORDS.get(note, note.value)}", 2, 4)
