"""The model card of a run: what the encoder is, what it was made from, how good, and how to use it.

A Markdown file with front matter as the Hugging Face Hub reads it. It says only what the run
folder and the data behind it say; the rest is called unknown.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from singerid import run
from singerid.card import LIMITS, front_matter, section, table
from singerid.checkpoint import EncoderFile, load_encoder
from singerid.config import Config, read_config_file, resolve
from singerid.errors import CheckpointError, SingeridError, one_line
from singerid.formats import check_format
from singerid.json_lines import parse
from singerid.listing import Listing
from singerid.records import Recording, atomic_write, read_recordings

_MOST_ROWS = 8  # of the learning curve
_SECTIONS = ("encoder", "batch", "loss", "train", "augment", "resing", "channel")
_LSTM_ONLY, _CONVOLUTIONS_ONLY = ("hidden_size", "n_layers", "relu"), (
    "channels", "depth", "stem_stride"
)  # fmt: skip
_MEANINGS = {
    "trial_eer": "equal error rate of fixed trials; targets are of two songs, nontargets of one "
    "gender, where these are known",
    "trial_min_dcf": "least detection cost of the same trials at a target prior of 0.05",
    "eer": "equal error rate of partials against centroids of the same batches",
    "accuracy": "share of partials whose nearest centroid in the batch is their singer's",
    "ge2e_loss": "GE2E loss",
    "effective_rank": "dimensions in use",
    "between_share": "share of the variance that lies between singers",
}
_USE = """## How to use it

In the folder of this file, with singerid and its extra `train` installed, and two recordings
`one.wav` and `two.wav` of one voice each, without accompaniment:

```bash
singerid verify one.wav two.wav --encoder encoder.safetensors
singerid embed one.wav two.wav --encoder encoder.safetensors -o embeddings.parquet
singerid table embeddings.parquet -o table.parquet
```

