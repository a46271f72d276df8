"""Parts of the service that need no service: buckets, counters, logs, batches, messages."""

import json
import logging
import socket
import threading
import time
from collections import deque

import numpy as np
import pytest

from singerid.errors import AudioError, SingeridError
from singerid.sections import ServeSettings
from singerid.web.access import is_local
from singerid.web.batching import Batcher, Prepared
from singerid.web.logs import JsonLines, identity_of, request_id
from singerid.web.metrics import Counter, Histogram, Metrics
from singerid.web.rate import RateLimit, network_of
from singerid.web.uploads import Uploads, display_name
from singerid.web.wire import receive_payloads, send_message
from web_app import judge, sung


def test_a_bucket_empties_and_fills():
    now = 0.0
    limit = RateLimit(60, 3, lambda: now)
    assert [limit.wait_for("a") for _ in range(3)] == [0, 0, 0]
    assert limit.wait_for("a") == pytest.approx(1)
    assert limit.wait_for("b") == 0
    now = 0.5
    assert limit.wait_for("a") == pytest.approx(0.5)  # the refused one took nothing
    now = 1.0
    assert limit.wait_for("a") == 0
    now = 1000.0
    assert [limit.wait_for("a") == 0 for _ in range(4)] == [True, True, True, False]
    assert RateLimit(0, 1).wait_for("a") == RateLimit(0, 1).wait_for("a") == 0
    assert limit.wait_for("c", 0.1) == 0


def test_buckets_do_not_pile_up():
    limit = RateLimit(60, 1, lambda: 0.0)
    for number in range(12_000):
        limit.wait_for(str(number))
    assert len(limit._buckets) == 10_000


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("unix", "unix"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
    ],
)  # fmt: skip
def test_networks(address, network):
    assert network_of(address) == network


def test_exposition_of_counters_and_histograms():
    counter = Counter("n_total", "Things.", ("kind",))
    counter.add('a"b\\c\nd')
    counter.add("x", amount=2.5)
    assert counter.lines() == [
        "# HELP n_total Things.", "# TYPE n_total counter",
        'n_total{kind="a\\"b\\\\c\\nd"} 1', 'n_total{kind="x"} 2.5',
    ]  # fmt: skip
    histogram = Histogram("s", "Seconds.", (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7):
        histogram.observe(value)
    assert histogram.lines()[2:] == [
        's_bucket{le="0.1"} 2', 's_bucket{le="1"} 3', 's_bucket{le="+Inf"} 4',
        "s_sum 7.65", "s_count 4",
    ]  # fmt: skip
    metrics = Metrics()
    metrics.add_gauge("g", "Now.", lambda: 3.0)
    assert metrics.text().endswith("# HELP g Now.\n# TYPE g gauge\ng 3\n")


def test_log_lines_are_json():
    record = logging.LogRecord("x", logging.INFO, "f", 1, "request", (), None)
    record.data = {"route": "/x", "text": 'a\n"b"'}
    token = request_id.set("abc")
    line = JsonLines().format(record)
    request_id.reset(token)
    assert "\n" not in line
    parsed = json.loads(line)
    assert parsed.pop("time").endswith("+00:00")
    assert parsed == {
        "level": "info", "event": "request", "request": "abc", "route": "/x", "text": 'a\n"b"',
    }  # fmt: skip


def test_only_harmless_ids_are_taken():
    assert identity_of("a-1_B.2") == "a-1_B.2"
    for bad in (None, "", "a b", "x" * 65, "a\n", 'x"'):
        assert identity_of(bad) != bad
        assert len(identity_of(bad)) == 16


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("/etc/passwd", "passwd"), ("..\\..\\boot.ini", "boot.ini"), ("a\nb.wav", "a\\nb.wav"),
        ("..", ".."), (None, "recording"), ("x/", "recording"), ("y" * 300, "y" * 120),
    ],
)  # fmt: skip
def test_names_of_uploads_are_for_showing(given, shown, tmp_path):
    assert display_name(given) == shown
    uploads = Uploads()
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    with path.open("rb") as file, uploads.kept(file, given) as kept:
        assert kept.path.parent == uploads._folder
        assert kept.path.read_bytes() == b"abc"
        assert kept.path.parent.stat().st_mode & 0o077 == 0
    assert not kept.path.exists()
    uploads.close()
    assert not uploads._folder.exists()


