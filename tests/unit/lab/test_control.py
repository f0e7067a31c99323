"""The line to the lab's supervisor: requests that are cancelled leave it usable."""

import asyncio
import os
import socket
from types import SimpleNamespace

from auditor.cluster.lab import wire
from auditor.cluster.lab.control import Control


async def test_a_request_cancelled_in_the_middle_of_its_frame_is_sent_whole():
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    control = Control(SimpleNamespace(pid=0), near, os.memfd_create("diagnostics"))
    try:
        first = asyncio.create_task(control.request("first", text="x" * 4_000_000))
        await asyncio.sleep(0.05)  # more than the socket takes is on its way, and nobody reads
        first.cancel()
        await asyncio.wait([first])
        second = asyncio.create_task(control.request("second"))
        received, done = bytearray(), []
        while len(done) < 2:
            received += await asyncio.wait_for(asyncio.get_running_loop().sock_recv(far, 1 << 20), 10)
            while (message := wire.decode(received)) is not None:
                done.append(message)
        await asyncio.get_running_loop().sock_sendall(far, wire.encode({"id": done[1]["id"], "answer": 7}))
        assert (await asyncio.wait_for(second, 10))["answer"] == 7
        assert [message["do"] for message in done] == ["first", "second"]
        assert first.cancelled()
    finally:
        control._reading.cancel()
        near.close()
        far.close()
        os.close(control._diagnostics)