```python
from singerid import SingerEncoder

encoder = SingerEncoder.from_pretrained("encoder.safetensors")
vector = encoder.embed_file("one.wav")  # of unit length; the cosine of two is their score
```
"""


def write_model_card(
    path: str | os.PathLike[str], license: str = "", alarms: Sequence[str] = ()
) -> Path:
    """Write ``MODEL_CARD.md`` into a run folder.

    Args:
        path: the run folder.
        license: of the weights, as the Hub names it (``cc-by-4.0``); "" for unknown.
        alarms: what `singerid.alarms` said in training.

    Returns:
        The file.

    Raises:
        CheckpointError: not a run folder, or without an encoder.
        ConfigError: the run's configuration cannot be read.
    """
    path = Path(path)
    file = load_encoder(path)
    config = resolve(read_config_file(path / "config.yaml"), path / "config.yaml")
    made, log = _made(path), _log(path)
    name = one_line(path.resolve().name)
    parts = [
        _front_matter(name, license, made, file.provenance),
        f"# {name}\n\nA singer encoder: it turns singing into a vector of {file.settings.dim} "
        "numbers, which lie close together for one voice and apart for two.\n",
        _model(file, license),
        _training_data(made, config),
        _training(config, log),
        _figures(file, log),
        *([section("Alarms in training", "".join(f"- {a}\n" for a in alarms))] if alarms else []),
        _USE,
        LIMITS,
        _versions(file, made),
    ]
    with atomic_write(path / "MODEL_CARD.md") as card:
        card.write("\n".join(parts))
    return path / "MODEL_CARD.md"


def _made(path: Path) -> dict[str, Any]:
    try:
        made: dict[str, Any] = parse((path / "provenance.json").read_text("utf-8"))
        check_format(made.get("format", 1), "run", path, CheckpointError)
        if not isinstance(made.get("versions", {}), dict):
            raise ValueError("versions that are no object")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(
            "provenance cannot be read", where=path / "provenance.json", found=error
        ) from error
    return made


def _log(path: Path) -> list[dict[str, Any]]:
    file = path / "log.jsonl"
    lines = file.read_text("utf-8", "replace").split("\n") if file.exists() else []
    return [line for line in map(_figures_of, lines) if line]


def _figures_of(text: str) -> dict[str, Any] | None:
    """What a line of the log says; None of one that is damaged."""
    try:
        line = parse(text)
        if type(line["step"]) is not int or type(line["split"]) is not str:
            return None
        numbers = {name: value for name, value in line.items() if type(value) in (int, float)}
        return {name: float(value) for name, value in numbers.items()} | {
            "step": line["step"], "split": line["split"],
        }  # fmt: skip
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def _front_matter(
    name: str, license: str, made: Mapping[str, Any], provenance: Mapping[str, Any]
) -> str:
    rate = provenance.get("valid", {}).get("trial_eer")
    if rate is None:
        return front_matter(license)
    data = _data_name(made)
    result = {
        "task": {"type": "audio-classification", "name": "singer verification"},
        "dataset": {"name": f"validation singers of this run ({data})", "type": data},
        "metrics": [{"type": "eer", "name": "equal error rate", "value": round(rate, 4)}],
    }
    return front_matter(license, {"model-index": [{"name": name, "results": [result]}]})


def _model(file: EncoderFile, license: str) -> str:
    spec, settings = file.spec, file.settings.model_dump()
    seconds = file.partial_frames * spec.hop_seconds
    rows = [
        ("architecture", _settings_text(settings)),
        ("parameters", f"{run.n_parameters(file.encoder):,}"),
        ("input", f"mono audio at {spec.audio.sample_rate} Hz; {spec.features.stream} features, "
         f"{spec.n_inputs} values every {1000 * spec.hop_seconds:g} ms ({spec.fingerprint()})"),
        ("partials", f"{file.partial_frames} frames ({seconds:.2f} s), mean over them"),
        ("output", f"{file.settings.dim} numbers, unit length"),
        ("encoder", f"{file.fingerprint}; only vectors of this encoder are comparable"),
        ("licence of the weights", license or "unknown"),
    ]  # fmt: skip
    return section("Model", table(("", ""), rows))


def _training_data(made: Mapping[str, Any], config: Config) -> str:
    path = str(made.get("data", ""))
    is_bank = os.path.isfile(os.path.join(path, "cepstrum.i8"))
    listing = os.path.join(path, "recordings.jsonl") if os.path.isdir(path) else path
    lines = [f"Source: `{_data_name(made)}`."]
    try:
        recordings = read_recordings(listing) if os.path.isfile(listing) else []
    except SingeridError:
        recordings = []
    if not recordings:
        lines.append("Singers and recordings: unknown, for the data are no longer where they were.")
        return section("Training data", "\n".join(lines) + "\n")
    if not is_bank and Listing(recordings).fingerprint != made.get("data_fingerprint"):
        lines.append("Singers and recordings: unknown, for the data have changed since.")
        return section("Training data", "\n".join(lines) + "\n")
    rows = [(split, *_counts(r for r in recordings if r.split == split)) for split in
            ("train", "valid")]  # fmt: skip
    lines.append("")
    lines.append(table(("split", "singers", "recordings", "hours", "corpora"), rows))
    if is_bank:
        lines.append(
            "A bank of voices: in training, "
            f"{1 - config.resing.real_share:.0%} of the excerpts were sung anew from the analysis "
            f"of a recording, {config.resing.real_share:.0%} are the recordings themselves; each "
            f"singer stood for {config.resing.variants} identities. Validation may have been on a "
            "store that is not listed here. Counts are of the bank as it is now.\n"
        )
    else:
        lines.append("Training took excerpts of them; it did not sing them anew.\n")
    return section("Training data", "\n".join(lines))


def _counts(recordings: Iterable[Recording]) -> tuple[str, str, str, str]:
    rows = list(recordings)
    corpora = Counter(r.labels.get("corpus", "unknown") for r in rows)
    named = ", ".join(f"{corpus} {n:,}" for corpus, n in sorted(corpora.items()))
    hours = sum(r.duration for r in rows) / 3600
    return f"{len({r.singer for r in rows}):,}", f"{len(rows):,}", f"{hours:.2f}", named or "none"


def _training(config: Config, log: Sequence[Mapping[str, Any]]) -> str:
    train, batch = config.train, config.batch
    last = f"{log[-1]['step']:,}" if log else "an unknown number of"
    text = (
        f"Objective: `{config.loss.objective}`. Optimizer: {train.optimizer} at a learning rate of "
        f"{train.learning_rate:g}, {train.schedule}, gradient norm limited to "
        f"{train.gradient_clip:g}, precision {train.precision}. {last} steps were done, each of "
        f"{batch.n_singers} singers × {batch.n_partials} partials (fewer if there were fewer "
        "singers). Everything is in `config.yaml`; what differs from the defaults:\n"
    )
    usual, rows = Config().model_dump(), []
    for part, values in config.model_dump(include=set(_SECTIONS)).items():
        for name, value in values.items():
            if value != usual[part][name]:
                rows.append((f"`{part}.{name}`", value, usual[part][name]))
    return section("Training", f"{text}\n" + table(("setting", "value", "default"), rows))


def _figures(file: EncoderFile, log: Sequence[Mapping[str, Any]]) -> str:
    figures, step = file.provenance.get("valid", {}), file.provenance.get("step")
    if not figures:
        return section(
            "Validation", "There was none: how well it tells singers apart is unknown.\n"
        )
    rows = [(f"`{k}`", f"{v:.4g}", _MEANINGS.get(k, "")) for k, v in figures.items()]
    text = (
        f"Measured at step {step:,} on singers that training did not see; the weights are those of "
        "this step.\n\n" + table(("figure", "value", "meaning"), rows)
    )
    return section("Validation", text + "\nThe course of it:\n\n" + _curve(log, step))


def _curve(log: Sequence[Mapping[str, Any]], kept: int | None) -> str:
    """A few lines of the log, evenly spread, and that of the kept weights."""
    valid = {line["step"]: line for line in log if line["split"] == "valid"}
    train = {line["step"]: line for line in log if line["split"] == "train"}
    steps = sorted(valid)
    if not steps:
        return "unknown\n"
    n = min(_MOST_ROWS, len(steps))
    chosen = {steps[round(i * (len(steps) - 1) / max(1, n - 1))] for i in range(n)}
    if kept is not None and kept in valid:
        chosen.add(kept)
    rows = []
    for step in sorted(chosen):
        figures = valid[step]
        rate = figures.get("trial_eer", figures.get("eer"))
        rows.append(
            (
                f"{step:,}" + (" (kept)" if step == kept else ""),
                _number(train.get(step, {}).get("accuracy")), _number(figures.get("accuracy")),
                _number(figures.get("ge2e_loss")), _number(rate),
            )
        )  # fmt: skip
    rate_name = "trial_eer" if "trial_eer" in valid[steps[-1]] else "eer"
    titles = ("step", "training accuracy", "validation accuracy", "validation GE2E", rate_name)
    return table(titles, rows)


def _versions(file: EncoderFile, made: Mapping[str, Any]) -> str:
    versions = {"python": made.get("python", "unknown"), **made.get("versions", {})}
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    return section(
        "Versions", f"{text}.\n\nData {made.get('data_fingerprint', 'unknown')}, front end "
        f"{file.spec.fingerprint()}, encoder {file.fingerprint}.\n",
    )  # fmt: skip


def _data_name(made: Mapping[str, Any]) -> str:
    """The last part of its path: folders above it are nobody's business."""
    return one_line(Path(str(made.get("data", ""))).name).replace("`", "'") or "unknown"


def _settings_text(settings: Mapping[str, Any]) -> str:
    """Those that mean something for this architecture."""
    without = _CONVOLUTIONS_ONLY if settings["kind"] == "lstm" else _LSTM_ONLY
    return ", ".join(f"{name} {value}" for name, value in settings.items() if name not in without)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
