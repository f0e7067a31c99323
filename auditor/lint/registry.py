"""Every check by its id. A new one is a function and an entry in its module's ``CHECKS``; a new module is
named here.
"""

from __future__ import annotations

from collections.abc import Mapping

from auditor.lint import blocks, dns, isolation, paths, peers, ports, redundancy, services, subjects, tiers, written
from auditor.lint.finding import Check
from auditor.model.lint import Severity

MODULES = (subjects, written, peers, ports, services, dns, paths, blocks, redundancy, isolation, tiers)

CHECKS: Mapping[str, Check] = {
    check.id: check
    for severity in Severity
    for module in MODULES
    for check in module.CHECKS
    if check.severity is severity
}
