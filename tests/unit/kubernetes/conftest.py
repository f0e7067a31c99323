from __future__ import annotations

import copy

import pytest

from tests.unit.kubernetes.fake_api import FakeApi
from tests.unit.kubernetes.objects import OBJECTS


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch, tmp_path):
    proxies = [f"{kind}_proxy" for kind in ("http", "https", "all", "no")]
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", *proxies, *map(str.upper, proxies)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def api():
    with FakeApi(copy.deepcopy(OBJECTS)) as fake:
        yield fake
