"""How often a client may ask: token buckets (a rate, and a burst above it)."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

_MOST_CLIENTS = 10_000


class RateLimit:
    """A bucket a client: full at first, filled steadily, a request takes one token.

    Args:
        per_minute: tokens that a bucket gains in a minute; 0: no limit.
        burst: tokens that it holds.
        clock: seconds.
    """

    def __init__(
        self, per_minute: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second, self._burst, self._clock = per_minute / 60, float(burst), clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_for(self, client: str, cost: float = 1.0) -> float:
        """Take tokens.

        Returns:
            0 if they were there, else the seconds until they will be (none are taken then).
        """
        if not self._per_second:
            return 0.0
        now, name = self._clock(), network_of(client)
        tokens, then = self._buckets.pop(name, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._per_second)
        missing = cost - tokens
        self._buckets[name] = (tokens if missing > 0 else tokens - cost, now)
        if len(self._buckets) > _MOST_CLIENTS:  # who has not asked for longest has a full one
            self._buckets.popitem(last=False)
        return max(0.0, missing / self._per_second)


def network_of(client: str) -> str:
    """The address, or of IPv6 its /64: one customer has 2⁶⁴ of those."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 4:
        return str(address)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or ipaddress.ip_network((address, 64), strict=False))
