"""A CNI that accepts policies and enforces none of them: the first thing that an audit must find.

Through Services, too, all is open there: Flannel gives what takes a NodePort of another node an address of its own.
"""

from __future__ import annotations

from auditor.model.dialect import Enforcement
from auditor.model.verdict import Verdict
from tests.e2e.auditing import left_behind, run_audit, through_services, wrong

NOTHING = Enforcement.parse(("enforces-nothing",))


def test_a_network_that_enforces_nothing_is_found(plain, kubectl, image):
    audited = run_audit(kubectl, image, "--services")
    assert audited.code == 1, audited.complaints
    assert wrong(kubectl, audited, NOTHING) == []
    denied = [cell for cell in audited.report["cells"] if cell["expected"] == Verdict.DENIED]
    assert audited.report["summary"]["leaks"] == len(denied) > 0
    assert {cell["observed"] for cell in through_services(audited.report)} == {"allowed"}
    assert left_behind(kubectl) == []
