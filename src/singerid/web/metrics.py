"""Counters and histograms in the text format of Prometheus.

https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4). Written here, as the
official client (prometheus_client) brings process-wide registries and a server of its own for
what are two kinds of numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Edges of histograms of durations."""

PARTIALS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Edges of the histogram of batches."""


class Counter:
    """A number that grows, one for each set of label values."""

    def __init__(self, name: str, help: str, labels: Sequence[str] = ()) -> None:
        self.name, self.help, self.labels = name, help, tuple(labels)
        self._lock = threading.Lock()
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}

    def add(self, *values: str, amount: float = 1.0) -> None:
        """Count, under these label values."""
        with self._lock:
            self._values[values] = self._values.get(values, 0.0) + amount

    def value(self, *values: str) -> float:
        """What was counted under these label values."""
        return self._values.get(values, 0.0)

    def lines(self) -> list[str]:
        """Of the exposition."""
        with self._lock:
            rows = [
                f"{self.name}{_labels(self.labels, key)} {_number(value)}"
                for key, value in sorted(self._values.items())
            ]
        return [*_head(self.name, self.help, "counter"), *rows]


class Histogram:
    """How often values lay at or below some edges, their sum and number."""

    def __init__(
        self, name: str, help: str, edges: Sequence[float], labels: Sequence[str] = ()
    ) -> None:
        self.name, self.help, self.labels = name, help, tuple(labels)
        self._edges = tuple(edges)
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, ...], tuple[list[int], float]] = {}

    def observe(self, value: float, *values: str) -> None:
        """Add a value, under these label values."""
        with self._lock:
            counts, total = self._rows.get(values) or ([0] * (len(self._edges) + 1), 0.0)
            place = sum(value > edge for edge in self._edges)
            counts[place] += 1
            self._rows[values] = (counts, total + value)

    def lines(self) -> list[str]:
        """Of the exposition."""
        rows = _head(self.name, self.help, "histogram")
        with self._lock:
            for key, (counts, total) in sorted(self._rows.items()):
                below = 0
                for edge, count in zip([*map(_number, self._edges), "+Inf"], counts, strict=True):
                    below += count
                    labels = _labels((*self.labels, "le"), (*key, edge))
                    rows.append(f"{self.name}_bucket{labels} {below}")
                rows.append(f"{self.name}_sum{_labels(self.labels, key)} {_number(total)}")
                rows.append(f"{self.name}_count{_labels(self.labels, key)} {below}")
        return rows


class Gauge:
    """A number that is asked for when it is shown."""

    def __init__(self, name: str, help: str, read: Callable[[], float]) -> None:
        self.name, self.help, self._read = name, help, read

    def lines(self) -> list[str]:
        """Of the exposition."""
        return [*_head(self.name, self.help, "gauge"), f"{self.name} {_number(self._read())}"]


class Metrics:
    """What the service counts."""

    def __init__(self) -> None:
        self.requests = Counter(
            "singerid_requests_total", "Answered requests.", ("method", "route", "status")
        )
        self.refused = Counter(
            "singerid_refused_total", "Requests refused before they were looked at.", ("reason",)
        )
        self.seconds = Histogram(
            "singerid_request_seconds", "From the head of a request to the end of its answer.",
            SECONDS, ("route",),
        )  # fmt: skip
        self.decoding = Histogram(
            "singerid_decode_seconds", "To decode an upload, waiting included.", SECONDS
        )
        self.encoding = Histogram(
            "singerid_encode_seconds", "To embed a recording, waiting included.", SECONDS
        )
        self.batches = Histogram(
            "singerid_batch_partials", "Partials that were encoded at once.", PARTIALS
        )
        self.replaced = Counter(
            "singerid_decoders_replaced_total", "Decoding workers that had to be replaced.",
            ("reason",),
        )  # fmt: skip
        self.audio = Counter("singerid_audio_seconds_total", "Seconds of audio that were heard.")
        self._gauges: list[Gauge] = []

    def add_gauge(self, name: str, help: str, read: Callable[[], float]) -> None:
        """Show a number of somebody else."""
        self._gauges.append(Gauge(name, help, read))

    def text(self) -> str:
        """The exposition of all."""
        kept: list[Any] = [item for item in vars(self).values() if not isinstance(item, list)]
        return "\n".join(line for item in kept + self._gauges for line in item.lines()) + "\n"


def _head(name: str, help: str, kind: str) -> list[str]:
    return [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    text = ",".join(pairs)
    return f"{{{text}}}" if text else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