def test_messages_come_whole_or_not_at_all():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(
            target=send_message, args=(theirs, {"a": "ü"}, b"x" * 1_000_000, b"")
        )
        sender.start()
        message, payloads = receive_payloads(ours, 1_000_000, time.monotonic() + 10)
        sender.join()
        assert (message, [len(p) for p in payloads]) == ({"a": "ü"}, [1_000_000, 0])
        send_message(theirs, {}, b"xx")
        with pytest.raises(OSError, match="too long"):
            receive_payloads(ours, 1)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(TimeoutError):
            receive_payloads(ours, 1, time.monotonic() + 0.05)
        theirs.sendall(b"\xff" * 8)
        with pytest.raises(OSError, match="not a message"):
            receive_payloads(ours, 1)
        theirs.sendall(b"\0\0\0\2\0\0\0\0[]")
        with pytest.raises(OSError, match="not a message"):
            receive_payloads(ours, 1)
        theirs.close()
        with pytest.raises(EOFError):
            receive_payloads(ours, 1)


@pytest.fixture
def batcher():
    sizes = []
    batcher = Batcher(judge().encoder, sizes.append)
    batcher.sizes = sizes
    yield batcher
    batcher.close()


def test_batches_are_shared_and_change_nothing(batcher):
    encoder = judge().encoder
    samples = [sung(0, 1, 4.0), sung(1, 1, 23.0), sung(0, 2, 12.0), sung(1, 2, 4.0)]
    alone = [encoder.embed(some, 16_000) for some in samples]
    with batcher._changed:  # so that all wait together
        begun = []
        starting = [
            threading.Thread(target=lambda some=some: begun.append((some, batcher.begin(some))))
            for some in samples
        ]
        [thread.start() for thread in starting]
    [thread.join() for thread in starting]
    for some, future in begun:
        wanted = next(v for s, v in zip(samples, alone, strict=True) if s is some)
        np.testing.assert_allclose(future.result(20), wanted, atol=2e-6)
    assert sum(batcher.sizes) == 1 + 3 + 2 + 1
    assert len(batcher.sizes) < 7


def test_a_batch_takes_recordings_in_turn(batcher):
    long, short = (Prepared(np.zeros((1, 1)), deque(range(n)), False) for n in (40, 2))
    with batcher._changed:  # the thread that encodes waits
        batcher._waiting += [long, short]
        batch = batcher._take()
        batcher._waiting.clear()
    assert [job is short for job, _ in batch[:6]] == [False, True, False, True, False, False]
    assert [start for job, start in batch if job is long] == list(range(len(batch) - 2))
    assert long.n_running == len(batch) - 2 < 40


def test_errors_reach_who_asked(batcher):
    with pytest.raises(AudioError, match="no voice"):
        batcher.begin(np.random.default_rng(0).normal(0, 0.1, 64_000).astype(np.float32))
    encoder = judge().encoder

    def broken(batch):
        raise SingeridError("the encoder fails")

    encoder.encode = broken
    try:
        for seconds in (4.0, 11.0):
            with pytest.raises(SingeridError, match="the encoder fails"):
                batcher.embed(sung(0, 3, seconds))
    finally:
        del encoder.encode
    assert batcher.embed(sung(0, 3, 4.0)).shape == (encoder.dim,)


def test_a_closed_batcher_finishes_and_takes_no_more():
    batcher = Batcher(judge().encoder)
    future = batcher.begin(sung(0, 1, 12.0))
    batcher.close()
    assert future.done()
    with pytest.raises(SingeridError, match="stopping"):
        batcher.begin(sung(0, 1, 4.0))


def test_encoders_without_partials_take_turns():
    class Whole:
        sample_rate = 16_000

        def embed(self, samples, sample_rate):
            if not samples.any():
                raise AudioError("is silent")
            return samples[:3]

    batcher = Batcher(Whole())
    assert batcher.embed(np.arange(1.0, 9.0)).tolist() == [1, 2, 3]
    with pytest.raises(AudioError, match="is silent"):
        batcher.embed(np.zeros(8))
    batcher.close()


def test_local_addresses():
    assert all(map(is_local, ("127.0.0.1", "localhost", "::1", "127.1.2.3")))
    assert not any(map(is_local, ("0.0.0.0", "::", "192.168.1.2", "example.com", "")))
    assert ServeSettings().host == "127.0.0.1"
