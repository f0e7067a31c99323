from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.lint.suppressions import read_suppressions, suppress
from auditor.model.errors import InputError
from auditor.model.lint import LintFinding, Place, Severity, Suppression
from auditor.parsing.source import Source

HEAD = "schema: audit.suppressions/v1\nsuppressions:\n"
ENTRY = "- {id: shadowed-rule, policy: prod/*, owner: payments, reason: kept for the migration, expires: 2027-01-31}\n"


def read(text: str):
    return read_suppressions(Source("accepted.yaml", text.encode()))


def finding(check: str, subject: str) -> LintFinding:
    return LintFinding(check, Severity.INFO, Place(subject), "")


def test_suppresses_the_check_for_the_policies_it_names_until_its_last_day():
    (entry,) = read(HEAD + ENTRY)
    findings = [
        finding("shadowed-rule", "prod/db"),
        finding("shadowed-rule", "dev/db"),
        finding("redundant-peer", "prod/db"),
    ]
    after = suppress(findings, [entry], "2027-01-31")
    assert after.findings == tuple(findings[1:])
    assert after.suppressed == ((findings[0], entry),)
    assert (after.expired, after.unused) == ((), ())


def test_after_its_last_day_it_is_told_and_suppresses_nothing():
    (entry,) = read(HEAD + ENTRY)
    after = suppress([finding("shadowed-rule", "prod/db")], [entry], "2027-02-01")
    assert len(after.findings) == 1
    assert after.expired == (entry,)
    assert after.unused == ()


def test_one_that_suppresses_nothing_is_told():
    (entry,) = read(HEAD + ENTRY)
    assert suppress([finding("shadowed-rule", "dev/db")], [entry], "2026-01-01").unused == (entry,)


def accepting(check: str, pattern: str) -> Suppression:
    return Suppression(check, pattern, "somebody", "why not", "2027-01-31")


CHECKS = ("shadowed-rule", "redundant-peer")
PATTERNS = ("*", "p*", "prod/*", "prod/d?", "prod/[de]b", "prod/db", "prod", "prod/d[b", "dev/[!d]*", "prod/db*", "")
SUBJECTS = ("prod", "prod/db", "prod/eb", "prod/dbx", "dev/db", "dev/web", "prod/d[b")


@given(
    st.lists(st.builds(accepting, st.sampled_from(CHECKS), st.sampled_from(PATTERNS)), max_size=8),
    st.lists(st.builds(finding, st.sampled_from(CHECKS), st.sampled_from(SUBJECTS)), max_size=6),
)
def test_each_finding_is_held_against_the_first_suppression_that_covers_it(suppressions, findings):
    first = [next((by for by in suppressions if covers(by, each)), None) for each in findings]
    after = suppress(findings, suppressions, "2026-01-01")
    assert after.findings == tuple(each for each, by in zip(findings, first, strict=True) if by is None)
    assert [id(by) for _, by in after.suppressed] == [id(by) for by in first if by is not None]
    assert [id(each) for each in after.unused] == [
        id(each) for each in suppressions if all(each is not by for by in first)
    ]


def covers(suppression: Suppression, of: LintFinding) -> bool:
    return suppression.check == of.check and fnmatchcase(of.place.subject, suppression.policy)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("- {id: shadowed-rule, policy: prod/*, reason: x, expires: 2027-01-31}", "needs owner"),
        ("- {id: shadowed-rule, policy: prod/*, owner: x, reason: ' ', expires: 2027-01-31}", "needs reason"),
        ("- {id: shadowed-rule, policy: prod/*, owner: x, reason: x}", "needs expires"),
        (
            "- {id: shadowed-rule, policy: prod/*, owner: x, reason: x, expires: 2027-02-29}",
            "'2027-02-29' is not a valid date",
        ),
        ("- {id: shadowed-rule, policy: prod/*, owner: x, reason: x, expires: soon}", "'soon' is not a valid date"),
        (
            "- {id: shadow-rule, policy: prod/*, owner: x, reason: x, expires: 2027-01-31}",
            "did you mean shadowed-rule?",
        ),
        (
            "- {id: shadowed-rule, polcy: prod/*, policy: a, owner: x, reason: x, expires: 2027-01-31}",
            "unknown field 'polcy'",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_said_with_its_line(entry, said):
    with pytest.raises(InputError) as caught:
        read(HEAD + entry + "\n")
    (problem,) = caught.value.problems
    assert said in problem.message
    assert problem.line == 3


def test_another_schema_is_refused():
    with pytest.raises(InputError, match=r"accepted.yaml:1: schema: must be audit.suppressions/v1"):
        read("schema: other\nsuppressions: []\n")
