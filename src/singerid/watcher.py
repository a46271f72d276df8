"""The watcher: where the time goes, and alarms when a training goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch.callbacks import Callback

from singerid.alarms import Alarms, Cycle
from singerid.config import Config
from singerid.optimization import learning_rate_at
from singerid.task import Figures
from singerid.throughput import Stopwatch, time_shares


class Watcher(Callback):  # type: ignore[misc]
    """Takes the time of each part of the training, and passes on what its alarms say.

    Attributes:
        alarms: what was said so far is in its `said`.
    """

    def __init__(self, config: Config, say: Callable[[str], object]) -> None:
        settings = config.train
        self.alarms = Alarms(config.encoder.dim, settings.gradient_clip, settings.workers)
        self._settings, self._say = settings, say
        self._watch = Stopwatch("data")
        self._trainer: Any = None

    def state_dict(self) -> dict[str, Any]:
        """What the alarms have seen; nothing of the clock."""
        return self.alarms.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where a checkpoint left off."""
        self.alarms.load_state_dict(state_dict)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock."""
        self._trainer, self._watch = trainer, Stopwatch("data")

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """A batch has come."""
        self._watch.switch("step")
        self._watch.count("partials", batch[0].shape[0] * batch[0].shape[1])

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Wait for the next batch."""
        self._watch.switch("data")

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Training pauses."""
        self._watch.switch("validation")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Training goes on."""
        self._watch.switch("data")

    def cycle(self, step: int, train: Figures, valid: Figures) -> None:
        """Say what is wrong after a cycle, and log where its time went."""
        seconds, rates = self._watch.take()
        figures = time_shares(seconds) | {f"{what}_per_second": n for what, n in rates.items()}
        self._log(figures, step)
        seen = Cycle(
            step, train["objective"], train["accuracy"], valid.get("trial_eer"),
            train["gradient_norm"], learning_rate_at(step - 1, self._settings),
            _health(valid), seconds,
        )  # fmt: skip
        for line in self.alarms.cycle(seen):
            self._say(f"warning: {line}")

    def _log(self, figures: Mapping[str, float], step: int) -> None:
        """To loggers only: times differ from run to run, and the run's own log shall not."""
        tagged = {f"time/{name}": value for name, value in figures.items()}
        for logger in self._trainer.loggers if self._trainer is not None else []:
            logger.log_metrics(tagged, step)


def _health(valid: Figures) -> Figures:
    """The figures of `singerid.health` among those of a validation."""
    return {name: value for name, value in valid.items() if not name.startswith("trial")}
