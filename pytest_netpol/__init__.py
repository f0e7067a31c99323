"""The pytest plugin: options and fixtures for checks of network policies, and what they saw in failures and reports.

pytest imports this module in every session where the package is installed. So it imports nothing of the auditor until a
test asks for it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from auditor.testing.netpol import Netpol

PROPERTY = "netpol"
MOST_SHOWN = 5
PORT = re.compile(r"(?:TCP|UDP|SCTP)/[0-9]{1,5}", re.IGNORECASE)
LOWEST_MEANT, HIGHEST = 20, 65535
"""Numbers below the first are hardly ever ports: counters and the like."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which cluster the fixture ``netpol`` asks."""
    group = parser.getgroup("netpol-audit", "network policies")
    group.addoption("--netpol-kubeconfig", metavar="FILE", help="the kubeconfig of the cluster that netpol asks")
    group.addoption("--netpol-context", metavar="NAME", help="its context (default: the current one)")
    group.addoption(
        "--netpol-namespace",
        metavar="NAME",
        action="append",
        default=[],
        help="audit the pods of this namespace, against all others; may be repeated (default: all namespaces)",
    )
    parser.addini(
        "netpol_ports", "ports that tests ask for besides those that policies, pods and parameters name", "args"
    )
    group.addoption("--netpol-image", metavar="IMAGE", help="the image of the probe pods: any with python3")
    group.addoption(
        "--netpol-all-pods",
        action="store_true",
        help="a probe pod for each audited pod, rather than one for all that no policy tells apart",
    )


@pytest.fixture(scope="session")
def netpol_kubeconfig(request: pytest.FixtureRequest) -> str | Path | None:
    """The kubeconfig of the cluster to ask: override it where another fixture makes the cluster."""
    given = request.config.getoption("--netpol-kubeconfig")
    return None if given is None else str(given)


@pytest.fixture(scope="session")
def netpol(
    request: pytest.FixtureRequest, netpol_kubeconfig: str | Path | None, tmp_path_factory: pytest.TempPathFactory
) -> Netpol:
    """Questions about the live cluster. Skipped, and said to be, where no cluster is named."""
    from auditor.testing import ExpectedCheck, netpol_cluster  # noqa: PLC0415 - imported by those who use it

    config = request.config
    context = config.getoption("--netpol-context")
    if netpol_kubeconfig is None and context is None:
        pytest.fail("name the cluster: --netpol-kubeconfig FILE, --netpol-context NAME, or a fixture netpol_kubeconfig")
    is_worker = hasattr(config, "workerinput")
    asking = netpol_cluster(
        netpol_kubeconfig,
        context=context,
        namespaces=config.getoption("--netpol-namespace"),
        image=config.getoption("--netpol-image"),
        all_pods=config.getoption("--netpol-all-pods"),
        shared=tmp_path_factory.getbasetemp().parent / "netpol-audit" if is_worker else None,
    )
    parameters = list(_parameters(request.session.items))
    checks = [each.check for each in parameters if isinstance(each, ExpectedCheck)]
    asking.expecting(checks, ports=[*config.getini("netpol_ports"), *filter(_is_port, parameters)])
    return asking


def _parameters(items: list[pytest.Item]) -> Iterator[Any]:
    """The parameters of tests that use the cluster; those in tuples and lists one by one."""
    for item in items:
        if "netpol" in getattr(item, "fixturenames", ()):
            yield from _flat(getattr(getattr(item, "callspec", None), "params", {}).values())


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, tuple | list):
            yield from _flat(value)
        else:
            yield value


def _is_port(value: object) -> bool:
    """Whether it could be one that a test asks for. To try one too many does no harm."""
    if isinstance(value, str):
        return PORT.fullmatch(value) is not None
    return isinstance(value, int) and not isinstance(value, bool) and LOWEST_MEANT <= value <= HIGHEST


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Note for the report, and for JUnit, what was asked in the test; where it fails, show the answers in full."""
    _answers()
    try:
        result = yield
    except BaseException as error:
        _show(item, _report(item), str(error))
        raise
    _report(item)
    return result


def _answers() -> list[Any]:
    """What was asked since the last call; nothing where nobody has imported what asks."""
    asked = sys.modules.get("auditor.testing.asked")
    return [] if asked is None else list(asked.take())


def _report(item: pytest.Item) -> list[Any]:
    """Put what was asked in the test into its properties. Returns that."""
    answers = list(dict.fromkeys(_answers()))
    item.user_properties += [(PROPERTY, f"{each.check.id} {each.outcome}") for each in answers]
    item.user_properties += [("netpol-run", run) for run in dict.fromkeys(each.run_id for each in answers) if run]
    return answers


def _show(item: pytest.Item, answers: list[Any], said: str) -> None:
    """Show the last of ``answers`` with a failure, but for those that it has ``said`` itself."""
    shown = [each for each in answers if each.headline not in said or said.startswith("assert ")][-MOST_SHOWN:]
    if shown:
        item.add_report_section("call", "network policies", "\n".join(line for each in shown for line in each.lines))
