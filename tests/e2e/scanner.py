"""Tries every TCP port of some addresses; runs by itself, in a container that has only Python.

    python -c "$(cat scanner.py)" ADDRESS …

Prints a JSON object: the open ports of each address. An error that says nothing about the port (no
free file descriptor, no route) ends the scan: taken for "closed", it would find nothing anywhere.

The kernel shakes hands, whether this process gets any time or not: it is asked after a while what
came of many tries at once. So a busy machine makes the scan slow, not blind. The addresses are
tried side by side: one whose ports are known shows what the scan finds of the others.
"""

from __future__ import annotations

import errno
import json
import select
import socket
import sys
import time
from collections.abc import Sequence
from itertools import islice, product

SECONDS = 1.5
"""How long an answer may take: the machine is this one, but a lost packet is sent again."""
AT_ONCE = 8000
"""Ports that are tried at once; the process needs as many file descriptors, and some more."""
_CLOSED = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ETIMEDOUT}
_OPEN = {0, errno.ECONNRESET, errno.EPIPE}
"""Who is not let in is refused; a connection that is reset was one: it was accepted, then ended."""
_UNDECIDED = errno.EINPROGRESS


def scan(
    addresses: Sequence[str], ports: range = range(1, 65536), at_once: int = AT_ONCE
) -> dict[str, list[int]]:
    """The open ports of each address."""
    found: dict[str, list[int]] = {address: [] for address in addresses}
    left = product(ports, addresses)
    while tries := list(islice(left, at_once)):
        for port, address in _open(tries):
            found[address].append(port)
    return {address: sorted(ports) for address, ports in found.items()}


def _open(tries: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Those of some ports that are open."""
    waiting: dict[int, tuple[socket.socket, tuple[int, str]]] = {}
    found = []
    poll = select.poll()
    try:
        for port, address in tries:
            one = socket.socket()
            waiting[one.fileno()] = (one, (port, address))
            one.setblocking(False)
            said = one.connect_ex((address, port))
            if said == _UNDECIDED:
                poll.register(one, select.POLLOUT)
            else:
                waiting.pop(one.fileno())
                one.close()
                if _says_open(said):
                    found.append((port, address))
        deadline = time.monotonic() + SECONDS
        while waiting:
            left = max(deadline - time.monotonic(), 0)
            for number, _ in poll.poll(left * 1000):
                one, tried = waiting.pop(number)
                poll.unregister(number)
                said = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                one.close()
                if _says_open(said):
                    found.append(tried)
            if not left:
                break
    finally:
        for one, _ in waiting.values():
            one.close()
    return found


def _says_open(said: int) -> bool:
    if said not in _CLOSED | _OPEN:
        raise OSError(said, errno.errorcode.get(said, "unknown"))
    return said in _OPEN


if __name__ == "__main__":
    print(json.dumps(scan(sys.argv[1:])))  # noqa: T201
