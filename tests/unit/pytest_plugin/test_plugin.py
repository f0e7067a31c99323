"""The plugin in suites of other people, by pytester."""

from __future__ import annotations

import sys
from xml.etree import ElementTree as ET

import pytest

from tests.unit.testing.worlds import ONLY_WEB, PODS, SHOP, written

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _plain(pytester, monkeypatch):
    """A suite of its own, with our plugin and no other."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p pytest_netpol -p no:cacheprovider")
    monkeypatch.setenv("PYTHONPATH", str(SHOP.parents[1]))
    written(pytester.path / "prod", PODS, ONLY_WEB)


FIXTURE = """
import pytest
from auditor.testing import netpol_cells, netpol_manifests

@pytest.fixture(scope="module")
def shop():
    return netpol_manifests("prod")
"""


def test_a_suite_that_does_not_use_it_imports_nothing_of_the_auditor(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_plain(request):
            heavy = ("auditor", "kubernetes", "aiohttp", "msgspec", "yaml", "rich", "click", "probes")
            assert "pytest_netpol" in sys.modules
            assert not [name for name in sys.modules if name.partition(".")[0] in heavy]
        """
    )
    done = pytester.run(sys.executable, "-m", "pytest", "-q")
    done.assert_outcomes(passed=1)


def test_failures_show_expectation_rule_and_command_and_xml_has_what_was_asked(pytester):
    pytester.makepyfile(
        FIXTURE
        + """
def test_right(shop):
    assert shop("prod/web").reaches("prod/db", 5432)
    assert not shop("prod/job").reaches("prod/db", 5432)

def test_wrong(shop):
    assert shop("prod/job").reaches("prod/db", 5432)

@pytest.mark.parametrize("negated", [False, True])
def test_not_known(shop, negated):
    assert bool(shop("prod/web").reaches("prod/node", 9100)) is not negated
"""
    )
    done = pytester.runpytest_subprocess("--junitxml=out.xml")
    done.assert_outcomes(passed=1, failed=3)
    done.stdout.fnmatch_lines(
        [
            "*assert <prod/job -> prod/db TCP/5432 is denied (by the policies alone)>*",
            "*network policies*",
            "prod/job -> prod/db TCP/5432 is denied (by the policies alone)",
            "  expected: denied, by the policies",
            "    ingress: prod/db-0 is isolated by prod/db (prod/1.yaml:1), and no rule allows it",
            "  reproduce: audit explain -f prod -R prod/job prod/db TCP/5432",
            "*InconclusiveError*hostNetwork*",
        ]
    )
    cases = {case.get("name"): case for case in ET.parse("out.xml").iter("testcase")}  # noqa: S314 - written by pytest
    assert [each.get("value") for each in cases["test_right"].iter("property")] == [
        "prod/web->prod/db:TCP/5432 reached",
        "prod/job->prod/db:TCP/5432 denied",
    ]


def test_cells_of_an_intent_are_parameters_with_names(pytester):
    (pytester.path / "intent.yaml").write_text(
        "schema: audit.intent/v1\nexpect:\n"
        "- {from: [prod/web, prod/job], to: prod/db, ports: [TCP/5432], verdict: allowed}\n"
    )
    pytester.makepyfile(
        FIXTURE
        + """
@pytest.mark.parametrize(*netpol_cells("intent.yaml"))
def test_cell(shop, netpol_cell):
    shop.assert_expected(netpol_cell)
"""
    )
    done = pytester.runpytest_subprocess("-v")
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(
        [
            "*test_cell?prod/web->prod/db:TCP/5432-allowed? PASSED*",
            "*test_cell?prod/job->prod/db:TCP/5432-allowed? FAILED*",
            "*intent.yaml:3: prod/job -> prod/db TCP/5432 must be allowed*",
        ]
    )


@pytest.mark.slow
def test_no_cluster_named_or_to_be_had_is_never_a_pass(pytester):
    pytester.makepyfile(
        """
        def test_live(netpol):
            assert not netpol("prod/job").reaches("prod/db", 5432)
        """
    )
    done = pytester.runpytest_subprocess()
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*name the cluster: --netpol-kubeconfig FILE*"])
    done = pytester.runpytest_subprocess("--netpol-kubeconfig", "nowhere")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*nowhere*"])
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def netpol_kubeconfig():
            return "made-elsewhere"
        """
    )
    done = pytester.runpytest_subprocess()
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*made-elsewhere*"])


def test_in_a_loop_that_runs_already(pytester):
    pytester.makepyfile(
        """
        import asyncio
        from auditor.testing.running import run_to_end

        async def work():
            return 5

        def test_within():
            async def main():
                return run_to_end(work())

            assert asyncio.run(main()) == 5
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
