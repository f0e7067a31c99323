"""What the policies of the shop say, without a cluster and without a packet."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditor.testing import ExpectedCheck, Netpol, netpol_cells, netpol_manifests

HERE = Path(__file__).parent
INTENT = HERE / "intent.yaml"


@pytest.fixture(scope="module")
def shop() -> Netpol:
    """The shop by its manifests; kubeadm and kind give pods their addresses from this network."""
    return netpol_manifests(HERE / "manifests", pod_networks=["10.244.0.0/16"])


@pytest.mark.parametrize(*netpol_cells(INTENT))
def test_each_connection_is_as_expected(shop: Netpol, netpol_cell: ExpectedCheck) -> None:
    shop.assert_expected(netpol_cell)


def test_the_policies_are_what_was_meant(shop: Netpol) -> None:
    shop.assert_intent(INTENT)
    shop.assert_no_findings("shop")


def test_nobody_but_the_api_and_the_backup_gets_at_the_data(shop: Netpol) -> None:
    assert shop("shop/db").reached_by_only("shop/api", "shop/backup", port=5432)


@pytest.mark.parametrize("policy", sorted((HERE / "broken").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_broken_policy_is_noticed(shop: Netpol, policy: Path) -> None:
    with shop.applied(policy), pytest.raises(AssertionError, match="must be"):
        shop.assert_intent(INTENT)
