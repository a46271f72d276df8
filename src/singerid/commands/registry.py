"""Commands of the registry: enroll, search, dedupe, singers list | show | rename | merge | …."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING, Any

from singerid.errors import SingeridError
from singerid.flags import read_settings
from singerid.terminal import check_failures, progress, say, warn

if TYPE_CHECKING:
    from singerid.judge import Judge
    from singerid.registry import Enrollment, Exemplar, Registry

_INDEX_HINT = "so many recordings are found faster by an index: singerid singers index"


def enroll(arguments: argparse.Namespace) -> None:
    """Enroll a singer with recordings."""
    from singerid.registry.dedupe import threshold
    from singerid.registry.listening import hear_exemplar
    from singerid.registry.names import check_labels, check_name

    name, labels = check_name(arguments.name), check_labels(_labels(arguments.label))
    registry, judge = _open(arguments, create=True), _judge(arguments)
    heard: list[Exemplar] = []
    failures: list[SingeridError] = []
    for path in arguments.files:
        try:
            exemplar, voice = hear_exemplar(
                judge, path, labels, arguments.source, not arguments.no_clips
            )
        except SingeridError as error:
            failures.append(error)
            continue
        for reason in voice.quality.reasons:
            warn(f"{path}: {reason}")
        heard.append(exemplar)
    if heard:
        near = None
        if judge.calibration is not None:
            near = threshold(judge.calibration, len(registry) + 1)
        done = registry.enroll(name, heard, judge.encoder.fingerprint, near)
        _say_enrollment(arguments, registry, done)
        if registry.wants_index:
            warn(_INDEX_HINT)
    check_failures(failures, len(arguments.files), "files")


def _say_enrollment(arguments: argparse.Namespace, registry: Registry, done: Enrollment) -> None:
    mine = {one.id: one for one in registry.exemplars(done.singer)}
    added = [mine[id] for id in done.added if id in mine]
    for one in done.known:
        warn(f"{one.name()}: {done.singer} is enrolled with it already")
    for id, reason in done.outliers:
        warn(f"{mine[id].name() if id in mine else id} (exemplar {id}): {reason}")
    for singer, score in done.near_other:
        warn(
            f"{done.singer} sounds like {singer} (score {score:.2f}): if they are one person, "
            f"see singerid singers merge"
        )
    if arguments.json:
        say(json.dumps({
            "singer": done.singer, "registry": registry.place,
            "enrolled": [_about(one) for one in added],
            "known": [one.path for one in done.known],
            "outliers": [
                {"id": id, "file": mine[id].path if id in mine else "", "reason": reason}
                for id, reason in done.outliers
            ],
            "near": [{"singer": singer, "score": score} for singer, score in done.near_other],
        }))  # fmt: skip
        return
    seconds = sum(one.seconds for one in mine.values())
    say(
        f"{done.singer}: {len(added)} recording(s) added, now {len(mine)} of {seconds:.1f} s; "
        f"{len(registry)} singer(s) in {registry.place}"
    )


def singers_list(arguments: argparse.Namespace) -> None:
    """Who is enrolled."""
    registry = _open(arguments)
    for one in registry.singers(arguments.query):
        if arguments.json:
            about = {"name": one.name, "n_exemplars": one.n_exemplars}
            about |= {"seconds": round(one.seconds, 3), "labels": dict(one.labels)}
            say(json.dumps(about | {"enrolled_at": one.enrolled_at}))
        else:
            known = ", ".join(f"{name} {value}" for name, value in one.labels.items())
            line = f"{one.name}  {one.n_exemplars} recording(s), {one.seconds:.1f} s"
            say(f"{line}, {known}" if known else line)


def singers_show(arguments: argparse.Namespace) -> None:
    """The recordings that a singer is enrolled with."""
    registry = _open(arguments)
    exemplars = registry.exemplars(arguments.name)
    odd = dict(registry.outliers(arguments.name))
    for one in exemplars:
        if arguments.json:
            more = {"has_clip": one.has_clip, "source": one.source, "outlier": odd.get(one.id)}
            say(json.dumps({"singer": one.singer} | _about(one) | more))
            continue
        facts = [f"{one.seconds:.1f} s", f"enrolled {one.enrolled_at[:10]}"]
        facts += [f"quality {one.quality:.2f}"] if one.quality is not None else []
        facts += [f"{name} {value}" for name, value in one.labels.items()]
        say(f"{one.id}  {one.path or '(no file)'}: {', '.join(facts)}")
        if one.id in odd:
            warn(f"{one.name()} (exemplar {one.id}): {odd[one.id]}")


def singers_rename(arguments: argparse.Namespace) -> None:
    """Give a singer another name."""
    count = _open(arguments).rename(arguments.name, arguments.new)
    say(f"{arguments.new}: {count} recording(s), until now of {arguments.name}")


def singers_merge(arguments: argparse.Namespace) -> None:
    """Make several names one."""
    count = _open(arguments).merge(arguments.names, arguments.into)
    say(f"{arguments.into}: {count} recording(s)")


def singers_remove(arguments: argparse.Namespace) -> None:
    """Remove a singer, or one recording."""
    registry = _open(arguments)
    if (arguments.name is None) == (arguments.exemplar is None):
        raise SingeridError("what to remove?", do="give either a name or --exemplar ID")
    if arguments.exemplar is not None:
        registry.remove_exemplar(arguments.exemplar)
        say(f"exemplar {arguments.exemplar} removed")
    else:
        count = registry.remove(arguments.name)
        say(f"{arguments.name}: removed, with {count} recording(s)")
    if arguments.purge:
        registry.purge()


def singers_import(arguments: argparse.Namespace) -> None:
    """Enroll whoever is in a table.parquet or embeddings.parquet."""
    from singerid.embeddings import read_embeddings
    from singerid.table import read_table

    registry, path = _open(arguments, create=True), arguments.file
    source = os.path.basename(path)
    if _kind(path) == "table":
        table = read_table(path)
        given, new = len(table), registry.import_table(table, source)
    else:
        embeddings = read_embeddings(path)
        given, new = len(embeddings), registry.import_embeddings(embeddings, source)
    say(
        f"{registry.place}: {new} of {given} vectors are new, "
        f"{len(registry)} singer(s), {registry.n_exemplars} recording(s)"
    )
    if registry.wants_index:
        warn(_INDEX_HINT)


def _kind(path: str) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise SingeridError("cannot read vectors", where=path, found=error) from error
    return bytes(metadata.get(b"singerid.kind", b"")).decode()


def singers_export(arguments: argparse.Namespace) -> None:
    """Write the registry as table.parquet (or, with --embeddings, embeddings.parquet)."""
    from singerid.embeddings import write_embeddings
    from singerid.table import write_table

    registry = _open(arguments)
    if not registry.n_exemplars:
        raise SingeridError("nobody is enrolled", where=registry.place)
    if arguments.embeddings:
        embeddings = registry.embeddings()
        write_embeddings(arguments.output, embeddings)
        say(f"{arguments.output}: {len(embeddings)} vectors")
        return
    table = registry.to_table()
    write_table(arguments.output, table)
    say(f"{arguments.output}: {len(table)} singers, {sum(table.n_recordings)} recordings")


def singers_reembed(arguments: argparse.Namespace) -> None:
    """Make all vectors anew, by another encoder."""
    from singerid.external import load_embedder

    registry = _open(arguments)
    encoder = load_embedder(arguments.encoder, read_settings(arguments).embed)
    seconds = sum(one.seconds for one in registry.singers())
    with progress("embed", seconds) as advance:
        done = registry.reembed(encoder, advance, arguments.from_clips, arguments.workers)
    if done.from_clips:
        warn(f"{len(done.from_clips)} of them from their clips, as their files are gone")
    say(f"{registry.place}: {done.n_exemplars} recording(s), encoder {registry.encoder}")


def singers_index(arguments: argparse.Namespace) -> None:
    """Make the index of vectors, for very many recordings."""
    registry = _open(arguments)
    if arguments.drop:
        registry.drop_index()
        say(f"{registry.place}: no index")
    else:
        registry.build_index()
        say(f"{registry.place}: {registry.n_exemplars} recording(s) indexed")


def search(arguments: argparse.Namespace) -> None:
    """The enrolled recordings that sound most like one."""
    registry, judge = _open(arguments), _judge(arguments)
    voice = judge.hear(arguments.file)
    hits = registry.search(voice.vector, judge.encoder.fingerprint, arguments.top)
    if arguments.json:
        found = [
            {"exemplar": hit.exemplar.id, "score": round(hit.score, 6)}
            | {"singer": hit.exemplar.singer} | _about(hit.exemplar)
            for hit in hits
        ]  # fmt: skip
        say(json.dumps({"file": voice.path, **voice.durations(), "hits": found}))
        return
    for rank, hit in enumerate(hits, 1):
        say(f"{rank}. {hit.exemplar.singer}  score {hit.score:.3f}  {hit.exemplar.name()}")


def dedupe(arguments: argparse.Namespace) -> None:
    """Singers who seem to be one voice, and names with two."""
    registry = _open(arguments)
    calibration = None if arguments.threshold is not None else _judge(arguments).calibration
    with progress("compare", 2 * len(registry)) as advance:
        findings = registry.dedupe(calibration, arguments.threshold, advance)
    for one in findings:
        if arguments.json:
            say(json.dumps(one.to_dict()))
        elif one.kind == "same":
            sure = f", probability {one.probability:.3f}" if one.probability is not None else ""
            say(f"one voice?  {one.singers[0]} | {one.singers[1]}  score {one.score:.3f}{sure}")
        else:
            groups = " | ".join(" ".join(group) for group in one.groups)
            say(f"two voices?  {one.singers[0]}  score {one.score:.3f}  exemplars {groups}")
    if not findings and not arguments.json:
        say(f"{registry.place}: nothing found among {len(registry)} singer(s)")


def _open(arguments: argparse.Namespace, create: bool = False) -> Registry:
    from singerid.registry import Registry
    from singerid.registry.place import default_place

    return Registry.open(default_place(arguments.registry), create)


def _judge(arguments: argparse.Namespace) -> Judge:
    from singerid.judge import load_judge

    settings = read_settings(arguments).embed
    return load_judge(arguments.encoder, arguments.calibration, settings)


def _labels(given: list[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign:
            raise SingeridError("cannot read the label", where="--label", found=text,
                                expected="name=value")  # fmt: skip
        labels[name] = value
    return labels


def _about(one: Exemplar) -> dict[str, Any]:
    """An exemplar, for JSON."""
    return {
        "id": one.id, "file": one.path, "seconds": round(one.seconds, 3),
        "voice_seconds": round(one.voice_seconds, 3), "quality": one.quality,
        "labels": dict(one.labels), "enrolled_at": one.enrolled_at,
    }  # fmt: skip
