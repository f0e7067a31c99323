"""Where the cluster of the suite comes from: ``pytest tests/e2e --kubeconfig FILE``. How it came to be does not matter.

Environment: ``E2E_CNI`` is the path of a manifest or programme that brings another enforcer than the lab's (see
``enforcers.interface``), ``cluster`` where the cluster's own network enforces policies, or ``none`` to run nothing but
the tests that want no enforcer; with ``kube-router`` that one is on the nodes already, and has tests of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import world
from tests.e2e.auditing import held_up
from tests.e2e.enforcers.interface import ClusterNetwork, Enforcer, GivenEnforcer
from tests.e2e.enforcers.nftables import NftablesEnforcer
from tests.e2e.kubectl import Kubectl
from tests.e2e.nodes import Nodes

HERE = Path(__file__).parent
POLICED = (*world.NAMESPACES, world.TENANT, "shop", "netpol-conf-*")
"""The suite's own namespaces, and those that conformance makes."""
LIMIT = 300
"""Seconds for one test: pods are started and ended in most."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("e2e", "a real Kubernetes")
    group.addoption(
        "--kubeconfig", metavar="FILE", help="the cluster to run tests/e2e on, reached through its current context"
    )
    group.addoption(
        "--e2e-image",
        metavar="IMAGE",
        default="audit-e2e/python:3",
        help="an image with Python for pods (default %(default)s)",
    )
    group.addoption(
        "--e2e-node-image",
        metavar="IMAGE",
        help="an image with Python and nft for the node agent (default: the image for pods)",
    )
    group.addoption(
        "--e2e-audit-image",
        metavar="IMAGE",
        help="the image with the auditor for its CronJob, as tests/e2e/cluster/build-audit-image makes it",
    )
    group.addoption(
        "--e2e-report-crds",
        metavar="DIR",
        help="the CustomResourceDefinitions of report objects, as tests/e2e/cluster/report-crds gets them",
    )
    group.addoption(
        "--e2e-policy-crds",
        metavar="DIR",
        help="the CustomResourceDefinitions of administrators' policies, as tests/e2e/cluster/policy-crds gets them",
    )
    group.addoption(
        "--e2e-faults",
        metavar="PROGRAMME",
        help="stops and starts parts of the cluster, as tests/e2e/cluster/node does",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    mine = [item for item in items if item.path.parent == HERE]
    for item in mine:
        item.add_marker(pytest.mark.timeout(LIMIT))
    # What wants the cluster's network as it is comes first; the enforcer stays from its first use on. What breaks the
    # cluster comes last.
    items.sort(key=lambda item: [name in getattr(item, "fixturenames", ()) for name in ("nodes", "enforcer")])
    if config.getoption("kubeconfig", None):
        return
    if any("e2e" in argument for argument in config.args):
        for item in mine:
            item.add_marker(pytest.mark.skip(reason="needs a cluster: pytest tests/e2e --kubeconfig FILE, or make e2e"))
    else:
        config.hook.pytest_deselected(items=mine)
        items[:] = [item for item in items if item not in mine]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if held_up:
        terminalreporter.write_line(
            f"{len(held_up)} audits were watched: at most, an event loop was held up for {max(held_up):.3f} s"
        )


@pytest.fixture(scope="session")
def kubectl(request: pytest.FixtureRequest) -> Kubectl:
    """kubectl for the cluster."""
    assert shutil.which("kubectl"), "the suite needs kubectl on the PATH: https://kubernetes.io/docs/tasks/tools/"
    return Kubectl(str(Path(request.config.getoption("--kubeconfig")).absolute()))


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest) -> str:
    """The image for pods."""
    return str(request.config.getoption("--e2e-image"))


@pytest.fixture(scope="session")
def shop(kubectl: Kubectl, image: str) -> Iterator[None]:
    """The world of ``tests.e2e.world``, up and running."""
    world.build(kubectl, image)
    yield
    kubectl.delete_namespaces(world.NAMESPACES)


@pytest.fixture
def plain(shop: None) -> None:
    """The shop on the cluster's network as it is, which is one that enforces nothing."""
    if os.environ.get("E2E_CNI") == "cluster":
        pytest.skip("E2E_CNI=cluster: this cluster's network enforces policies")


@pytest.fixture(scope="session")
def enforcer(request: pytest.FixtureRequest, kubectl: Kubectl, image: str) -> Iterator[Enforcer]:
    """Whatever enforces policies, from now on until the end."""
    given = os.environ.get("E2E_CNI", "")
    if given in ("none", "kube-router"):
        pytest.skip(f"E2E_CNI={given}: nothing is to be put on this cluster's network")
    if given == "cluster":
        yield ClusterNetwork()
        return
    node_image = request.config.getoption("--e2e-node-image") or image
    with GivenEnforcer(kubectl, Path(given)) if given else NftablesEnforcer(kubectl, node_image, POLICED) as found:
        yield found


@pytest.fixture(scope="session")
def nodes(request: pytest.FixtureRequest) -> Nodes:
    """What can happen to nodes."""
    programme = request.config.getoption("--e2e-faults")
    if not programme:
        pytest.skip("needs --e2e-faults PROGRAMME to stop parts of the cluster")
    return Nodes(str(Path(programme).absolute()))


@pytest.fixture
def spec(shop: None, enforcer: Enforcer) -> Enforcer:
    """The enforcer, enforcing the specification."""
    enforcer.use()
    enforcer.settle()
    return enforcer


@pytest.fixture
def faulty(shop: None, enforcer: Enforcer) -> Enforcer:
    """An enforcer that can be told to misunderstand."""
    if not enforcer.dialects:
        pytest.skip("this enforcer can't be told to misunderstand")
    return enforcer
