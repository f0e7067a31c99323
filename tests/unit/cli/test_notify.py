"""``--notify``: what a webhook gets, when it gets nothing, and that it never costs a run."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import click
import pytest
from prometheus_client.parser import text_string_to_metric_families

from auditor.cli import sending
from auditor.cli.nightly import NightlyOptions, after_run, read_nightly
from auditor.cli.notify import FORMATS, Group, Webhook, metrics_for, news_for, read_gateway, read_webhooks
from auditor.cli.sending import send
from auditor.model.standing import FailOn
from auditor.model.verdict import Result
from auditor.report.as_metrics import metric_lines
from auditor.report.message import BODIES, LONGEST, message_of
from tests.unit.history.nights import pod, run_of, tried

WEB, DB = pod("prod/web"), pod("prod/db", "n2")
CLEAN = run_of([WEB, DB], [tried(WEB, DB), tried(DB, WEB)])
LEAKY = run_of([WEB, DB], [tried(WEB, DB, Result.LEAK), tried(DB, WEB)])
UNSURE = run_of([WEB, DB], [tried(WEB, DB, Result.INCONCLUSIVE), tried(DB, WEB)])


@pytest.fixture
def server():
    """A webhook on this machine: ``got`` has the bodies, ``answers`` the next status codes (then 200)."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_json = self.headers["Content-Type"] == "application/json"
            made.paths.append(self.path)
            made.got.append((self.headers["Content-Type"], json.loads(body) if is_json else body.decode()))
            self.send_response(made.answers.pop(0) if made.answers else 200)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()

        def log_message(self, *_):
            pass

    made = HTTPServer(("127.0.0.1", 0), Handler)
    made.got, made.answers, made.paths = [], [], []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(sending, "PAUSE", 0.0)


def hook(server, chosen="json"):
    return Webhook(chosen, f"http://127.0.0.1:{server.server_port}/secret")


def test_nights_of_which_one_brings_a_leak_and_one_takes_it_away(server, tmp_path):
    options = NightlyOptions(str(tmp_path), fail_on=FailOn.NEW, webhooks=(hook(server),))
    sent = []
    for day, each in enumerate([CLEAN, LEAKY, LEAKY, CLEAN, CLEAN], 1):
        before = read_nightly(options)
        after_run(replace(each, began=f"2026-11-0{day}T02:00:00Z"), before)
        sent.append(len(server.got))
    assert sent == [0, 1, 1, 2, 2]
    (kind, leak), (_, gone) = server.got
    assert kind == "application/json"
    assert leak["text"].startswith("FAIL ")
    assert [(each["kind"], each["age"]) for each in leak["new"]] == [("leak", "new")]
    assert (gone["new"], [each["kind"] for each in gone["gone"]]) == ([], ["leak"])


def test_without_anything_to_compare_with_each_finding_is_news():
    assert message_of(CLEAN) is None
    assert "leak: " in message_of(LEAKY).text


def test_a_run_without_a_verdict_is_news_once():
    assert message_of(UNSURE, "pass") is not None
    assert message_of(UNSURE, "") is not None
    assert message_of(UNSURE, "inconclusive") is None


@pytest.mark.parametrize("chosen", FORMATS)
def test_each_format_is_sent(server, chosen, capfd):
    send(news_for(message_of(LEAKY), [hook(server, chosen)]))
    assert [body for _, body in server.got] == [BODIES[chosen](message_of(LEAKY))]
    assert capfd.readouterr().err == ""


def test_names_are_no_markup():
    hostile = replace(LEAKY, subject="<!channel> & [here](http://x) *b*\x1b[31m")
    slack = BODIES["slack"](message_of(hostile))["text"]
    assert "&lt;!channel&gt; &amp; [here]" in slack
    assert "\x1b" not in slack
    (card,) = BODIES["teams"](message_of(hostile))["attachments"]
    assert r"\[here\](http://x) \*b\*" in card["content"]["body"][0]["text"]


def test_a_message_has_a_bound():
    pods = [pod(f"prod/{'x' * 50}{n}") for n in range(200)]
    many = run_of(pods, [tried(one, pods[0], Result.LEAK) for one in pods[1:]])
    assert len(message_of(many).text) <= LONGEST + 1


@pytest.mark.parametrize(
    ("answers", "trouble", "tried_times"),
    [
        ([404], "HTTP 404", 1),
        ([302], "HTTP 302", 1),
        ([500, 500], "HTTP 500", 2),
        ([429], "", 2),
        ([503], "", 2),
    ],
)
def test_what_is_not_taken_is_told_without_the_secret_and_what_may_pass_is_tried_again(
    server, capfd, answers, trouble, tried_times
):
    server.answers = answers
    send(news_for(message_of(LEAKY), [hook(server)]))
    told = f"warning: --notify json=127.0.0.1: {trouble}; nothing was sent there\n" if trouble else ""
    assert capfd.readouterr().err == told
    assert len(server.got) == tried_times


