"""What Prometheus reads: names and labels that stay, few enough of them."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from math import isnan

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from auditor.cli.nightly import NightlyOptions, after_run, read_nightly
from auditor.model.noticing import Noticing
from auditor.model.snapshot import Endpoint, EndpointKind
from auditor.model.standing import FailOn
from auditor.model.verdict import Result
from auditor.report import as_metrics
from auditor.report.registry import RUN, renderer
from tests.unit.history.nights import pod, run_of, tried
from tests.unit.report.reports import small, square

SAMPLE = re.compile(r'(netpol_audit_[a-z_]+)(?:\{((?:[a-z]+="[^"\\\n]*",?)+)\})? (-?[0-9.e+]+|NaN)\Z')
WEB, DB = pod("prod/web"), pod("prod/db", "n2")
LEAKY = run_of([WEB, DB], [tried(WEB, DB, Result.LEAK), tried(DB, WEB)], seconds={"probing": 2.5})


def text(report):
    stream = io.StringIO()
    as_metrics.render(report, stream)
    return stream.getvalue()


def samples(report):
    lines = text(report).splitlines()
    assert lines[-1] == "# EOF"
    return [SAMPLE.match(line).groups() for line in lines if not line.startswith("#")]


def value(report, name, labels=None):
    return [
        float(number) for known, told, number in samples(report) if (known, told) == (f"netpol_audit_{name}", labels)
    ]


def test_the_registry_has_it():
    assert renderer(RUN, "metrics") is as_metrics.render


def test_every_sample_has_a_type_and_a_help_and_stands_once():
    found = samples(small())
    assert len({each[:2] for each in found}) == len(found)
    for name in {each[0] for each in found}:
        assert text(small()).count(f"# TYPE {name} gauge\n") == text(small()).count(f"# HELP {name} ") == 1
        assert not name.endswith("_total")


def test_a_parser_of_openmetrics_reads_it():
    families = list(text_string_to_metric_families(text(LEAKY)))
    assert {family.name for family in families} >= {"netpol_audit_cells", "netpol_audit_findings"}


def test_what_a_run_comes_to():
    assert value(LEAKY, "cells", 'result="leak"') == [1]
    assert value(LEAKY, "findings", 'kind="leak",namespace="prod",age="not-compared"') == [1]
    assert value(LEAKY, "conclusion", 'conclusion="fail"') == [1]
    assert value(LEAKY, "conclusion", 'conclusion="pass"') == [0]
    assert value(LEAKY, "duration_seconds") == [2.5]
    assert value(LEAKY, "last_conclusive_timestamp_seconds") == value(LEAKY, "last_run_timestamp_seconds") != []


def test_a_host_outside_and_a_node_are_in_no_namespace_and_not_in_one_of_that_name():
    backup, machine = Endpoint("host/backup", EndpointKind.HOST), Endpoint("node/n1", EndpointKind.NODE)
    real = pod("host/web")
    outward = run_of([WEB, backup, machine, real], [tried(WEB, each, Result.LEAK) for each in (backup, machine, real)])
    assert value(outward, "findings", 'kind="leak",namespace="host",age="not-compared"') == [1]
    assert value(outward, "findings", 'kind="leak",namespace="",age="not-compared"') == [1]
    assert not value(outward, "findings", 'kind="leak",namespace="node",age="not-compared"')


def test_an_inconclusive_run_has_no_time_of_success():
    unsure = run_of([WEB, DB], [tried(WEB, DB, Result.INCONCLUSIVE)])
    assert value(unsure, "last_run_timestamp_seconds")
    assert not value(unsure, "last_conclusive_timestamp_seconds")


def test_findings_are_told_by_age():
    options = NightlyOptions(fail_on=FailOn.ANY)
    compared = after_run(LEAKY, read_nightly(options))
    assert value(compared, "findings", 'kind="leak",namespace="prod",age="incomparable"') == [1]
    assert value(compared, "failing_findings") == [1]


def test_labels_grow_neither_with_pods_nor_with_runs():
    few, many = (samples(square(size, faults=3)) for size in (6, 30))
    assert len(few) == len(many)
    assert all("r-0123" not in (labels or "") for name, labels, _ in many if name != "netpol_audit_info")
    other = samples(replace(square(6, faults=3), run_id="other"))
    assert sum(one[1] != two[1] for one, two in zip(few, other, strict=True)) == 1


def test_the_share_that_would_be_noticed_is_told_where_it_was_counted():
    assert value(replace(small(), noticing=Noticing(1, 8, 7, 0)), "noticed_ratio") == [0.875]
    (number,) = value(small(), "noticed_ratio")
    assert isnan(number)


def test_no_name_is_left_out_whose_last_series_a_pushgateway_would_keep(tmp_path):
    options = NightlyOptions(str(tmp_path), fail_on=FailOn.NEW)
    names = [
        {name for name, _, _ in samples(each)}
        for each in (
            LEAKY,
            after_run(LEAKY, read_nightly(options)),
            replace(LEAKY, noticing=Noticing(1, 8, 7, 0)),
            small(),
        )
    ]
    times = {"netpol_audit_last_run_timestamp_seconds", "netpol_audit_last_conclusive_timestamp_seconds"}
    assert {frozenset(each - times) for each in names} == {frozenset(names[0] - times)}
    assert value(LEAKY, "failing_findings") == [1]
