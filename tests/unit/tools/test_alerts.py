"""The alert rules do what their tests say, and ask for metrics and labels that a run really has.

So does the dashboard.
"""

from __future__ import annotations

import io
import json
import re
import subprocess

import pytest
import yaml

from auditor.report import as_metrics, scorecard_as_metrics
from tests.unit.report.test_as_metrics import LEAKY
from tests.unit.report.test_scorecard_metrics import CARD
from tests.unit.tools.test_charts import ALL, ROOT, call, helm_text, objects, one, tool

RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
METRIC = re.compile(r"netpol_audit_\w+")
SELECTED = re.compile(r"netpol_audit_\w+\{([^}]*)\}")
LABELS_OF_THE_GROUP = {"job", "part"}


def metrics():
    stream = io.StringIO()
    as_metrics.render(LEAKY, stream)
    scorecard_as_metrics.render(CARD, stream)
    return stream.getvalue().replace("# EOF\n", "", 1)


def expressions():
    rules = [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    return rules + shown()


def shown():
    """What the dashboard's panels ask for."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_promtool_takes_the_rules_and_their_tests():
    for what, path in (("check", RULES), ("test", RULES.with_name("rules_test.yaml"))):
        done = call(tool("promtool"), what, "rules", path)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_has_a_test():
    names = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    tests = yaml.safe_load(RULES.with_name("rules_test.yaml").read_text())["tests"]
    fired = {each["alertname"] for test in tests for each in test.get("alert_rule_test", ()) if each.get("exp_alerts")}
    assert fired == names


def test_promtool_takes_the_metrics():
    done = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=metrics(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("expression", expressions())
def test_what_is_asked_for_is_there(expression):
    text = metrics()
    assert set(METRIC.findall(expression)) <= set(METRIC.findall(text))
    for selected in SELECTED.findall(expression):
        asked = set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", selected))
        assert asked <= LABELS_OF_THE_GROUP | set(re.findall(r"(\w+)=\"", text))


@pytest.mark.parametrize("there", [True, False])
def test_each_panel_shows_what_a_run_says_and_nothing_where_there_was_none(there, tmp_path):
    samples = [line.rpartition(" ")[::2] for line in metrics().splitlines() if not line.startswith("#")]
    series = [{"series": name, "values": f"{float(value):f}+0x10"} for name, value in samples if there]
    has_something = [{"labels": "{}", "value": 1}] if there else []
    asked = [
        {
            "expr": f"count({each.replace('$job', '.*')}) > bool 0",
            "eval_time": "5m",
            "exp_samples": has_something,
        }
        for each in shown()
    ]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": asked}
    path = tmp_path / "test.yaml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "tests": [test]}), encoding="utf-8")
    done = call(tool("promtool"), "test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_chart_has_them_as_they_are():
    items = objects(helm_text(*ALL, "--set", "prometheusRule.enabled=true,prometheusRule.labels.release=prom"))
    rule = one(items, "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(RULES.read_text())
    assert rule["metadata"]["labels"]["release"] == "prom"
    items = objects(helm_text(*ALL, "--set", "dashboard.enabled=true"))
    (found,) = [item for item in items if "grafana_dashboard" in item["metadata"]["labels"]]
    assert json.loads(found["data"]["netpol-audit.json"]) == json.loads(DASHBOARD.read_text())
