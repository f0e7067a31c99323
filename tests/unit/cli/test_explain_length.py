"""An explanation fits on a screen, however much there is to say."""

from __future__ import annotations

import pytest

from auditor.cli.application import run

POD = """---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: prod, labels: {{app: {app}}}}}
spec: {{containers: [{{name: c, image: x}}]}}
status: {{phase: Running, podIP: {address}}}
"""
SERVICE = """---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: prod}
spec: {selector: {app: db}, ports: [{port: 80}]}
"""
POLICY = """---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: p{number}, namespace: prod}}
spec:
  podSelector: {{matchLabels: {{app: db}}}}
  ingress:
  - from:
"""
SCREEN = 24


@pytest.fixture
def explain(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")

    def explained(*, pods=1, policies=1, peers="", ask):
        text = POD.format(name="web", app="web", address="10.1.0.4") + SERVICE
        text += "".join(POD.format(name=f"db-{number}", app="db", address=f"10.1.1.{number}") for number in range(pods))
        text += "".join(POLICY.format(number=number) + peers for number in range(policies))
        path = tmp_path / "a.yaml"
        path.write_text(text)
        monkeypatch.chdir(tmp_path)
        run(["explain", "-f", path.name, *ask.split()])
        return capfd.readouterr().out

    return explained


BLOCKS = "".join(f"    - ipBlock: {{cidr: 198.51.{number // 250}.{number % 250}/32}}\n" for number in range(500))
LABELS = "".join(f"    - podSelector: {{matchLabels: {{app: a{number}}}}}\n" for number in range(100))


def test_five_hundred_blocks_are_one_line(explain):
    told = " ".join(explain(peers=BLOCKS, ask="prod/web prod/db-0 80").split())
    assert "none of 500 ipBlocks, such as 198.51.0.0/32, holds 10.1.0.4" in told
    assert told.count("198.51") == 1


@pytest.mark.parametrize(
    ("ask", "peers"),
    [
        ("prod/web prod/db-0 80", BLOCKS + LABELS),
        ("prod/web service/prod/db 80", BLOCKS),
        ("prod/web service/prod/db 80", LABELS),
    ],
)
def test_many_policies_peers_and_backends_fit_on_a_screen(explain, ask, peers):
    told = explain(pods=30, policies=20, peers=peers, ask=ask)
    assert len(told.splitlines()) <= SCREEN
    assert "more" in told


def test_a_few_blocks_are_named_each(explain):
    few = "".join(BLOCKS.splitlines(keepends=True)[:3])
    told = " ".join(explain(peers=few, ask="prod/web prod/db-0 80").split())
    assert told.count("is outside") == 3
