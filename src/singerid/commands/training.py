"""Commands that make encoders: train, whiten, import of other programs' weights, export."""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singerid.config import Config, merge, read_config_file
from singerid.errors import CheckpointError, ConfigError, MismatchError, SingeridError
from singerid.flags import given_settings, read_settings
from singerid.formats import check_format
from singerid.json_lines import no_collection
from singerid.pretrained import path_of
from singerid.terminal import check_failures, need_torch, progress, say, warn, warn_all

if TYPE_CHECKING:
    from singerid.data import TrainingData
    from singerid.foreign import ForeignWeights
    from singerid.spec import FeatureSpec
    from singerid.task import Figures
    from singerid.train import Initial


def train(arguments: argparse.Namespace) -> None:
    """Train an encoder, in cycles of training and validation."""
    need_torch()
    from singerid import run
    from singerid.ranks import rank
    from singerid.train import fit

    resume = arguments.resume is not None
    if resume == (arguments.output is not None):
        raise SingeridError("give either -o RUN for a new run or --resume RUN to go on with one")
    if resume and arguments.preset:
        raise SingeridError("--preset is for a new run", do="change single settings of this one")
    if resume and arguments.init:
        raise SingeridError("--init starts a new run", do="give -o RUN instead of --resume")
    path = Path(arguments.resume or arguments.output)
    base: dict[str, Any] = {}
    if resume:
        run.latest_checkpoint(path)
        base = read_config_file(path / "config.yaml")
    with no_collection():
        config, data, initial = _inputs(arguments, base, arguments.source or _data_of(path))
    gc.freeze()  # the corpus stays: no search for garbage need go through it, now or in training
    command = arguments.command_line
    if rank():  # of several processes, the first writes and speaks
        fit(config, data, path, resume=resume, initial=initial, say=lambda line: None)
        return
    with run.locked(path), progress("training", config.train.steps) as advance:
        if not resume:
            run.make_run_folder(path, arguments.overwrite)
            run.describe_run(path, config, data, arguments.notes, command)
        reporter = _Reporter(advance)
        outcome = fit(
            config, data, path, resume=resume, validate_only=arguments.validate, initial=initial,
            provenance=run.provenance(data, command), say=say,
            on_step=reporter.step, on_cycle=reporter.cycle,
        )  # fmt: skip
    if not arguments.validate:
        say(f"{path}: ended at step {outcome.step}, {outcome.reason}; best: encoder.safetensors")


def _inputs(
    arguments: argparse.Namespace, base: dict[str, Any], source: str
) -> tuple[Config, TrainingData, Initial | None]:
    """The resolved configuration, the data of a store or manifest, and weights to start from."""
    from singerid.foreign import read_foreign

    found = read_foreign(arguments.init) if arguments.init else None
    if found:
        base = merge(base, {"encoder": found.settings.model_dump()})
        base = merge(base, {"batch": {"partial_frames": found.partial_frames}})
    config, data = _data(arguments, base, source, found.spec if found else None)
    if config.encoder.cepstra or config.encoder.networks > 1:
        raise ConfigError(
            "cepstra and networks of an encoder are joined after its training",
            where="settings", found=f"encoder.cepstra {config.encoder.cepstra}, encoder.networks "
            f"{config.encoder.networks}", expected="0 and 1", do="train, then singerid whiten",
        )  # fmt: skip
    return config, data, _initial(found, arguments, config) if found else None


