"""What is found beside the matrix and is known, in every format: it doesn't make the run fail, and is told all the
same.
"""

import io
import json
from dataclasses import replace

import pytest

from auditor.history.comparing import compare
from auditor.history.recording import night_of
from auditor.model.standing import Age, FailOn
from auditor.model.verdict import Conclusion
from auditor.report.as_objects import report_objects
from auditor.report.conclusion import conclude
from auditor.report.headline import headline
from auditor.report.message import message_of
from auditor.report.registry import RUN, renderer
from tests.schemas import validator
from tests.unit.report import test_lookups, test_services

WRONG = replace(
    test_services.seen(test_services.LEAK, diagnosis=test_services.DIAGNOSIS),
    dns=test_lookups.seen(test_lookups.OUTAGE, pairs=[test_lookups.PAIRS]).dns,
    reached=test_lookups.reached(test_lookups.LEAK_AT_DB, test_lookups.ELSEWHERE),
)
KINDS = {"through-services-leak", "dns-outage", "dns-question-lost", "service-leak", "service-misdelivered"}


def held(*past, fail_on=FailOn.NEW):
    nights = [night_of(each, "1.0", "fail") for each in (WRONG, *past)]
    return replace(WRONG, comparison=compare(nights[0], nights[1:], "yesterday", fail_on))


KNOWN, NEW = held(WRONG), held()


def rendered(name, of):
    stream = io.StringIO()
    renderer(RUN, name)(of, stream)
    return stream.getvalue()


def test_what_is_known_does_not_fail_and_what_is_not_does():
    assert conclude(KNOWN) is Conclusion.PASS
    assert conclude(NEW) is conclude(WRONG) is conclude(held(WRONG, fail_on=FailOn.ANY)) is Conclusion.FAIL
    assert "1 leak through Services" in headline(KNOWN)
    assert "5 findings: 5 known" in headline(KNOWN)


@pytest.mark.parametrize("name", ["table", "markdown", "html"])
def test_people_read_what_is_known(name):
    assert "known, since" not in rendered(name, NEW)
    assert "through-services-leak" in rendered(name, KNOWN)
    assert "NOT LOOKED AT BEFORE" in rendered(name, NEW)


def test_programs_read_it_too():
    document = json.loads(rendered("json", KNOWN))
    validator("report.schema.json").validate(document)
    assert {each["kind"]: each["age"] for each in document["comparison"]["findings"]} == dict.fromkeys(KINDS, "known")
    assert rendered("junit", KNOWN).count("<failure") == 0
    assert rendered("junit", KNOWN).count('<skipped message="known: ') == 5
    assert rendered("junit", NEW).count("<failure") == rendered("junit", WRONG).count("<failure") == 5
    metrics = rendered("metrics", KNOWN)
    assert "netpol_audit_failing_findings 0" in metrics
    assert 'netpol_audit_findings{kind="dns-question-lost",namespace="",age="known"} 1' in metrics
    assert "netpol_audit_failing_findings 5" in rendered("metrics", NEW)
    for made, status in ((KNOWN, "warn"), (NEW, "fail"), (WRONG, "fail")):
        told = {each.policy: each for each in report_objects(made, ["prod"])[0].results}
        beside = [told[kind] for kind in (*sorted(KINDS)[:4], "leak through Services")]
        assert {each.status for each in beside} == {status}
        assert {each.properties.get("age") for each in beside} == {"known" if made is KNOWN else None}


def test_beside_the_lines_of_a_change_it_is_a_note():
    assert "::error" not in rendered("github", KNOWN)
    assert "::error" in rendered("github", NEW)


def test_nobody_is_told_again_of_what_is_known():
    assert message_of(KNOWN, Conclusion.PASS) is None
    told = message_of(NEW, Conclusion.PASS)
    assert {each.kind for each in told.news} == KINDS
    assert {each.age for each in told.news} == {Age.INCOMPARABLE}
    assert test_services.DIAGNOSIS.title in told.text
