"""The stopwatch, by a clock that is set by hand."""

import pytest

from singerid.throughput import Stopwatch, time_shares


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_every_second_belongs_to_one_part(clock):
    watch = Stopwatch("data", clock)
    clock.now += 2
    assert watch.switch("step") == "data"
    clock.now += 5
    with watch.within("validation"):
        clock.now += 3
        with watch.within("saving"):
            clock.now += 1
        clock.now += 0.5
    clock.now += 4
    seconds, _ = watch.take()
    assert seconds == {"data": 2, "step": 9, "validation": 3.5, "saving": 1}
    assert time_shares(seconds)["share_step"] == pytest.approx(9 / 15.5)
    assert sum(time_shares(seconds).values()) == pytest.approx(1)


def test_taking_starts_anew_in_the_same_part(clock):
    watch = Stopwatch("step", clock)
    clock.now += 4
    watch.count("partials", 80)
    watch.count("partials", 80)
    assert watch.take() == ({"step": 4}, {"partials": 40})
    clock.now += 3
    assert watch.take() == ({"step": 3}, {})


def test_an_error_ends_a_part(clock):
    watch = Stopwatch("step", clock)

    def failing():
        clock.now += 2
        raise KeyError

    with pytest.raises(KeyError), watch.within("saving"):
        failing()
    clock.now += 1
    assert watch.take()[0] == {"step": 1, "saving": 2}


def test_no_time_at_all(clock):
    watch = Stopwatch("step", clock)
    watch.count("partials", 3)
    seconds, rates = watch.take()
    assert rates == {}
    assert time_shares(seconds) == {}


def test_the_real_clock_goes_forward():
    watch = Stopwatch("a")
    watch.switch("b")
    seconds, _ = watch.take()
    assert seconds.keys() == {"a", "b"}
    assert all(value >= 0 for value in seconds.values())
