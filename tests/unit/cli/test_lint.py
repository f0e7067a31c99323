"""``audit lint`` from its arguments to its output."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from auditor.cli.application import run
from auditor.lint import CHECKS
from tests.schemas import validator

DASH = """\
apiVersion: v1
kind: Namespace
metadata: {name: prod, labels: {name: prod}}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: prod, labels: {app: api}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: prod, labels: {app: web}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: prod}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress:
  - from:
    - podSelector: {matchLabels: {app: api}}
    - namespaceSelector: {matchLabels: {name: prod}}
"""
ACCEPTED = """\
schema: audit.suppressions/v1
suppressions:
- {id: two-peers-one-dash, policy: prod/*, owner: shop, reason: meant, expires: %s}
"""


@pytest.fixture
def policies(tmp_path):
    path = tmp_path / "policies.yaml"
    path.write_text(DASH)
    return str(path)


def lint_json(capsys, *arguments, code):
    assert run(["lint", *arguments, "-o", "json"]) == code
    document = json.loads(capsys.readouterr().out)
    validator("lint.schema.json").validate(document)
    return document


def test_a_finding_has_file_line_path_reason_and_what_to_write_instead(policies, capsys):
    document = lint_json(capsys, "-f", policies, code=1)
    (finding,) = [each for each in document["findings"] if each["check"] == "two-peers-one-dash"]
    assert (finding["file"], finding["line"], finding["path"]) == (policies, 22, "spec.ingress[0].from[1]")
    assert finding["why"] == CHECKS["two-peers-one-dash"].why
    assert finding["instead"].endswith(
        "- namespaceSelector: {matchLabels: {name: prod}}\n  podSelector: {matchLabels: {app: api}}"
    )
    assert (document["conclusion"], document["counts"]["warning"]) == ("fail", 1)


def test_the_table_says_the_same_in_words(policies, capsys):
    assert run(["lint", "-f", policies]) == 1
    shown = capsys.readouterr().out
    assert "warning two-peers-one-dash" in shown
    assert f"{policies}:22" in shown
    assert "    - namespaceSelector: {matchLabels: {name: prod}}\n" in shown
    assert f"1 policy of {policies}: 1 warning" in " ".join(shown.split())


def test_the_first_line_tells_whether_it_fails(policies, capsys):
    assert run(["lint", "-f", policies]) == 1
    assert capsys.readouterr().out.startswith("FAIL  1 policy of")
    assert run(["lint", "-f", policies, "--fail-on", "error"]) == 0
    assert capsys.readouterr().out.startswith("PASS  1 policy of")


def test_fail_on_sets_what_fails(policies, capsys):
    assert lint_json(capsys, "-f", policies, "--fail-on", "error", code=0)["conclusion"] == "pass"


def test_junit_fails_the_check_and_no_other(policies, capsys):
    assert run(["lint", "-f", policies, "-o", "junit"]) == 1
    suite = ET.fromstring(capsys.readouterr().out).find("testsuite")  # noqa: S314 - our own output
    failed = [case for case in suite if case.find("failure") is not None]
    assert [case.get("name") for case in failed] == ["two-peers-one-dash"]
    assert (suite.get("tests"), suite.get("failures")) == (str(len(CHECKS)), "1")
    assert "prod/db spec.ingress[0].from[1]" in failed[0].find("failure").text


def test_a_suppression_takes_the_finding_away_and_is_shown(policies, tmp_path, capsys):
    accepted = tmp_path / "accepted.yaml"
    accepted.write_text(ACCEPTED % "9999-12-31")
    document = lint_json(capsys, "-f", policies, "--suppressions", str(accepted), code=0)
    assert [each["suppression"]["owner"] for each in document["suppressed"]] == ["shop"]
    assert document["counts"]["suppressed"] == 1


def test_an_expired_suppression_is_told_and_does_nothing(policies, tmp_path, capsys):
    accepted = tmp_path / "accepted.yaml"
    accepted.write_text(ACCEPTED % "2020-01-01")
    document = lint_json(capsys, "-f", policies, "--suppressions", str(accepted), code=1)
    assert [each["expires"] for each in document["expired_suppressions"]] == ["2020-01-01"]
    assert run(["lint", "-f", policies, "--suppressions", str(accepted)]) == 1
    assert "expired, suppresses nothing:" in capsys.readouterr().out


def test_namespaces_choose_findings(policies, capsys):
    assert run(["lint", "-f", policies, "-n", "prod"]) == 1
    assert run(["lint", "-f", policies, "-n", "dev"]) == 2
    assert "there is no namespace 'dev'" in capsys.readouterr().err


def test_a_suppression_for_another_namespace_is_not_unused(policies, tmp_path, capsys):
    accepted = tmp_path / "accepted.yaml"
    accepted.write_text(ACCEPTED % "9999-12-31")
    more = tmp_path / "more.yaml"
    more.write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: dev}\n")
    document = lint_json(capsys, "-f", policies, "-f", str(more), "-n", "dev", "--suppressions", str(accepted), code=0)
    assert (document["findings"], document["suppressed"], document["unused_suppressions"]) == ([], [], [])


WHOLE = "".join(
    f"---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n" for name in ("default", "kube-system")
)


@pytest.mark.parametrize(
    ("more", "asked", "told"),
    [
        ("", "team: web", [("info", "namespace-label-unknown")]),
        ("", "team: prod", [("warning", "namespace-label-missing")]),
        ("", "kubernetes.io/metadata.name: shop", []),
        (WHOLE, "team: web", [("warning", "namespace-label-missing")]),
        (WHOLE, "kubernetes.io/metadata.name: shop", [("warning", "namespace-name-missing")]),
    ],
)
def test_a_namespace_that_files_leave_out_may_exist_unless_they_are_a_whole_cluster(
    more, asked, told, tmp_path, capsys
):
    path = tmp_path / "policies.yaml"
    path.write_text(DASH.replace("matchLabels: {name: prod}", f"matchLabels: {{{asked}}}") + more)
    grave = any(severity == "warning" for severity, _ in told)
    document = lint_json(capsys, "-f", str(path), code=1 if grave else 0)
    found = [(each["severity"], each["check"]) for each in document["findings"]]
    assert [
        each for each in found if each[1].startswith("namespace-") and each[1] != "namespace-without-policy"
    ] == told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to look at: give -f PATH, or -n NAMESPACE or -A"),
        (["-n", "a", "-A"], "-n and -A exclude each other"),
        (["-f", "x.yaml", "-A"], "-f and -A exclude each other"),
        (["--explain", "two-peer-one-dash"], "did you mean two-peers-one-dash?"),
        (["-f", "x.yaml", "--suppressions", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_wrong_usage_says_what_to_do(arguments, said, capsys):
    assert run(["lint", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_what_the_reader_refuses_is_refused_here_too(tmp_path, capsys):
    path = tmp_path / "policy.yaml"
    path.write_text(
        DASH.replace(
            "namespaceSelector: {matchLabels: {name: prod}}", "ipBlock: {cidr: 10.0.0.0/16, except: [10.1.0.0/24]}"
        )
    )
    assert run(["lint", "-f", str(path)]) == 2
    assert (
        "policy.yaml:22: spec.ingress[0].from[1].ipBlock.except[0]: 10.1.0.0/24 must be inside"
        in capsys.readouterr().err
    )


def test_list_and_explain_tell_of_every_check(capsys):
    assert run(["lint", "--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(CHECKS)
    for check in CHECKS.values():
        assert run(["lint", "--explain", check.id]) == 0
        assert check.why in capsys.readouterr().out


def test_each_check_is_documented():
    page = (Path(__file__).parents[3] / "docs" / "lint.md").read_text(encoding="utf-8")
    headings = [line.removeprefix("### ") for line in page.splitlines() if line.startswith("### ")]
    assert [check for check in CHECKS if check not in headings] == []
    assert [check.reference for check in CHECKS.values() if check.reference not in page] == []


POLICY = """\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: n%d}
spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {name: %s}}}]}]}
"""


def test_one_cause_is_one_finding_with_all_its_places(tmp_path, capsys):
    path = tmp_path / "policies.yaml"
    path.write_text("".join(POLICY % (number, "kube-system") for number in range(5)))
    document = lint_json(capsys, "-f", str(path), code=0)
    (finding,) = document["findings"]
    assert (finding["check"], finding["count"], finding["selector"]) == (
        "namespace-label-unknown",
        5,
        "name=kube-system",
    )
    assert [each["object"] for each in finding["others"]] == ["n1/p", "n2/p", "n3/p", "n4/p"]
    assert run(["lint", "-f", str(path)]) == 0
    assert "also" in capsys.readouterr().out


@pytest.mark.parametrize(("selector", "left"), [("name=kube-*", 0), ("name=x*", 1)])
def test_a_suppression_may_ask_for_a_selector(selector, left, tmp_path, capsys):
    path, accepted = tmp_path / "policies.yaml", tmp_path / "accepted.yaml"
    path.write_text(POLICY % (0, "kube-system"))
    entry = f"- {{id: namespace-label-unknown, policy: '*', selector: '{selector}', owner: a, reason: b, expires: "
    accepted.write_text(f"schema: audit.suppressions/v1\nsuppressions:\n{entry}9999-12-31}}\n")
    document = lint_json(capsys, "-f", str(path), "--suppressions", str(accepted), code=0)
    assert (len(document["findings"]), len(document["suppressed"])) == (left, 1 - left)


def test_of_many_findings_a_summary_comes_first_and_few_are_shown(tmp_path, capsys):
    path = tmp_path / "policies.yaml"
    path.write_text("".join(POLICY % (number, f"team-{number}") for number in range(3000)))
    assert run(["lint", "-f", str(path)]) == 0
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) < 200
    assert "namespace-label-unknown  3,000 findings" in shown
    assert "--full prints them" in shown
    path.write_text("".join(POLICY % (number, f"team-{number}") for number in range(30)))
    assert run(["lint", "-f", str(path), "--full"]) == 0
    assert capsys.readouterr().out.count("info namespace-label-unknown") == 30


def test_what_could_not_be_checked_is_said(policies, tmp_path, capsys):
    path = tmp_path / "alone.yaml"
    path.write_text(POLICY % (0, "kube-system"))
    assert "no pod of any namespace is in the input" in lint_json(capsys, "-f", str(path), code=0)["not_checked"][0]
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: other}\n")
    (said,) = lint_json(capsys, "-f", str(path), "-f", str(elsewhere), code=3)["not_checked"]
    assert "no pod of any namespace with policies is in the input" in said
    assert "no pod of n0 is" in lint_json(capsys, "-f", str(path), "-f", policies, code=1)["not_checked"][0]
    assert lint_json(capsys, "-f", policies, code=1)["not_checked"] == []
    assert run(["lint", "-f", str(path)]) == 0
    assert "not checked: which pods selectors match" in capsys.readouterr().out


def test_where_there_is_no_policy_nothing_passes(tmp_path, capsys):
    path = tmp_path / "pods.yaml"
    path.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\n")
    assert lint_json(capsys, "-f", str(path), code=3)["conclusion"] == "inconclusive"
    assert run(["lint", "-f", str(path)]) == 3
    assert capsys.readouterr().out.startswith("INCONCLUSIVE  0 policies")


ELSEWHERE = "tests/corpus/namespaces-by-kustomizations"


OF_ADMINISTRATORS = """\
apiVersion: policy.networking.k8s.io/v1beta1
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {}}
  ingress:
  - {action: Deny, from: [{namespaces: {matchLabels: {team: spies}}}]}
"""
OF_A_CNI = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: guard, namespace: prod}
spec: {endpointSelector: {}}
"""
WHOLE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: prod}\n---\n" + DASH.split("---\n")[1]


def test_administrators_policies_alone_are_checked_and_counted(tmp_path, capsys):
    path = tmp_path / "guard.yaml"
    path.write_text(OF_ADMINISTRATORS)
    report = lint_json(capsys, "-f", str(path), code=0)
    assert (report["policies"], report["findings"]) == (1, [])  # for no pod of those that are not there
    assert ["administrators" in why and "no pod is in the input" in why for why in report["not_checked"]] == [True]
    path.write_text(f"{WHOLE}---\n{OF_ADMINISTRATORS}")
    report = lint_json(capsys, "-f", str(path), code=0)
    assert (report["policies"], report["not_checked"]) == (1, [])
    path.write_text(
        f"{WHOLE}---\n{OF_ADMINISTRATORS.replace('{namespaces: {}}', '{namespaces: {matchLabels: {a: b}}}')}"
    )
    report = lint_json(capsys, "-f", str(path), code=0)
    assert [finding["check"] for finding in report["findings"]] == ["admin-subject-matches-nothing"]


def test_where_only_a_cnis_own_policies_are_nothing_passes(tmp_path, capsys):
    path = tmp_path / "guard.yaml"
    path.write_text(f"{WHOLE}---\n{OF_A_CNI}")
    report = lint_json(capsys, "-f", str(path), code=3)
    assert report["not_checked"] == ["no network policy is in the input: nothing was checked"]


def shadowed(capsys, *arguments):
    run(["lint", "-R", "-o", "json", *arguments])
    found = json.loads(capsys.readouterr().out)["findings"]
    return [each["message"] for each in found if each["check"] == "shadowed-rule"]


def test_policies_that_kustomizations_put_into_namespaces_make_each_other_superfluous_nowhere(capsys, tmp_path):
    """Not written namespaces are the same only where nobody sets them: in one directory, or by -n."""
    files = {path.parent.name: path.read_text() for path in Path(ELSEWHERE).glob("*/policy.yaml")}
    assert shadowed(capsys, "-f", ELSEWHERE) == []
    assert len(shadowed(capsys, "-f", ELSEWHERE, "-n", "shop")) == 1
    (tmp_path / "all.yaml").write_text("---\n".join(files.values()))
    assert len(shadowed(capsys, "-f", str(tmp_path))) == 1
    for name, text in files.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.yaml").write_text(text.replace("metadata: {", "metadata: {namespace: shop, "))
    (tmp_path / "all.yaml").unlink()
    assert len(shadowed(capsys, "-f", str(tmp_path))) == 1
