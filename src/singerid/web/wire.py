"""Messages between the service and its decoding workers: JSON, then plain bytes.

A message is ``n_json (4 bytes) · n_payloads (4) · length of each (8 each) · JSON · payloads``,
lengths in network order. The service trusts no length: see `receive_payloads`.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

from singerid.json_lines import parse

_MOST_JSON = 1 << 20
_MOST_PAYLOADS = 4


def send_message(connection: socket.socket, message: dict[str, Any], *payloads: bytes) -> None:
    """Send JSON and what belongs to it.

    Raises:
        OSError: the other side has gone, or does not read in time.
    """
    text = json.dumps(message).encode()
    head = struct.pack(f"!II{len(payloads)}Q", len(text), len(payloads), *map(len, payloads))
    connection.sendall(head + text)
    for payload in payloads:
        connection.sendall(payload)


def receive_message(connection: socket.socket, deadline: float | None = None) -> dict[str, Any]:
    """A message without payloads.

    Raises:
        EOFError: the other side has gone.
        OSError: see `receive_payloads`.
    """
    return receive_payloads(connection, 0, deadline)[0]


def receive_payloads(
    connection: socket.socket, most_bytes: int, deadline: float | None = None
) -> tuple[dict[str, Any], list[bytearray]]:
    """A message with its payloads.

    Args:
        connection: blocking.
        most_bytes: of all payloads together.
        deadline: by `time.monotonic`; None: wait for ever.

    Raises:
        EOFError: the other side has gone.
        TimeoutError: not all came in time.
        OSError: the message is longer than it may be, or no message.
    """
    n_json, n_payloads = struct.unpack("!II", _exactly(connection, 8, deadline))
    if n_json > _MOST_JSON or n_payloads > _MOST_PAYLOADS:
        raise OSError("not a message")
    lengths: Sequence[int] = struct.unpack(
        f"!{n_payloads}Q", _exactly(connection, 8 * n_payloads, deadline)
    )
    if sum(lengths) > most_bytes:
        raise OSError("a message that is too long")
    try:
        message = parse(bytes(_exactly(connection, n_json, deadline)))
    except ValueError as error:
        raise OSError("not a message") from error
    if not isinstance(message, dict):
        raise OSError("not a message")
    return message, [_exactly(connection, length, deadline) for length in lengths]


def _exactly(connection: socket.socket, n: int, deadline: float | None) -> bytearray:
    data = bytearray(n)
    view = memoryview(data)
    while len(view):
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
        got = connection.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return data
