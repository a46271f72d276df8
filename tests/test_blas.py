"""One thread for small products, whoever asks for it at once."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from singerid.blas import one_thread
from singerid.features.highpass import highpass
from singerid.voicing import find_voice


def n_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    with threadpool_limits(2, "blas"):
        yield


def test_the_last_one_out_restores_what_was_there():
    first, second = one_thread(), one_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert n_threads() == {1}
    second.__exit__(None, None, None)
    assert n_threads() == {2}


def test_errors_restore_it_too():
    with pytest.raises(ValueError, match="mine"), one_thread():
        raise ValueError("mine")
    assert n_threads() == {2}


@pytest.mark.parametrize("work", [lambda x: highpass(x, 30, 16000), lambda x: find_voice(x, 16000)])
def test_where_it_is_used(work, monkeypatch):
    seen = []
    transform = np.fft.rfft
    monkeypatch.setattr(np.fft, "rfft", lambda *a: seen.append(n_threads()) or transform(*a))
    work(np.random.default_rng(0).standard_normal(300_000).astype(np.float32))
    assert {1} in seen
    assert {2} not in seen
    assert n_threads() == {2}
