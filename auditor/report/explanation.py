"""One decision for a person: the verdict first, then each side with what it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from auditor.model.verdict import Note, Verdict
from auditor.policy.explain import Decision
from auditor.report.console import print_paragraph, printable

STYLES = {Verdict.ALLOWED: "bold green", Verdict.DENIED: "bold red"}
NOTE_WORDS = {
    Note.CNI_DEPENDENT: "rests on an ipBlock that covers an address inside the cluster: the specification leaves this to the CNI",
    Note.UNDEFINED: "a hostNetwork pod takes part: the specification defines no behaviour",
    Note.ADDRESS_UNKNOWN: "an ipBlock might allow it, but the input does not give the address",
}


def print_decision(decision: Decision, notes: Sequence[Note], console: Console) -> None:
    """Print ``decision`` on ``console``, with what ``notes`` mean."""
    cell = decision.cell
    line = Text(decision.verdict.value.upper(), style=STYLES[decision.verdict])
    line.append(f"  {printable(str(cell))}", style="not bold default")
    print_paragraph(console, line)
    for reason in decision.because():
        print_paragraph(console, printable(reason), 2, 4)
    for note in notes:
        print_paragraph(console, f"note: {NOTE_WORDS.get(note, note.value)}", 2, 4)
