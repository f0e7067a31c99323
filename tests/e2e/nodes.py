"""What happens to nodes: done by the programme that ``--e2e-faults`` names, for the API can't do it.

It is called with ``stop-apiserver SECONDS``, which returns when the API server answers again, and ``stop-kubelet``,
``start-kubelet``, ``pause``, ``unpause``, ``stop`` or ``start`` and a node's name. tests/e2e/cluster/node is one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

UNDONE_BY = {"stop-kubelet": "start-kubelet", "pause": "unpause", "stop": "start"}
PATIENCE = 200


@dataclass(frozen=True)
class Nodes:
    """The programme."""

    programme: str

    def do(self, what: str, which: str) -> None:
        """Do it, and return when it is done."""
        subprocess.run([self.programme, what, which], check=True, timeout=PATIENCE)

    @contextmanager
    def while_(self, what: str, node: str) -> Iterator[None]:
        """Do it to ``node``, and undo it afterwards."""
        self.do(what, node)
        try:
            yield
        finally:
            self.do(UNDONE_BY[what], node)
