"""An agent that does one thing at a time with plain blocking sockets, so that the lab's tests depend on nothing that
probes cleverly.

One JSON request a line, one JSON answer a line. Listeners answer with their own name and the address that asked.
"""

import contextlib
import json
import os
import select
import socket
import sys
import threading
import time
from pathlib import Path

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def serve(read_fd, write_fd):
    held = {}
    with open(read_fd, closefd=False) as lines:
        for line in lines:
            request = json.loads(line)
            answer = globals()["do_" + request.pop("do")](held, **request)
            os.write(write_fd, json.dumps(answer).encode() + b"\n")
    return 0


def do_listen(held, name, tcp=(), udp=()):
    for family, everywhere in ((socket.AF_INET, ""), (socket.AF_INET6, "")):
        for kind, ports in ((socket.SOCK_STREAM, tcp), (socket.SOCK_DGRAM, udp)):
            for port in ports:
                listener = socket.socket(family, kind)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((everywhere, port))
                if kind == socket.SOCK_STREAM:
                    listener.listen(4096)
                target = _accept if kind == socket.SOCK_STREAM else _answer
                threading.Thread(target=target, args=(listener, name), daemon=True).start()
    return "listening"


def _accept(listener, name):
    while True:
        connection, peer = listener.accept()
        threading.Thread(target=_echo, args=(connection, f"{name} {peer[0]}"), daemon=True).start()


def _echo(connection, text):
    with connection:
        try:
            while connection.recv(4096):
                connection.sendall(text.encode())
        except OSError:
            pass


def _answer(listener, name):
    while True:
        _, peer = listener.recvfrom(4096)
        listener.sendto(f"{name} {peer[0]}".encode(), peer)


def do_try(held, address, port, protocol="tcp", timeout=0.4, hold=None, source_port=0):
    """The answer's text, or ``refused``, ``unreachable`` or ``dropped``."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    attempt = socket.socket(FAMILIES[6 if ":" in address else 4], kind)
    attempt.settimeout(timeout)
    try:
        if source_port:
            attempt.bind(("", source_port))
        attempt.connect((address, port))
        if hold:
            held[hold] = attempt
        attempt.send(b"?")
        return attempt.recv(4096).decode()
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "dropped"
    except OSError as error:
        return f"unreachable: {error.strerror}"
    finally:
        if not hold:
            attempt.close()


def do_many(held, address, port, protocol="tcp", count=100, timeout=1.5):
    """How many of ``count`` attempts at once were answered; enough once no more are for ``timeout`` seconds."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    attempts = []
    for _ in range(count):
        attempt = socket.socket(FAMILIES[6 if ":" in address else 4], kind)
        attempt.setblocking(False)
        attempt.connect_ex((address, port))
        attempts.append(attempt)
    _settled(lambda: len(select.select([], attempts, [], 0)[1]), count, timeout)
    for attempt in attempts:
        with contextlib.suppress(OSError):  # TCP that never got through
            attempt.send(b"?")
    answered = _settled(lambda: len(select.select(attempts, [], [], 0)[0]), count, timeout)
    for attempt in attempts:
        attempt.close()
    return answered


def _settled(look, most, timeout):
    """How many ``look()`` finds when they are ``most``, or were no more for ``timeout`` seconds."""
    found, since = 0, time.monotonic()
    while True:
        late = time.monotonic() > since + timeout
        if (now := look()) > found:
            found, since = now, time.monotonic()
        elif late:
            return found
        if found >= most:
            return found
        time.sleep(0.01)


def do_again(held, hold):
    """One more question over a connection that an earlier ``try`` kept."""
    try:
        held[hold].send(b"?")
        return held[hold].recv(4096).decode()
    except OSError as error:
        return type(error).__name__


def do_namespaces(held):
    return {name: str(Path(f"/proc/self/ns/{name}").readlink()) for name in ("net", "mnt", "pid")} | {
        "open": len(list(Path("/proc/self/fd").iterdir()))
    }


def do_die(held):
    print("this agent was told to die", file=sys.stderr)
    os._exit(9)
