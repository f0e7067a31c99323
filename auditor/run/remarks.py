"""What lint says of the policies that a run audits: the same findings as ``audit lint``, as far as they are more than information."""

from __future__ import annotations

from collections.abc import Collection

from auditor.diagnosis.lint import Severity, lint
from auditor.model.report import PolicyRemark
from auditor.model.snapshot import Snapshot


def remarks_on(snapshot: Snapshot, namespaces: Collection[str] = (), *, complete: bool = True) -> tuple[PolicyRemark, ...]:
    """The warnings and errors about policies in ``namespaces`` (none: all), the gravest first. ``complete`` as for ``lint``."""
    return tuple(
        PolicyRemark(finding.check, finding.severity, str(finding.place), finding.message)
        for finding in lint(snapshot, complete=complete)
        if finding.severity.reaches(Severity.WARNING) and (not namespaces or finding.place.namespace in namespaces)
    )
