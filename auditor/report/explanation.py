"""One decision for a person: the verdict first, then each side with what it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from auditor.model.addresses import IPAddress
from auditor.model.policy import IPBlock, NetworkPolicy
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Service
from auditor.model.verdict import Cell, Note, Verdict
from auditor.policy.explain import Decision
from auditor.policy.plain_reading import policy_place
from auditor.report.console import print_paragraph

STYLES = {Verdict.ALLOWED: "bold green", Verdict.DENIED: "bold red"}
NOTE_WORDS = {
    Note.CNI_DEPENDENT: "rests on an ipBlock that covers an address inside the cluster: the specification leaves "
    "this to the CNI",
    Note.UNDEFINED: "a hostNetwork pod takes part: the specification defines no behaviour",
    Note.ADDRESS_UNKNOWN: "an ipBlock might allow it, but the input does not give the address",
}


def print_translation(
    service: Service,
    port: PortRequest,
    cells: Sequence[Cell],
    covering: Sequence[tuple[NetworkPolicy, IPBlock, IPAddress]],
    console: Console,
) -> None:
    """Print what connections to ``port`` of ``service`` become, and which ipBlocks cover its address."""
    name = f"service/{service.namespace}/{service.name}"
    ends = ", ".join(dict.fromkeys(f"{cell.destination} {cell.protocol}/{cell.port}" for cell in cells))
    print_paragraph(console, f"{name} {port} is sent to {ends}: policies see the backend pod and its port")
    for policy, block, address in covering:
        said = (
            f"note: {policy_place(policy)} has ipBlock {block}, which covers the ClusterIP {address}: whether "
            "that counts is up to the CNI"
        )
        print_paragraph(console, said, 2, 4)


def print_decision(decision: Decision, notes: Sequence[Note], console: Console, doubt: str = "") -> None:
    """Print ``decision`` on ``console``, with what ``notes`` mean; it is none where ``doubt`` says which
    policy can't be read.
    """
    word, style = ("IN DOUBT", "bold yellow") if doubt else (decision.verdict.value.upper(), STYLES[decision.verdict])
    line = Text(word, style=style)
    line.append(f"  {decision.cell}", style="not bold default")
    print_paragraph(console, line)
    if doubt:
        print_paragraph(console, doubt, 2, 4)
        print_paragraph(console, f"{decision.verdict.value} by what can be read:", 2, 4)
    for reason in decision.because():
        print_paragraph(console, reason, 2, 4)
    for note in notes:
        print_paragraph(console, f"note: {NOTE_WORDS.get(note, note.value)}", 2, 4)