def _data(
    arguments: argparse.Namespace, base: dict[str, Any], source: str, spec: FeatureSpec | None
) -> tuple[Config, TrainingData]:
    """The resolved configuration, and the data; `spec` is the front end of given weights."""
    from singerid.cycles import resolve_cycles
    from singerid.data import TrainingData
    from singerid.records import read_recordings
    from singerid.store import Store
    from singerid.train import resolve_precision
    from singerid.voicebank.spec import read_bank_spec

    if _is_bank(source):
        of_bank = read_bank_spec(Path(source)).features
        config = resolve_precision(read_settings(arguments, merge(base, of_bank.model_dump())))
        valid = Store(arguments.valid) if arguments.valid else None
        return config, TrainingData.from_bank(config, source, valid)
    if str(source).endswith(".jsonl"):
        base = merge(base, spec.model_dump() if spec else {})
        config = resolve_precision(read_settings(arguments, base))
        if config.train.iters == "auto":
            raise SingeridError("--train.iters auto needs a store", do="make one, or give sizes")
        return config, TrainingData.from_recordings(config, read_recordings(source), source)
    store = Store(source)
    config = read_settings(arguments, merge(base, store.spec.model_dump()))
    if config.feature_spec != store.spec:
        raise MismatchError(
            "settings and store have different feature specs", where=store.path,
            found=f"settings {config.feature_spec.fingerprint()}, "
            f"store {store.spec.fingerprint()}",
            do="leave out what concerns features: the store decides",
        )  # fmt: skip
    config = resolve_cycles(resolve_precision(config), store, say)
    return config, TrainingData.from_store(config, store)


def _is_bank(source: str) -> bool:
    """True for a voice bank, which has a file that no store has."""
    return (Path(source) / "cepstrum.i8").exists()


def whiten(arguments: argparse.Namespace) -> None:
    """Join trained encoders with cepstral statistics, and whiten all within singers."""
    need_torch()
    from singerid import run, whitening
    from singerid.checkpoint import load_encoder, save_encoder, trained_parts

    files = [part for name in arguments.encoder for part in trained_parts(load_encoder(name))]
    file = files[0]
    settings = read_settings(arguments).whiten
    base = {"batch": {"n_partials": 4, "partial_frames": settings.partial_frames}}
    config, data = _data(arguments, base, arguments.source, file.spec)
    _check_spec(arguments.encoder[0], file.spec, config)
    warn_all(data.train.warnings)
    with progress("whitening", settings.batches) as advance:
        encoder, weights = whitening.whiten(files, data.train, settings, advance)
    provenance = run.provenance(data, arguments.command_line)
    fingerprint = save_encoder(
        arguments.output, weights, encoder, file.spec, settings.longest_frames,
        provenance | {
            "trained_frames": file.partial_frames,
            "whitened": [
                {"fingerprint": part.fingerprint, "provenance": dict(part.provenance)}
                for part in files
            ],
        },
    )  # fmt: skip
    say(f"{arguments.output}: encoder {fingerprint}, whitened on {arguments.source}")


def _initial(found: ForeignWeights, arguments: argparse.Namespace, config: Config) -> Initial:
    from singerid.train import Initial

    _check_spec(arguments.init, found.spec, config)
    scale = float(found.leftovers.get("similarity_weight", config.loss.init_scale))
    bias = float(found.leftovers.get("similarity_bias", config.loss.init_bias))
    step = (found.step or 0) if arguments.keep_step else 0
    return Initial(arguments.init, found.weights, scale, bias, step)


def _check_spec(weights: str, spec: FeatureSpec, config: Config) -> None:
    if spec != config.feature_spec:
        raise MismatchError(
            "weights and data have different feature specs", where=weights,
            found=f"weights {spec.fingerprint()}, data {config.feature_spec.fingerprint()}",
            do=f"extract the features again: singerid features --encoder {weights}",
        )  # fmt: skip


def _data_of(path: Path) -> str:
    file = path / "provenance.json"
    known = json.loads(file.read_text("utf-8")) if file.exists() else {}
    check_format(known.get("format", 1), "run", path, CheckpointError)
    if "data" not in known:
        raise SingeridError("give a store or manifest", expected="singerid train STORE -o RUN")
    return str(known["data"])


