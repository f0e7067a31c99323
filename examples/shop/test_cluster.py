"""The shop on a cluster that runs it: pytest test_cluster.py --netpol-kubeconfig FILE --netpol-namespace shop.

Before: kubectl apply -R -f manifests/app, and kubectl create job -n shop --from=cronjob/backup backup-now, so that
there is a backup for probe pods to stand in for.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from auditor.testing import ExpectedCheck, Netpol, netpol_cells

INTENT = Path(__file__).parent / "intent.yaml"


@pytest.mark.parametrize(*netpol_cells(INTENT))
def test_each_connection_is_as_expected(netpol: Netpol, netpol_cell: ExpectedCheck) -> None:
    netpol.assert_expected(netpol_cell)


def test_what_packets_do_is_what_the_policies_say(netpol: Netpol) -> None:
    netpol.assert_no_findings("shop")


def test_nobody_but_the_api_and_the_backup_gets_at_the_data(netpol: Netpol) -> None:
    assert netpol("shop/db").reached_by_only("shop/api", "shop/tier=backup", port=5432)
