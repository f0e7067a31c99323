"""Intents in tests: the connections that they expect, and their rules held against policies."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from rich.console import Console

from auditor.intent import check_intent
from auditor.model.checks import ExpectedCheck, RulesResult
from auditor.model.errors import UsageError
from auditor.model.intent import Intent, IntentFinding
from auditor.model.snapshot import Snapshot
from auditor.parsing.intent import read_intent
from auditor.policy.evaluator import evaluate
from auditor.policy.unknown_labels import label_extremes
from auditor.report.intent_as_table import print_findings
from auditor.run.sources import load_sources


def read_intent_at(path: str | Path) -> Intent:
    """The intent in the file ``path``. Raises UsageError or InputError where it can't be read or is not an intent."""
    sources = load_sources([str(path)])
    if len(sources) != 1:
        raise UsageError(f"{path}: an intent is one file")
    return read_intent(sources[0])


def expected_in(intent: Intent) -> tuple[ExpectedCheck, ...]:
    """The connections that ``intent`` expects. Raises UsageError where there is none."""
    if not intent.expect:
        raise UsageError(f"{intent.file}: it expects no single connection: write some under expect")
    return intent.expect


def check_rules(intent: Intent, snapshot: Snapshot) -> RulesResult:
    """The rules of ``intent`` held against the policies of ``snapshot``."""
    around = intent.with_hosts(snapshot)
    findings = check_intent(evaluate(around), intent)
    doubts = [f"policy {policy.full_name} {policy.why}" for policy in snapshot.unknown]
    if not findings and (extremes := label_extremes(around)):
        unsure = any(check_intent(evaluate(each), intent) for each in (extremes.least, extremes.most))
        doubts += [f"it {extremes.why}"] if unsure else []
    return RulesResult(intent.file, len(intent.rules), tuple(map(_in_words, findings)), tuple(doubts))


def _in_words(finding: IntentFinding) -> str:
    text = StringIO()
    console = Console(file=text, width=100, color_system=None)
    print_findings(console, [finding])
    return text.getvalue().rstrip()
