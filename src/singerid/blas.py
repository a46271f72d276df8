"""Small matrix products on one thread: threads of their own would mostly wait for one another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

_lock = Lock()
_limits: Any = None
_n_inside = 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Let NumPy's matrix products take one thread; usable by several threads at once.

    For products of a few million operations: shared by two threads on busy cores they take
    several times the processor's time. The limit is the whole process's, so the first thread in
    sets it and the last one out restores what was there.
    """
    global _limits, _n_inside
    from threadpoolctl import threadpool_limits

    with _lock:
        if not _n_inside:
            _limits = threadpool_limits(1, "blas")
        _n_inside += 1
    try:
        yield
    finally:
        with _lock:
            _n_inside -= 1
            if not _n_inside:
                _limits.restore_original_limits()
