"""Lint of policies: what is likely not meant, found by what the policies mean and not by how they are written.

Pure and fast enough for every run: ``lint(snapshot)`` takes about a second for 1,000 policies and 10,000 pods. Each
check is one function over a ``PolicyIndex``; ``CHECKS`` lists them, the gravest first.
"""

from __future__ import annotations

from collections.abc import Iterator

from auditor.lint.finding import Check
from auditor.lint.imagined import namespaces_without_pods, with_imagined_pods
from auditor.lint.policy_index import DEFAULT, PolicyIndex
from auditor.lint.registry import CHECKS
from auditor.model.lint import LintFinding, Severity
from auditor.model.snapshot import Snapshot

__all__ = ["CHECKS", "Check", "lint"]


def lint(snapshot: Snapshot, *, complete: bool = True) -> tuple[LintFinding, ...]:
    """Every finding about the policies of ``snapshot``: the gravest first, then by file and line; those about
    namespaces last.

    ``complete``: the snapshot has every namespace and pod, as a live cluster's has. Files may not; then what is not
    there means little.
    """
    findings = list(_findings(PolicyIndex(snapshot, complete=complete)))
    if not complete:
        seen = {(finding.check, finding.place) for finding in findings}
        findings += [each for each in _of_imagined_pods(snapshot) if (each.check, each.place) not in seen]
    order = {severity: number for number, severity in enumerate(Severity)}
    return tuple(
        sorted(
            findings,
            key=lambda each: (
                order[each.severity],
                not each.place.line,
                each.place.file,
                each.place.line,
                each.place.subject,
            ),
        )
    )


def _findings(policy_index: PolicyIndex, *, pods_known: bool = True) -> Iterator[LintFinding]:
    """What all checks find, or without known pods those that need none."""
    for check in CHECKS.values():
        if pods_known or not check.needs_pods:
            for remark in check.find(policy_index):
                yield LintFinding(
                    check.id,
                    check.severity,
                    remark.place,
                    remark.message,
                    remark.instead,
                    remark.selector,
                    remark.cause or remark.message,
                )


def _of_imagined_pods(snapshot: Snapshot) -> Iterator[LintFinding]:
    """What is found in namespaces of which policies are given and pods aren't, with pods that the policies select.

    Files that name no namespace need not be for the same one, nor for the same time.
    """
    namespaces = [
        name for name in namespaces_without_pods(snapshot) if name != DEFAULT or snapshot.namespaces[name].known
    ]
    if namespaces:
        policy_index = PolicyIndex(with_imagined_pods(snapshot, namespaces), complete=False)
        for finding in _findings(policy_index, pods_known=False):
            if finding.place.namespace in namespaces:
                yield finding
