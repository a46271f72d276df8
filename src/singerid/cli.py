"""The command ``singerid``: one sub-command per arrow of the map."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singerid import __version__
from singerid.config import Config, merge, read_config_file, to_yaml
from singerid.errors import MismatchError, MissingExtraError, SingeridError
from singerid.flags import add_settings, read_settings
from singerid.terminal import check_failures, complain, progress, say, warn, warn_all

if TYPE_CHECKING:
    from singerid.embeddings import EmbeddingSet
    from singerid.records import Recording
    from singerid.task import Figures

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        Exit status: 0 all done; 1 an error, or some items of a batch failed; 2 wrong usage;
        130 interrupted.
    """
    arguments = _parser().parse_args(argv)
    arguments.command_line = shlex.join(["singerid", *(sys.argv[1:] if argv is None else argv)])
    try:
        arguments.run(arguments)
    except SingeridError as error:
        complain(error)
        return 1
    except OSError as error:  # a full disk, a folder without permission
        where = error.filename or "writing"
        complain(
            SingeridError(error.strerror or str(error), where=where, do="nothing whole is lost")
        )
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def manifest(arguments: argparse.Namespace) -> None:
    """List the recordings of a corpus: measure, name, split."""
    from singerid import corpora
    from singerid.manifest import build, select
    from singerid.records import write_recordings

    settings = read_settings(arguments).manifest
    options = corpora.parse_options(arguments.corpus, arguments.corpus_option)
    found = corpora.scan(arguments.corpus, arguments.source, **options)
    with progress("manifest", len(found.sources)) as advance:
        result = build(found, settings, CPUS, advance)
    if arguments.select:
        result.recordings = select(result.recordings, arguments.select)
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

    config = read_settings(arguments)
    recordings = read_recordings(arguments.manifest)
    seconds = sum(r.duration for r in recordings)
    start = time.monotonic()
    with progress("features", seconds) as advance:
        result, _ = extract(
            recordings, arguments.output, config.feature_spec, arguments.processes, advance
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


def train(arguments: argparse.Namespace) -> None:
    """Train an encoder, in cycles of training and validation."""
    _need_torch()
    from singerid import run
    from singerid.cycles import resolve_cycles
    from singerid.store import Store
    from singerid.train import check_singers, fit, resolve_precision

    resume = arguments.resume is not None
    if resume == (arguments.output is not None):
        raise SingeridError("give either -o RUN for a new run or --resume RUN to go on with one")
    path = Path(arguments.resume or arguments.output)
    base: dict[str, Any] = {}
    if resume:
        run.latest_checkpoint(path)
        base = read_config_file(path / "config.yaml")
    store = Store(arguments.store or _store_of(path))
    spec = store.spec.model_dump()
    config = read_settings(arguments, merge(base, spec))
    if config.feature_spec != store.spec:
        raise MismatchError(
            "settings and store have different feature specs", where=store.path,
            found=f"settings {config.feature_spec.fingerprint()}, store {store.spec.fingerprint()}",
            do="leave out what concerns features: the store decides",
        )  # fmt: skip
    config = resolve_cycles(resolve_precision(config), store, say)
    if not resume:
        check_singers(config, store)
        run.make_run_folder(path, arguments.overwrite)
        run.describe_run(path, config, store, arguments.notes, arguments.command_line)
    with progress("training", config.train.steps) as advance:
        reporter = _Reporter(advance)
        outcome = fit(
            config, store, path, resume=resume, say=say, on_step=reporter.step,
            provenance=run.provenance(store, arguments.command_line), on_cycle=reporter.cycle,
        )  # fmt: skip
    say(f"{path}: ended at step {outcome.step}, {outcome.reason}; best encoder.safetensors saved")


class _Reporter:
    """Prints the figures of steps and cycles."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        self._advance = advance
        self._last = 0

    def step(self, step: int, figures: Figures) -> None:
        self._advance(step - self._last)
        self._last = step
        if figures:
            say(f"step {step:>6}  train  {_figures(figures)}")

    def cycle(self, step: int, train: Figures, valid: Figures, best: bool) -> None:
        say(f"step {step:>6}  cycle  {_figures(train)}")
        if valid:
            say(f"step {step:>6}  valid  {_figures(valid)}{'  best' if best else ''}")


def _figures(figures: Figures) -> str:
    text = (
        f"total {figures['total_loss']:.4f}  ge2e {figures['ge2e_loss']:.4f}  "
        f"prediction {figures['prediction_loss']:.4f}  accuracy {figures['accuracy']:.1%}  "
        f"prediction accuracy {figures['prediction_accuracy']:.1%}"
    )
    return text + (f"  EER {figures['eer']:.1%}" if "eer" in figures else "")


def _store_of(path: Path) -> str:
    import json

    file = path / "provenance.json"
    if not file.exists():
        raise SingeridError("give the store", expected="singerid train STORE -o RUN")
    return str(json.loads(file.read_text("utf-8"))["store"])


def embed(arguments: argparse.Namespace) -> None:
    """Embed audio files, a manifest's recordings or a store's."""
    _need_torch()
    from singerid.embed import SingerEncoder
    from singerid.embeddings import write_embeddings
    from singerid.manifest import select
    from singerid.store import Store

    settings = read_settings(arguments).embed
    encoder = SingerEncoder.load(arguments.encoder, settings)
    first = Path(arguments.inputs[0])
    store = Store(first) if (first / "spec.json").exists() else None
    if store and len(arguments.inputs) > 1:
        raise SingeridError("give one store and nothing else", found=" ".join(arguments.inputs))
    recordings, failures = (store.recordings, []) if store else _recordings(arguments.inputs)
    n_inputs = len(recordings) + len(failures)
    if arguments.select:
        recordings = select(recordings, arguments.select)
    with progress("embed", sum(r.duration for r in recordings)) as advance:
        if store:
            embeddings, failed = encoder.embed_store(store, recordings, advance)
        else:
            embeddings, failed = encoder.embed_recordings(
                recordings, arguments.processes, advance, warn
            )
    write_embeddings(arguments.output, embeddings)
    dim = embeddings.vectors.shape[1]
    say(
        f"{arguments.output}: {len(embeddings)} vectors of {dim} dimensions, "
        f"{len(set(embeddings.singers))} singers, encoder {embeddings.encoder}"
    )
    check_failures([*failures, *failed], n_inputs, "recordings")


def _recordings(inputs: Sequence[str]) -> tuple[list[Recording], list[SingeridError]]:
    """Of a manifest, or of single files, each then a singer of its own name."""
    from singerid.sections import ManifestSettings
    from singerid.corpora.folder import readable
    from singerid.manifest import Scan, Source, build
    from singerid.records import read_recordings

    if len(inputs) == 1 and inputs[0].endswith(".jsonl"):
        return read_recordings(inputs[0]), []
    if folder := next((path for path in inputs if os.path.isdir(path)), None):
        raise SingeridError(
            "is a folder, but no feature store", where=folder,
            do="make a manifest of it: singerid manifest",
        )  # fmt: skip
    sources = [Source(Path(path), readable(path), readable(Path(path).stem)) for path in inputs]
    result = build(Scan(sources), ManifestSettings(splits="auto", valid_share=0), CPUS)
    warn_all(result.warnings)
    if not result.recordings:
        check_failures(result.problems, len(inputs), "files")
    return result.recordings, result.problems


def table(arguments: argparse.Namespace) -> None:
    """One centroid a singer."""
    from singerid.table import build_table, write_table

    settings = read_settings(arguments).table
    result = build_table(_embeddings(arguments), settings)
    write_table(arguments.output, result)
    say(f"{arguments.output}: {len(result)} singers, {sum(result.n_recordings)} recordings")


def evaluate(arguments: argparse.Namespace) -> None:
    """Verification and identification figures, trials, scores, pictures."""
    from singerid.evaluate import evaluate as compute
    from singerid.evaluate import summary_lines, write_report

    settings = read_settings(arguments).evaluate
    report = compute(_embeddings(arguments), **settings.model_dump())
    write_report(report, arguments.output)
    for line in summary_lines(report):
        say(line)
    say(f"{arguments.output}: report.json, trials.txt, scores.txt, det.png, histogram.png")


def plot(arguments: argparse.Namespace) -> None:
    """A map of recordings."""
    import numpy as np

    from singerid import plots
    from singerid.table import draw

    settings = read_settings(arguments).plot
    embeddings = _embeddings(arguments)
    rng = np.random.default_rng(settings.seed)
    chosen = set(draw(sorted(set(embeddings.singers)), settings.max_singers, rng))
    rows: list[int] = []
    for singer in sorted(chosen):
        members = [i for i, name in enumerate(embeddings.singers) if name == singer]
        rows += draw(members, settings.max_recordings, rng)
    embeddings = embeddings.select(sorted(rows))
    points = plots.project(embeddings.vectors, settings.method, settings.seed, settings.perplexity)
    name = {"tsne": "t-SNE", "pca": "PCA"}[settings.method]
    figure = plots.map_figure(embeddings, points, settings.color, settings.marker, name)
    plots.save_figure(figure, arguments.output)
    what = f"{len(embeddings)} recordings of {len(chosen)} singers"
    say(f"{arguments.output}: {name} of {what}, color {settings.color}, marker {settings.marker}")


def _embeddings(arguments: argparse.Namespace) -> EmbeddingSet:
    from singerid.embeddings import read_embeddings

    embeddings = read_embeddings(arguments.embeddings)
    return embeddings.where(arguments.select) if arguments.select else embeddings


def config(arguments: argparse.Namespace) -> None:
    """Print the resolved configuration."""
    say(to_yaml(read_settings(arguments)).rstrip())


def demo(arguments: argparse.Namespace) -> None:
    """The whole job on virtual singers."""
    _need_torch()
    from singerid.demo import run_demo

    run_demo(Path(arguments.output), main, CPUS)


def _need_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError("PyTorch", "train") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("singerid", description="Who is singing?", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"singerid {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(
        run: Callable[[argparse.Namespace], None], sections: Sequence[str], output: str | None
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            run.__name__, help=run.__doc__, description=run.__doc__, allow_abbrev=False
        )
        sub.set_defaults(run=run)
        if output:
            sub.add_argument("-o", "--output", metavar=output, required=True, help="what to write")
        if sections:
            add_settings(sub, sections)
        return sub

    def selectable(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--select", metavar="LABEL=VALUE", action="append", default=[],
            help="take only these: singer, split or a label; != for all others; repeatable",
        )  # fmt: skip

    sub = command(manifest, ["manifest"], "FILE.jsonl")
    sub.add_argument("source", help="folder of the corpus, or CSV file")
    from singerid.corpora import CORPORA

    sub.add_argument("--corpus", choices=sorted(CORPORA), default="folder", help="kind of corpus")
    sub.add_argument(
        "--corpus-option", metavar="NAME=VALUE", action="append", default=[],
        help="option of the corpus (docs/corpora.md lists them); repeatable",
    )  # fmt: skip
    selectable(sub)

    sub = command(features, ["audio", "features", "mel", "world", "pitch"], "STORE")
    sub.add_argument("manifest", help="manifest.jsonl")
    _add_processes(sub)

    sub = command(train, ["batch", "encoder", "loss", "train"], None)
    sub.add_argument("store", nargs="?", help="feature store (of a resumed run: its own)")
    sub.add_argument("-o", "--output", metavar="RUN", help="folder of a new run")
    sub.add_argument("--resume", metavar="RUN", help="go on with a run")
    sub.add_argument("--overwrite", action="store_true", help="replace a run of that name")
    sub.add_argument("-n", "--notes", default="", help="text to keep in the run folder")

    sub = command(embed, ["embed"], "FILE.parquet")
    sub.add_argument("inputs", nargs="+", help="audio files, one manifest.jsonl or one store")
    sub.add_argument("--encoder", required=True, help="run folder or encoder file")
    selectable(sub)
    _add_processes(sub)

    for run, section, output in (
        (table, "table", "FILE.parquet"), (evaluate, "evaluate", "FOLDER"),
        (plot, "plot", "FILE.png"),
    ):  # fmt: skip
        sub = command(run, [section], output)
        sub.add_argument("embeddings", help="embeddings.parquet")
        selectable(sub)

    command(config, list(Config.model_fields), None)
    sub = command(demo, [], None)
    sub.add_argument("-o", "--output", metavar="FOLDER", default="singerid_demo", help="where")
    return parser


def _add_processes(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--processes", type=int, default=CPUS, metavar="N",
        help="processes that decode audio (default: %(default)s)",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
