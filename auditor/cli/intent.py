"""``audit intent``: whether the policies are what people meant, without a packet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from auditor.cli import parameters
from auditor.cli.connection import connection_options
from auditor.cli.help import SectionedCommand
from auditor.cli.outputs import Output, Outputs, output_options, read_outputs
from auditor.cli.snapshots import InputOptions, check_stdin, choose_input, read_endpoints
from auditor.model.errors import UsageError
from auditor.report.registry import INTENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.model.intent import Intent, IntentFinding, UncheckedOutside
    from auditor.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class IntentOptions:
    """Which intent to hold against which policies, and how to report what comes of it."""

    intent: str
    read: InputOptions
    outputs: Outputs


@click.command(
    "intent",
    cls=SectionedCommand,
    examples=("audit intent -f manifests/ -R --intent intent.yaml",),
)
@click.option("--intent", required=True, metavar="FILE", help="The intent: who may reach whom (docs/intent.md).")
@parameters.file_option
@parameters.live_option
@parameters.input_options
@parameters.default_namespace_option
@parameters.replicas_option
@parameters.host_option
@output_options(INTENT)
@connection_options
def command(*, intent: str, output: tuple[Output, ...], output_file: str | None, **read: Any) -> int:
    """Check policies against a declared intent, for every port: of files with -f, of the live cluster with -A.

    Each finding names the rule of the intent, what opens or closes the connections, and a change that was evaluated
    before it is shown. Exit code 1 means findings; 3 that there are none, but that a policy in force can't be read.
    """
    outputs = read_outputs(output, output_file, INTENT)
    return intent_command(IntentOptions(intent, choose_input(**read), outputs))


def intent_command(options: IntentOptions) -> int:
    """Do what ``options`` say. Returns the exit code."""
    from auditor.cli.exit_codes import of_conclusion
    from auditor.intent import check_intent, unchecked_outside
    from auditor.model.intent import IntentReport
    from auditor.policy.evaluator import evaluate

    check_stdin(options.read.paths, "--intent", options.intent)
    options.outputs.check()
    intent = read_intent_file(options.intent)
    snapshot = intent.with_hosts(read_endpoints(options.read))
    findings = _in_scope(check_intent(evaluate(snapshot), intent), options.read)
    unknown = tuple(policy.full_name for policy in snapshot.unknown)
    doubts = () if findings else _doubts(snapshot, intent)
    counts = len(intent.rules), snapshot.number_of_policies
    outside = _near(unchecked_outside(snapshot, intent), options.read)
    report = IntentReport(
        intent.file, options.read.name, *counts, findings, unknown, snapshot.left_out, doubts, outside
    )
    options.outputs.deliver(INTENT, report)
    return of_conclusion(report.conclusion)


def _prefix(read: InputOptions) -> str:
    """With what the names of pods in the scope begin: that of -n, on a live cluster."""
    return f"{read.namespace}/" if read.namespace and read.connection is not None else ""


def _near(unchecked: Sequence[UncheckedOutside], read: InputOptions) -> tuple[UncheckedOutside, ...]:
    """What of ``unchecked`` is in the scope."""
    prefix = _prefix(read)
    inside = (
        replace(each, pairs=tuple(pair for pair in each.pairs if any(name.startswith(prefix) for name in pair)))
        for each in unchecked
    )
    return tuple(each for each in inside if each.pairs)


def _in_scope(findings: Sequence[IntentFinding], read: InputOptions) -> tuple[IntentFinding, ...]:
    """Those of ``findings`` that are in the scope."""
    if not (prefix := _prefix(read)):
        return tuple(findings)
    return tuple(
        finding
        for finding in findings
        if not finding.groups
        or any(name.startswith(prefix) for group in finding.groups for name in (*group.sources, *group.destinations))
    )


def _doubts(snapshot: Snapshot, intent: Intent) -> tuple[str, ...]:
    """What makes it doubtful that the policies are what was meant: unknown labels, where with some of them they are
    not.
    """
    from auditor.intent import check_intent
    from auditor.policy.evaluator import evaluate
    from auditor.policy.unknown_labels import label_extremes

    extremes = label_extremes(snapshot)
    if extremes and any(check_intent(evaluate(each), intent) for each in (extremes.least, extremes.most)):
        return (f"it {extremes.why}",)
    return ()


def read_intent_file(path: str) -> Intent:
    """The intent in the file at ``path``. Raises UsageError or InputError when it can't be read or is not an intent."""
    from auditor.parsing.intent import read_intent
    from auditor.run.sources import load_sources

    sources = load_sources([path])
    if len(sources) != 1:
        raise UsageError(f"--intent {path}: an intent is one file")
    intent = read_intent(sources[0])
    if not intent.rules:
        raise UsageError(f"{path}: it has no rules, only what to expect of single connections: 'audit test' tries them")
    return intent
