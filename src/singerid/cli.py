"""The command ``singerid``: one sub-command per arrow of the map."""

from __future__ import annotations

import argparse
import errno
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from singerid import __version__
from singerid.commands.asking import identify, verify
from singerid.commands.corpus import features, manifest, resynthesize, voices
from singerid.commands.judging import calibrate, evaluate, leaderboard, trials_build, trials_lint
from singerid.commands.registry import (
    dedupe,
    enroll,
    search,
    singers_export,
    singers_import,
    singers_index,
    singers_list,
    singers_merge,
    singers_reembed,
    singers_remove,
    singers_rename,
    singers_show,
)
from singerid.commands.resinging import resing
from singerid.commands.robust import robustness
from singerid.commands.segments import quality, segments
from singerid.commands.serve import serve
from singerid.commands.similarity import similarity
from singerid.commands.store import store_check, store_repair
from singerid.commands.training import export, import_weights, train, whiten
from singerid.commands.vectors import embed, plot, table
from singerid.config import Config, to_yaml
from singerid.corpora import CORPORA
from singerid.errors import SingeridError
from singerid.flags import add_settings, read_settings
from singerid.remote import is_url
from singerid.terminal import CPUS, complain, need_torch, say

FRONT_END = ["audio", "features", "mel", "world", "pitch"]
Adder = Callable[[argparse.ArgumentParser], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        Exit status: 0 all done; 1 an error, or some items of a batch failed; 2 wrong usage;
        130 interrupted.
    """
    words = sys.argv[1:] if argv is None else argv
    arguments = _parser(words).parse_args(words)
    arguments.command_line = shlex.join(["singerid", *words])
    try:
        _check_output(arguments)
        arguments.run(arguments)
    except SingeridError as error:
        complain(error)
        return 1
    except BrokenPipeError:  # whoever read the output has seen enough
        sys.stdout = None
        return 1
    except OSError as error:
        do = "free space and run the command again" if error.errno == errno.ENOSPC else None
        where = error.filename or "file system"
        complain(
            SingeridError("cannot be written or read", where=where, found=error.strerror, do=do)
        )
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _check_output(arguments: argparse.Namespace) -> None:
    """Refuse a URL where a local name is needed: it would become a folder called ``s3:``."""
    output = getattr(arguments, "output", None)
    if is_url(output) and arguments.run not in (manifest, features, embed, table):
        raise SingeridError(
            "this command writes to this machine only", where="--output", found=output,
            do="give a local name, and copy what comes out",
        )  # fmt: skip


def config(arguments: argparse.Namespace) -> None:
    """Print the resolved configuration."""
    say(to_yaml(read_settings(arguments)).rstrip())


def demo(arguments: argparse.Namespace) -> None:
    """The whole job on virtual singers."""
    need_torch()
    from singerid.demo import run_demo

    run_demo(Path(arguments.output), main, CPUS)


def _parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of all commands; if `words` begin with one, the others have no flags.

    There are a thousand flags, and making them takes longer than all the rest of a parser.
    """
    parser = argparse.ArgumentParser("singerid", description="Who is singing?", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"singerid {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    groups: dict[str, Any] = {"": commands}
    is_command = bool(words) and words[0] in {command[0].split()[0] for command in _COMMANDS}
    for full_name, run, output, sections, add in _COMMANDS:
        group, _, name = full_name.rpartition(" ")
        if group not in groups:
            outer = commands.add_parser(group, help=_GROUPS[group], description=_GROUPS[group])
            groups[group] = outer.add_subparsers(metavar="COMMAND", required=True)
        sub = groups[group].add_parser(
            name, help=run.__doc__, description=run.__doc__, allow_abbrev=False
        )
        sub.set_defaults(run=run)
        if is_command and list(words[: full_name.count(" ") + 1]) != full_name.split():
            continue
        if output:
            sub.add_argument("-o", "--output", metavar=output, required=True, help="what to write")
        add(sub)
        if sections:
            add_settings(sub, sections)
    return parser


def _add_manifest(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("source", help="folder of the corpus, or CSV file")
    sub.add_argument("--corpus", choices=sorted(CORPORA), default="folder", help="kind of corpus")
    sub.add_argument(
        "--corpus-option", metavar="NAME=VALUE", action="append", default=[],
        help="option of the corpus (docs/corpora.md lists them); repeatable",
    )  # fmt: skip
    sub.add_argument(
        "--tiny", action="store_true",
        help="only three recordings of three singers of each split: to try things out",
    )  # fmt: skip
    _add_select(sub)


def _add_features(sub: argparse.ArgumentParser) -> None:
    _add_front_end(sub)
    _add_engine(sub)


def _add_front_end(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("manifest", help="manifest.jsonl")
    sub.add_argument(
        "--encoder", metavar="FILE", help="take the front end of this encoder (or of default)"
    )


def _add_store(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("store", help="feature store")


def _add_voices(sub: argparse.ArgumentParser) -> None:
    _add_front_end(sub)
    _add_workers(sub)
    _add_select(sub)


def _add_resing(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("bank", help="voice bank")
    sub.add_argument("--singer", help="whose voice (default: another singer for every song)")
    sub.add_argument("--id", help="the recording (default: drawn)")
    sub.add_argument(
        "--variant", type=int, metavar="V",
        help="as whom the singer sings, 0 for the natural voice (default: all in turn)",
    )  # fmt: skip
    sub.add_argument("--n", type=int, metavar="N", help="songs (default: 4, or 1 for a file)")
    sub.add_argument(
        "--seconds", type=float, default=6.0, metavar="S", help="of a song (default: %(default)s)"
    )
    sub.add_argument(
        "--seed", type=int, default=0, metavar="N",
        help="of the first song, one more for each that follows (default: %(default)s)",
    )  # fmt: skip
    sub.add_argument(
        "--picture", action=argparse.BooleanOptionalAction, default=True,
        help="draw recording, rendered frames, sound and F0 beside each song (default: yes)",
    )  # fmt: skip


def _add_resynthesize(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("store", help="store of WORLD features")
    sub.add_argument("--id", help="the recording (default: the first)")


def _add_train(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "source", nargs="?",
        help="feature store; voice bank, to be re-sung; or manifest.jsonl, for features and "
        "augmentation on the fly",
    )  # fmt: skip
    sub.add_argument("-o", "--output", metavar="RUN", help="folder of a new run")
    sub.add_argument(
        "--valid", metavar="STORE",
        help="with a voice bank: store of real singing whose split valid is validated on",
    )  # fmt: skip
    sub.add_argument("--resume", metavar="RUN", help="go on with a run")
    sub.add_argument("--validate", action="store_true", help="only validate the resumed run")
    sub.add_argument(
        "--init", metavar="FILE",
        help="start from the weights of a run, of AutoVC, CorentinJ, Resemblyzer or the original, "
        "or of the encoder that comes with singerid (default)",
    )  # fmt: skip
    sub.add_argument("--keep-step", action="store_true", help="count on from the step of --init")
    sub.add_argument("--overwrite", action="store_true", help="replace a run of that name")
    sub.add_argument("-n", "--notes", default="", help="text to keep in the run folder")


def _add_whiten(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("encoder", nargs="+", help="run folders, encoder files, or default")
    sub.add_argument("source", help="voice bank, feature store or manifest of training singers")
    sub.set_defaults(valid=None)


def _add_import(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "file",
        help="weights of AutoVC, CorentinJ, Resemblyzer or the original; or vectors as .parquet, "
        ".npz or .csv",
    )  # fmt: skip
    sub.add_argument("--name", help="of vectors: the encoder that made them (default: the file)")
    sub.add_argument(
        "--manifest", metavar="FILE", help="of vectors: where singers and labels are by id"
    )


def _add_export(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("encoder", help="run folder, encoder file or default")
    sub.add_argument("--name", help="of the encoder (default: of the run)")
    sub.add_argument("--calibration", metavar="FILE", help="of the encoder, to be carried along")
    sub.add_argument("--quantize", action="store_true", help="an LSTM's weights as bytes")


def _add_embed(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("inputs", nargs="+", help="audio files, one manifest.jsonl or one store")
    _add_encoder(sub)
    _add_select(sub)
    _add_engine(sub)


def _add_embeddings(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("embeddings", help="embeddings.parquet")
    _add_select(sub)


def _add_sets(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("embeddings", nargs="+", help="embeddings.parquet; of several encoders")
    sub.add_argument("--list", metavar="FILE", help="take these trials and draw none")
    sub.add_argument("--models", metavar="FILE", help="recordings of each model in the trials")
    _add_select(sub)


def _add_evaluate(sub: argparse.ArgumentParser) -> None:
    _add_sets(sub)
    sub.add_argument("--calibration", metavar="FILE", help="judge these probabilities as well")
    sub.add_argument(
        "--robustness", metavar="FOLDER", help="show this robustness report on the page as well"
    )


def _add_calibrate(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "embeddings", nargs="+",
        help="embeddings.parquet of development singers; of several durations, one file each",
    )  # fmt: skip
    sub.add_argument(
        "--background", metavar="FILE",
        help="embeddings of other singers, for transform, PLDA and cohort",
    )  # fmt: skip
    _add_select(sub)


def _add_trials_build(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("source", help="manifest.jsonl or embeddings.parquet")
    sub.add_argument(
        "--format", default="voxceleb", metavar="voxceleb|kaldi|speaker_pairs",
        help="of the list (default: %(default)s)",
    )  # fmt: skip
    _add_train_manifest(sub)
    _add_select(sub)


def _add_trials_lint(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("trials", help="list of trials in any format")
    sub.add_argument("source", help="manifest.jsonl or embeddings.parquet that it is about")
    sub.add_argument("--models", metavar="FILE", help="recordings of each model in the trials")
    _add_train_manifest(sub)


def _add_train_manifest(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--train", metavar="FILE", help="manifest that the encoder was trained on")


def _add_robustness(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("manifest", help="manifest.jsonl")
    _add_encoder(sub)
    _add_select(sub)
    _add_workers(sub)


def _add_verify(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "files", nargs=2, metavar="FILE", help="two recordings, or an enrolled singer and one"
    )
    _add_registry(sub)
    _add_asking(sub)
    _add_false_alarm(sub)


def _add_identify(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "files", nargs="+", metavar="FILE",
        help="recordings; a table.parquet before them is asked instead of the registry",
    )  # fmt: skip
    sub.add_argument("--top", type=int, default=3, metavar="N", help="candidates (default: 3)")
    _add_registry(sub)
    _add_asking(sub)


def _add_segments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("files", nargs="+", metavar="FILE", help="recordings of any length")
    sub.add_argument(
        "--table", metavar="FILE", help="singers to look for (default: whoever is there: A, B, ...)"
    )
    sub.add_argument(
        "--registry", metavar="PLACE", nargs="?", const="",
        help="look for enrolled singers (default PLACE: $SINGERID_REGISTRY, or the user's own)",
    )  # fmt: skip
    sub.add_argument(
        "--format", choices=["rttm", "txt", "json"], default="rttm",
        help="of the files in an output folder; txt: labels for Audacity (default: %(default)s)",
    )  # fmt: skip
    sub.add_argument("--plot", metavar="FILE.png", help="draw a timeline")
    sub.add_argument(
        "--separate", action="store_true",
        help="take the voice out of the mix first (needs the extra separate)",
    )  # fmt: skip
    _add_judge(sub)


def _add_quality(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("files", nargs="+", metavar="FILE", help="recordings")
    sub.add_argument("--json", action="store_true", help="one JSON object a line")


def _add_similarity(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "generated", help="folder of generated recordings (or one folder a singer), or .parquet"
    )
    sub.add_argument("references", help="real recordings of the singers, laid out alike")
    sub.add_argument(
        "--by", choices=["singer", "name", "order", "all"],
        help="what belongs together (default: singer, if there are singers' folders, or name)",
    )  # fmt: skip
    sub.add_argument("--pairs", metavar="FILE.csv", help="columns generated,reference instead")
    sub.add_argument("-o", "--output", metavar="FILE.png", help="picture of the distributions")
    _add_asking(sub)
    _add_false_alarm(sub)
    _add_workers(sub)


def _add_serve(sub: argparse.ArgumentParser) -> None:
    _add_registry(sub)
    _add_judge(sub)
    _add_false_alarm(sub)


def _add_enroll(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("name", help="of the singer, who may be enrolled already")
    sub.add_argument("files", nargs="+", metavar="FILE", help="recordings of nobody else")
    sub.add_argument(
        "--label", metavar="NAME=VALUE", action="append", default=[],
        help="what is known of the recordings; repeatable",
    )  # fmt: skip
    sub.add_argument("--source", default="", help="text to keep: where they are from")
    sub.add_argument("--no-clips", action="store_true", help="keep no 8 s of them to be heard")
    _add_registry(sub)
    _add_judge(sub)
    _add_json(sub)


def _add_search(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("file", metavar="FILE", help="recording")
    sub.add_argument("--top", type=int, default=20, metavar="N", help="how many (default: 20)")
    _add_registry(sub)
    _add_judge(sub)
    _add_json(sub)


def _add_dedupe(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--threshold", type=float, metavar="SCORE",
        help="pairs of singers from this score on (default: those who are one voice rather than "
        "two by the calibration)",
    )  # fmt: skip
    _add_registry(sub)
    _add_judge(sub)
    _add_json(sub)


def _add_singers_list(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("query", nargs="?", default="", help="part of the name")
    _add_registry(sub)
    _add_json(sub)


def _add_singers_show(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("name", help="of the singer")
    _add_registry(sub)
    _add_json(sub)


def _add_singers_rename(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("name", help="of the singer")
    sub.add_argument("new", help="name that nobody has")
    _add_registry(sub)


def _add_singers_merge(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("names", nargs="+", metavar="NAME", help="names of one person")
    sub.add_argument("--into", metavar="NAME", required=True, help="one of them, or a new one")
    _add_registry(sub)


def _add_singers_remove(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("name", nargs="?", help="of the singer")
    sub.add_argument("--exemplar", metavar="ID", help="one recording instead")
    sub.add_argument(
        "--purge", action="store_true",
        help="write everything anew, so that nothing of it is left on the disk; nobody else may "
        "use the registry meanwhile",
    )  # fmt: skip
    _add_registry(sub)


def _add_singers_import(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("file", metavar="FILE", help="table.parquet or embeddings.parquet")
    _add_registry(sub)


def _add_singers_export(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--embeddings", action="store_true", help="every recording, no centroids")
    _add_registry(sub)


def _add_singers_reembed(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--from-clips", action="store_true",
        help="where a file is gone, take the 8 s that were kept of it",
    )  # fmt: skip
    _add_registry(sub)
    _add_encoder(sub)
    _add_workers(sub)


def _add_singers_index(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--drop", action="store_true", help="remove it")
    _add_registry(sub)


def _add_registry(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--registry", metavar="PLACE",
        help="folder or object store (default: $SINGERID_REGISTRY, or the user's own)",
    )  # fmt: skip


def _add_asking(sub: argparse.ArgumentParser) -> None:
    _add_judge(sub)
    _add_json(sub)


def _add_json(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--json", action="store_true", help="one JSON object a line")


def _add_judge(sub: argparse.ArgumentParser) -> None:
    _add_encoder(sub)
    sub.add_argument(
        "--calibration", metavar="FILE",
        help="of the encoder (default: the one in its file, or calibration.safetensors beside it)",
    )  # fmt: skip
    sub.add_argument(
        "--prior", type=float, default=0.5, metavar="P",
        help="probability of the same singer, or of any enrolled one, before listening (default: "
        "%(default)s)",
    )  # fmt: skip


def _add_false_alarm(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--false-alarm", type=float, default=0.01, metavar="RATE",
        help="share of other singers that may be accepted (default: %(default)s)",
    )  # fmt: skip


def _add_encoder(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--encoder", default="default",
        help="run folder, encoder file, model.onnx, model.pt, mfcc or resemblyzer (default: the "
        "one that comes with singerid)",
    )  # fmt: skip


def _add_demo(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("-o", "--output", metavar="FOLDER", default="singerid_demo", help="where")


def _add_select(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--select", metavar="LABEL=VALUE", action="append", default=[],
        help="take only these: singer, split or a label; != for all others; repeatable",
    )  # fmt: skip


def _add_workers(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--workers", type=int, default=CPUS, metavar="N",
        help="files that are decoded at once (default: %(default)s)",
    )  # fmt: skip


def _add_engine(sub: argparse.ArgumentParser) -> None:
    _add_workers(sub)
    sub.add_argument(
        "--engine", choices=["local", "ray"], default="local",
        help="ray: on all cores of a Ray cluster (RAY_ADDRESS, or one of this machine), whatever "
        "--workers says (default: %(default)s)",
    )  # fmt: skip


def _add_nothing(sub: argparse.ArgumentParser) -> None:
    pass


_GROUPS = {
    "store": "Feature stores: damage found and taken out.",
    "trials": "Lists of trials: which recordings are compared with which.",
    "singers": "The registry: who is enrolled.",
}
_TRAIN = [
    "batch", "augment", "batch_augment", "resing", "channel", "encoder", "loss", "train",
    "validation",
]  # fmt: skip
_COMMANDS: list[
    tuple[str, Callable[[argparse.Namespace], None], str | None, list[str], Adder]
] = [
    ("manifest", manifest, "FILE.jsonl", ["manifest"], _add_manifest),
    ("features", features, "STORE", FRONT_END, _add_features),
    ("store check", store_check, None, [], _add_store),
    ("store repair", store_repair, None, [], _add_store),
    ("voices", voices, "BANK", ["bank", *FRONT_END], _add_voices),
    ("resing", resing, "FOLDER|FILE.wav", ["resing"], _add_resing),
    ("train", train, None, [*_TRAIN, *FRONT_END], _add_train),
    ("whiten", whiten, "encoder.safetensors", ["whiten", "batch", "resing", "channel"],
     _add_whiten),
    ("embed", embed, "FILE.parquet", ["embed"], _add_embed),
    ("table", table, "FILE.parquet", ["table"], _add_embeddings),
    ("trials build", trials_build, "FILE", ["trials"], _add_trials_build),
    ("trials lint", trials_lint, None, [], _add_trials_lint),
    ("evaluate", evaluate, "FOLDER", ["trials", "evaluate"], _add_evaluate),
    ("leaderboard", leaderboard, "FILE.md", ["trials", "evaluate"], _add_sets),
    ("robustness", robustness, "FOLDER", ["trials", "robustness", "embed"], _add_robustness),
    ("calibrate", calibrate, "calibration.safetensors", ["trials", "calibrate"], _add_calibrate),
    ("verify", verify, None, ["embed"], _add_verify),
    ("identify", identify, None, ["embed"], _add_identify),
    ("enroll", enroll, None, ["embed"], _add_enroll),
    ("search", search, None, ["embed"], _add_search),
    ("dedupe", dedupe, None, ["embed"], _add_dedupe),
    ("singers list", singers_list, None, [], _add_singers_list),
    ("singers show", singers_show, None, [], _add_singers_show),
    ("singers rename", singers_rename, None, [], _add_singers_rename),
    ("singers merge", singers_merge, None, [], _add_singers_merge),
    ("singers remove", singers_remove, None, [], _add_singers_remove),
    ("singers import", singers_import, None, [], _add_singers_import),
    ("singers export", singers_export, "FILE.parquet", [], _add_singers_export),
    ("singers reembed", singers_reembed, None, ["embed"], _add_singers_reembed),
    ("singers index", singers_index, None, [], _add_singers_index),
    ("segments", segments, "FILE.rttm|.txt|.json|FOLDER", ["segment", "embed"], _add_segments),
    ("quality", quality, None, [], _add_quality),
    ("similarity", similarity, None, ["embed"], _add_similarity),
    ("serve", serve, None, ["serve", "embed"], _add_serve),
    ("plot", plot, "FILE.png|FILE.html|FOLDER", ["plot"], _add_embeddings),
    ("import", import_weights, "FILE", FRONT_END, _add_import),
    ("export", export, "FILE.onnx", [], _add_export),
    ("resynthesize", resynthesize, "FILE.wav", [], _add_resynthesize),
    ("config", config, None, list(Config.model_fields), _add_nothing),
    ("demo", demo, None, [], _add_demo),
]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
