"""Commands from audio to features: manifest, features, voices, resynthesize."""

from __future__ import annotations

import argparse
import time
from typing import Any

from singerid.encoder_graph import parse_header, read_model
from singerid.errors import SingeridError
from singerid.flags import read_settings
from singerid.pretrained import path_of
from singerid.ray_pool import engine_of
from singerid.terminal import CPUS, check_failures, need_torch, progress, say, warn_all


def manifest(arguments: argparse.Namespace) -> None:
    """List the recordings of a corpus: measure, name, split."""
    from singerid import corpora
    from singerid.manifest import a_few, build, select
    from singerid.pitch_labels import with_median_f0
    from singerid.records import write_recordings

    settings = read_settings(arguments).manifest
    options = corpora.parse_options(arguments.corpus, arguments.corpus_option)
    found = corpora.scan(arguments.corpus, arguments.source, **options)
    with progress("manifest", len(found.sources)) as advance:
        result = build(found, settings, CPUS, advance)
    if arguments.select:
        result.recordings = select(result.recordings, arguments.select)
    if arguments.tiny:
        result.recordings = a_few(result.recordings)
    if settings.f0:
        with progress("pitch", len(result.recordings)) as advance:
            result.recordings, unmeasured = with_median_f0(result.recordings, CPUS, advance)
        result.problems += unmeasured
    warn_all(result.warnings)
    if result.recordings:
        write_recordings(arguments.output, result.recordings)
        say(f"{arguments.output}: {result.summary()}")
    n_files = len(found.sources) + len(found.problems)
    check_failures(result.problems, n_files, "files or singers")


def features(arguments: argparse.Namespace) -> None:
    """Extract what the store does not hold yet."""
    from singerid.extraction import extract
    from singerid.records import read_recordings

    config = read_settings(arguments, _front_end_of(arguments.encoder))
    recordings = read_recordings(arguments.manifest)
    seconds = sum(r.duration for r in recordings)
    start = time.monotonic()
    n_workers, make_pool = engine_of(arguments)
    with progress("features", seconds) as advance:
        result, _ = extract(
            recordings, arguments.output, config.feature_spec, n_workers, advance, make_pool
        )
    taken = time.monotonic() - start
    warn_all(result.warnings)
    line = (
        f"{arguments.output}: {result.n_done} recordings extracted, {result.n_present} were there"
    )
    if result.n_others:
        line += f", {result.n_others} others are not in this manifest and are not listed"
    say(line + f" ({taken:.1f} s)")
    check_failures(result.failures, len(recordings), "recordings")


def voices(arguments: argparse.Namespace) -> None:
    """Analyze voices, so that training can let them sing anew."""
    from singerid.manifest import select
    from singerid.records import read_recordings
    from singerid.voicebank.building import build_bank
    from singerid.voicebank.spec import BankSpec

    config = read_settings(arguments, _front_end_of(arguments.encoder))
    recordings = read_recordings(arguments.manifest)
    if arguments.select:
        recordings = select(recordings, arguments.select)
    spec = BankSpec(settings=config.bank, features=config.feature_spec)
    with progress("voices", sum(r.duration for r in recordings)) as advance:
        result, bank = build_bank(recordings, arguments.output, spec, arguments.workers, advance)
    warn_all(result.warnings)
    singers = len(set(bank.singers))
    say(
        f"{arguments.output}: {len(bank)} recordings of {singers} singers; {result.n_done} "
        f"analyzed, {result.n_present} were there, {result.n_removed} taken out"
    )
    check_failures(result.failures, len(recordings), "recordings")


def _front_end_of(encoder: str | None) -> dict[str, Any]:
    """Settings of an encoder's front end."""
    if encoder is None:
        return {}
    path = path_of(encoder, ".onnx")
    if path.suffix == ".onnx":
        return parse_header(read_model(path), path).spec.model_dump()
    need_torch()
    from singerid.foreign import read_foreign

    return read_foreign(encoder).spec.model_dump()


def resynthesize(arguments: argparse.Namespace) -> None:
    """Turn the stored WORLD features of a recording back into audio."""
    import soundfile

    from singerid.features import coding_of
    from singerid.features.world import fft_size, synthesize
    from singerid.features.worldcoding import decode
    from singerid.records import atomic_write
    from singerid.store import Store

    store = Store(arguments.store)
    spec = store.spec
    if spec.features.stream != "world":
        raise SingeridError(
            "holds no WORLD features", where=arguments.store, found="mel",
            do="extract them: singerid features -ft world",
        )  # fmt: skip
    id = arguments.id or store.recordings[0].id
    if id not in store.entries:
        raise SingeridError(f"no recording {id!r}", where=arguments.store)
    fmin = spec.world.fmin if spec.world.f0_method != "wav2world" else None
    size = fft_size(spec.audio.sample_rate, fmin)
    analysis = decode(
        store.features(id), coding_of(spec.world), spec.audio.sample_rate,
        fft_size=size, frame_period_ms=spec.world.frame_period,
    )  # fmt: skip
    samples = synthesize(analysis).clip(-1, 1)
    with atomic_write(arguments.output, "wb") as file:
        soundfile.write(file, samples, spec.audio.sample_rate, format="WAV", subtype="PCM_16")
    seconds = len(samples) / spec.audio.sample_rate
    say(f"{arguments.output}: {id}, {seconds:.2f} s")