class _Reporter:
    """Prints the figures of steps and cycles."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        self._advance = advance
        self._last = 0
        self._shown: Figures = {}

    def step(self, step: int, figures: Figures) -> None:
        self._shown = figures
        self._advance(step - self._last)
        self._last = step
        if figures:
            say(f"step {step:>6}  train  {_figures(figures)}")

    def cycle(self, step: int, train: Figures, valid: Figures, best: bool) -> None:
        if train and train != self._shown:
            say(f"step {step:>6}  cycle  {_figures(train)}")
        if valid:
            say(f"step {step:>6}  valid  {_figures(valid)}{'  best' if best else ''}")


def _figures(figures: Figures) -> str:
    text = (
        f"total {figures['total_loss']:.4f}  ge2e {figures['ge2e_loss']:.4f}  "
        f"prediction {figures['prediction_loss']:.4f}  accuracy {figures['accuracy']:.1%}  "
        f"prediction accuracy {figures['prediction_accuracy']:.1%}"
    )
    if "eer" in figures:
        text += f"  EER {figures['eer']:.1%}"
    if "trial_eer" in figures:
        text += f"  trials {figures['trial_eer']:.1%}"
    return text


def import_weights(arguments: argparse.Namespace) -> None:
    """Import an encoder of other programs, or vectors that were made elsewhere."""
    if Path(arguments.file).suffix in (".parquet", ".npz", ".csv"):
        _import_vectors(arguments)
        return
    need_torch()
    from singerid.foreign import import_encoder

    spec = read_settings(arguments).feature_spec if given_settings(arguments) else None
    fingerprint = import_encoder(arguments.file, arguments.output, spec)
    say(f"{arguments.output}: encoder {fingerprint}")


def _import_vectors(arguments: argparse.Namespace) -> None:
    """Make embeddings of a table of vectors."""
    from singerid.embeddings import write_embeddings
    from singerid.records import read_recordings
    from singerid.vectors_file import import_vectors

    recordings = read_recordings(arguments.manifest) if arguments.manifest else None
    name = arguments.name or Path(arguments.file).stem
    embeddings, failures = import_vectors(arguments.file, name, recordings, warn)
    write_embeddings(arguments.output, embeddings)
    say(f"{arguments.output}: {len(embeddings)} vectors, encoder {embeddings.encoder}")
    check_failures(failures, len(embeddings) + len(failures), "rows")


def export(arguments: argparse.Namespace) -> None:
    """Write an encoder and its front end as one ONNX file, which runs without torch."""
    need_torch()
    from singerid.checkpoint import load_encoder
    from singerid.export import export_encoder, fingerprint_of

    run, path = path_of(arguments.encoder, ".safetensors"), Path(arguments.output)
    if path.suffix != ".onnx":
        raise SingeridError("exported encoders end in .onnx", where=path)
    file = load_encoder(run)
    fingerprint = fingerprint_of(file, arguments.quantize)
    calibration = _calibration_of(fingerprint, arguments.calibration)
    name = arguments.name or _name_of(run)
    difference = export_encoder(
        file, path, name=name, calibration=calibration, quantize=arguments.quantize
    )
    say(
        f"{path}: encoder {fingerprint}, {path.stat().st_size / 1e6:.1f} MB, its vectors "
        f"within {difference:.1g} of those of {run}"
    )


def _name_of(encoder: Path) -> str:
    """The name of a run, or of an encoder file that lies in none."""
    if encoder.name == "encoder.safetensors":
        encoder = encoder.parent
    return (encoder.resolve().name if encoder.is_dir() else encoder.stem) or "encoder"


def _calibration_of(fingerprint: str, path: str | None) -> bytes | None:
    """A calibration file's bytes, once it is found to be of the encoder."""
    if path is None:
        return None
    from singerid.scoring.calibration_file import read_calibration

    calibration = read_calibration(path)
    if calibration.encoder != fingerprint:
        raise MismatchError(
            "is of another encoder", where=path, found=calibration.encoder,
            expected=fingerprint, do="fit one: singerid calibrate",
        )  # fmt: skip
    return Path(path).read_bytes()
