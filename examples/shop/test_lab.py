"""The shop with real packets, between network namespaces of this machine. Needs root or user namespaces on Linux."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditor.testing import ExpectedCheck, Netpol, netpol_cells, netpol_lab

HERE = Path(__file__).parent
INTENT = HERE / "intent.yaml"


@pytest.fixture(scope="module")
def shop() -> Netpol:
    return netpol_lab(HERE / "manifests")


@pytest.mark.parametrize(*netpol_cells(INTENT))
def test_each_connection_is_as_expected(shop: Netpol, netpol_cell: ExpectedCheck) -> None:
    shop.assert_expected(netpol_cell)


def test_what_packets_do_is_what_the_policies_say(shop: Netpol) -> None:
    shop.assert_no_findings("shop")


def test_nobody_but_the_api_and_the_backup_gets_at_the_data(shop: Netpol) -> None:
    assert shop("shop/db").reached_by_only("shop/api", "shop/backup", port=5432)


def test_a_broken_policy_is_noticed(shop: Netpol) -> None:
    with shop.applied(HERE / "broken" / "extra-dash.yaml"), pytest.raises(AssertionError, match="edge/status"):
        shop.assert_intent(INTENT)