def test_nobody_there_is_a_line_and_the_others_are_told(server, capfd):
    send(news_for(message_of(LEAKY), [Webhook("json", "http://127.0.0.1:1/secret"), hook(server)]))
    told = capfd.readouterr().err
    assert told == "warning: --notify json=127.0.0.1: connection refused; nothing was sent there\n"
    assert len(server.got) == 1


@pytest.mark.parametrize(
    ("value", "chosen"),
    [
        ("https://hooks.slack.com/services/T/B/x", "slack"),
        ("https://acme.webhook.office.com/webhookb2/x", "teams"),
        ("https://prod-1.westeurope.logic.azure.com:443/workflows/x?sig=y", "teams"),
        ("https://example.com/?a=b", "json"),
        ("slack=https://mattermost.example.com/hooks/x", "slack"),
        ("json=https://hooks.slack.com/services/x", "json"),
        ("https://evilhooks.slack.com/x", "json"),
    ],
)
def test_the_format_is_as_asked_or_as_the_host_wants_it(value, chosen):
    (webhook,) = read_webhooks(None, None, (value,))
    assert webhook.format == chosen
    assert webhook.url == value.removeprefix(f"{chosen}=")


@pytest.mark.parametrize(
    "value",
    ["", "hooks.slack.com/secret", "ftp://x/secret", "xml=https://x/secret", "http://[secret", "https:///secret"],
)
def test_what_is_no_address_is_refused_and_not_repeated(value):
    with pytest.raises(click.BadParameter) as caught:
        read_webhooks(None, None, (value,))
    assert "secret" not in str(caught.value)


NIGHT = Group("netpol-audit")


@pytest.mark.parametrize(
    ("group", "path"),
    [
        (Group("j", "prod"), "/scope/prod"),
        (Group("j", "dev,prod"), "/scope/dev,prod"),
        (Group("j", part="--to prod/db"), "/part@base64/LS10byBwcm9kL2Ri"),
        (Group("j", "prod", "-l app in (a)"), "/scope/prod/part@base64/LWwgYXBwIGluIChhKQ=="),
    ],
)
def test_a_run_that_looks_at_less_has_a_group_of_its_own(group, path):
    assert str(group) == f"/metrics/job/j{path}"


def test_a_long_list_of_namespaces_makes_a_short_group_and_no_two_the_same():
    one, other = (Group("j", ",".join(f"namespace-{each}" for each in range(500 + more))) for more in (0, 1))
    assert str(one) != str(other)
    assert len(str(one)) < 400


@pytest.mark.parametrize("path", ["/metrics/job", "/metrics/job/", "/metrics/jobs/x"])
def test_a_group_without_a_name_is_refused(path):
    with pytest.raises(click.BadParameter, match="it names no job"):
        read_gateway(None, None, f"http://127.0.0.1:9091{path}")


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("", "/metrics/job/netpol-audit"),
        ("/", "/metrics/job/netpol-audit"),
        ("/metrics/job/x/cluster/y", "/metrics/job/x/cluster/y"),
        ("/metrics/job@base64/eA==", "/metrics/job@base64/eA=="),
        ("/behind/a/proxy", "/behind/a/proxy/metrics/job/netpol-audit"),
    ],
)
def test_metrics_are_pushed_in_what_a_pushgateway_reads(server, path, group):
    send(
        metrics_for(
            metric_lines(LEAKY), read_gateway(None, None, f"http://127.0.0.1:{server.server_port}{path}"), NIGHT
        )
    )
    assert server.paths == [group]
    ((kind, text),) = server.got
    assert kind.startswith("text/plain; version=0.0.4")
    assert "netpol_audit_conclusion" in {family.name for family in text_string_to_metric_families(text)}


def test_findings_that_are_gone_do_not_stay_at_a_pushgateway(server):
    """A POST replaces the series of each name in it; a name without any series is none of them."""
    kept = {}
    for report in (LEAKY, CLEAN):
        send(metrics_for(metric_lines(report), f"http://127.0.0.1:{server.server_port}/metrics/job/x", NIGHT))
        families = text_string_to_metric_families(server.got[-1][1])
        kept |= {family.name: family.samples for family in families if family.samples}
        found = [each.value for each in kept["netpol_audit_findings"]]
        assert found == [report.summary.leaks]


def test_a_pushgateway_that_is_away_costs_a_line(capfd):
    send(metrics_for(metric_lines(LEAKY), "http://127.0.0.1:1/metrics/job/x", NIGHT))
    assert capfd.readouterr().err == "warning: --push 127.0.0.1: connection refused; nothing was sent there\n"
    send(metrics_for(metric_lines(LEAKY), None, NIGHT))
    with pytest.raises(click.BadParameter):
        read_gateway(None, None, "pushgateway:9091")
