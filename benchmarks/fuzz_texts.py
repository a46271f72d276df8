"""Texts made bad: lists, tables, settings, segments, names."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from fuzz_targets import Subject, Trap
from singerid.config import read_config_file, resolve
from singerid.corpora import damp, jvs_music, scan, vctk
from singerid.corpora.adapter import read_table
from singerid.errors import ManifestError, SingeridError, one_line
from singerid.external.declared import read_declaration
from singerid.records import Recording, read_recordings
from singerid.registry.names import check_labels, check_name
from singerid.robustness.files import read_robustness
from singerid.segment_files import read_segments
from singerid.similarity_pairs import read_pairs
from singerid.trials import TrialList
from singerid.trials.files import read_scores, read_trials
from singerid.trials.models import read_models
from singerid.web.uploads import display_name

DEEP = b"[" * 200_000
DEEP_OBJECT = b'{"a":' * 100_000
DIGITS = b"9" * 100_000
NASTY = (
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "../../../etc/passwd",
    "..\\..\\boot.ini",
    "/dev/zero",
    "/proc/self/mem",
    "\x1b[31m\x1b]0;x\x07",
    "a\nb",
    "a\r\nb",
    "a\tb",
    "a\0b",
    "\u202ereversed",
    "\u2028",
    "\ud800",
    "%00",
    "%n%s",
    "${HOME}",
    "`id`",
    "$(id)",
    "<script>alert(1)</script>",
    "'; DROP TABLE exemplars; --",
    "x" * 100_000,
    "\ufeff",
    "\x85",
    "CON",
    "~root",
    "file:///etc/passwd",
    "s3://bucket/key",
    "a/../../b",
    ".",
    "..",
    "-rf",
)
"""Names of singers, files and labels that mean something to a shell, a sheet, a page or a path."""


def _recording(**changed: object) -> bytes:
    fields = {
        "id": "anna/1",
        "singer": "anna",
        "path": "anna/1.wav",
        "duration": 3.5,
        "sample_rate": 44100,
        "channels": 1,
        "channel": "mix",
        "split": "train",
        "sha256": "ab" * 32,
        "labels": {"gender": "F"},
    }
    return json.dumps(fields | changed).encode()


def _huge_numbers(write: Callable[[object], bytes]) -> list[bytes]:
    """A text with each of the numbers that JSON can hold and nobody can use."""
    numbers: list[object] = [
        0,
        -1,
        1e308,
        10**9,
        10**30,
        -(10**30),
        10**400,
        True,
        None,
        "1",
        [],
        {},
        0.5,
    ]
    files = [write(number) for number in numbers]
    token = write("@")
    for text in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", DIGITS, b"1e-999"):
        files.append(token.replace(b'"@"', text))
    return files


def _with_number(name: str, number: object) -> bytes:
    return _recording(**{name: number})


def manifest(folder: Path) -> Subject:
    good = b"\n".join([_recording(), _recording(id="ben/1", singer="ben", labels={})]) + b"\n"
    traps = [_recording(**{name: text}) for text in NASTY for name in ("id", "singer", "path")]
    traps += [_recording(labels={name: "x"}) for name in NASTY]
    for name in ("duration", "sample_rate", "channels"):
        traps += _huge_numbers(partial(_with_number, name))
    many = b"".join(_recording(id=f"r{i}") + b"\n" for i in range(40_000))
    traps += [DEEP, DEEP_OBJECT, good + DEEP, b'{"labels": ' + DEEP, many]
    traps += [many[:-1], many + b"\0", many + many[: 1 << 20], many.replace(b'"F"', b"null", 1)]
    large = [many.replace(b"44100", b"1" * 30, 1), many.replace(b"3.5", b"1e999", 1)]
    return Subject(
        [("bad.jsonl", good)],
        read_recordings,
        _JSON,
        [*_named("bad.jsonl", [*traps, *large]), *_refused("bad.jsonl", [b"", b"\n", DIGITS])],
    )


_JSON = [b'"id"', b'"labels"', b'"format"', b"2", b"1e400", b"[[", b'{"a":', b"\\u0000", b"true"]


def _named(name: str, files: Sequence[bytes]) -> list[Trap]:
    return [(name, data, False) for data in files]


def _refused(name: str, files: Sequence[bytes]) -> list[Trap]:
    return [(name, data, True) for data in files]


def csv(folder: Path) -> Subject:
    good = "path,singer,split,song,channel\na/1.wav,anna,train,x,mix\nb/1.wav,ben,valid,y,left\n"
    rows = [f'"{text}",anna\n"a",{text}\n' for text in NASTY]
    traps = [f"path,singer\n{row}".encode("utf-8", "surrogatepass") for row in rows]
    traps += [f"path,singer,{text}\na,b,c\n".encode("utf-8", "surrogatepass") for text in NASTY]
    traps += [b"path,singer\n" + b'"' + b"x" * 10_000_000, b"path,singer\n" + b"a,b\n" * 50_000]
    traps += [
        b"path,singer," + b"x," * 100_000 + b"\n" + b"a," * 100_000,
        b"path,path,singer\na,b,c",
    ]
    return Subject(
        [("bad.csv", good.encode())], lambda path: scan("csv", path), _CSV, _named("bad.csv", traps)
    )


_CSV = [b"path", b"singer", b"split", b"channel", b'"', b'""', b",", b"\r\n", b"id", b"embedding"]


def lhotse(folder: Path) -> Subject:
    source = {"type": "file", "channels": [0, 1], "source": "a.wav"}
    audio = {
        "id": "a",
        "sources": [source],
        "sampling_rate": 16000,
        "num_samples": 16000,
        "duration": 1.0,
        "channel_ids": [0, 1],
    }
    said = {
        "id": "a",
        "recording_id": "a",
        "start": 0.0,
        "duration": 1.0,
        "channel": 0,
        "speaker": "anna",
        "gender": "F",
        "custom": {"split": "train", "song": "x"},
    }
    lists = {"recordings": audio, "supervisions": said}
    good = {name: json.dumps(line).encode() for name, line in lists.items()}
    for name, data in good.items():
        (folder / f"{name}.jsonl").write_bytes(data)
    traps = []
    odd: list[object] = [None, [], {}, 1, "\0"]
    for name, line in lists.items():
        values: list[object] = [None, [], {}, [[]], "x", 10**400, -1, [1], {"a": 1}, *NASTY[:24]]
        bad = [json.dumps(line | {field: value}) for field in line for value in values]
        files = [text.encode() for text in bad] + [DEEP, DIGITS, b"[]", b"null", b"1"]
        inner = [source | {key: value} for key in source for value in odd]
        files += [json.dumps(audio | {"sources": [one]}).encode() for one in inner]
        traps += _named(f"{name}.jsonl", files)
    return Subject(
        [(f"{name}.jsonl", data) for name, data in good.items()],
        lambda path: scan("lhotse", path.parent),
        _JSON,
        traps,
        template=folder,
        named=["recordings", "supervisions"],
    )


def lhotse_gz(folder: Path) -> Subject:
    """Compressed: damage, bombs."""
    source = b'{"type": "file", "channels": [0], "source": "a"}'
    audio = b'{"id": "a", "sources": [%b], "duration": 1}\n' % source
    said = b'{"recording_id": "a", "start": 0, "duration": 1, "speaker": "anna"}\n'
    good = {"recordings.jsonl.gz": audio, "supervisions.jsonl.gz": said}
    for name, data in good.items():
        (folder / name).write_bytes(gzip.compress(data, mtime=0))
    bomb = gzip.compress(b"0" * (1 << 28), mtime=0)
    bombs = [bomb * 20, gzip.compress(b"\n" * (1 << 27)), gzip.compress(DEEP), b"\x1f\x8b\x08"]
    return Subject(
        [(name, gzip.compress(data, mtime=0)) for name, data in good.items()],
        lambda path: scan("lhotse", path.parent),
        traps=_named("recordings.jsonl.gz", bombs),
        template=folder,
        named=list(good),
    )


def mirdata(folder: Path) -> Subject:
    (folder / "a_1.wav").write_bytes(b"")
    good = json.dumps({"version": "1", "tracks": {"a_1": {"audio": ["a_1.wav", "md5"]}}}).encode()
    values: list[object] = [
        None,
        1,
        [],
        {},
        "x",
        [None],
        [1],
        [[]],
        {"audio": 1},
        {"audio": [{}]},
        {"audio": {}},
    ]
    values += [{"audio": [text, ""]} for text in NASTY]
    traps = [json.dumps({"tracks": {"a_1": value}}).encode() for value in values]
    traps += [json.dumps({"tracks": {text: {"audio": ["a_1.wav"]}}}).encode() for text in NASTY]
    traps += [json.dumps({"tracks": value}).encode() for value in values] + [DEEP, DIGITS, b"[]"]
    return Subject(
        [("index.json", good)],
        lambda path: scan("mirdata", path, singer="^(.)_"),
        [b'"tracks"', b'"audio"', *_JSON],
        _named("index.json", traps),
        template=folder,
        named=["a_1.wav", "etc/passwd"],
    )


def corpus_table(folder: Path) -> Subject:
    """Lists of singers that come with known corpora."""
    good = {
        "metadata.csv": b"performance_id,gender,arrangement_id,country\n1_1,F,x,DE\n2_2,M,y,FR\n",
        "speaker-info.txt": b"ID  AGE  GENDER  ACCENTS  REGION\n225  23  F    English    South\n",
        "singer_info.txt": b"singer gender pitch unique_song_name\njvs001 m low Momiji\n",
        "vocadito_metadata.csv": b"track_id,singer_id,average_pitch,language\n1,S1,200,English\n",
    }

    def read(path: Path) -> object:
        if path.name == "metadata.csv":
            return damp.read_metadata(path)
        if path.name == "speaker-info.txt":
            return vctk.read_speakers(path)
        if path.name == "singer_info.txt":
            return jvs_music.read_singers(path)
        (path.parent / "Audio").mkdir(exist_ok=True)
        (path.parent / "Audio" / "vocadito_1.wav").touch()
        read_table(path, [])
        return scan("vocadito", path.parent)

    traps = []
    for name, data in good.items():
        header, _, row = data.partition(b"\n")
        short = [header + b"\n" + row[:n] for n in range(0, len(row), 3)]
        odd = [
            header.replace(b",", b"\0,", 1) + b"\n" + row,
            header + b"\n" + row + b"\xff",
            b"\xff",
        ]
        many = [header + b"\n" + row * 50_000, header + b"\n" + b"x" * 1_000_000, b"", b"\n", b'"']
        nasty = [
            header
            + b"\n"
            + row.replace(b"F", text.encode("utf-8", "surrogatepass")).replace(
                b"m", text.encode("utf-8", "surrogatepass")
            )
            for text in NASTY
        ]
        traps += _named(name, [*short, *odd, *many, *nasty])
    named = ["vocadito_1.wav", "Audio", "at"]
    return Subject(list(good.items()), read, _CSV, traps, fresh=True, named=named)


def trials(folder: Path) -> Subject:
    good = {
        "bad.txt": b"1 a/1 a/2\n0 a/1 b/1\n1 b%20c/1 b%20c/2\n",
        "kaldi.txt": b"a1 a2 target\na1 b1 nontarget\n",
        "pairs.txt": b"1,a/1.wav,a/2.wav\n0,a/1.wav,b/1.wav\n",
    }
    texts = [text.encode("utf-8", "surrogatepass") for text in NASTY]
    traps = [b"1 " + text + b" a\n" for text in texts] + [b"1," + text + b",a\n" for text in texts]
    traps += [b"1 a b\n" * 300_000, b"1 a%ff b\n", b"1 a%ed%a0%80 b\n", b"1 a%zz b\n", b"\n" * 99]
    traps += [
        b"x" * 5_000_000,
        b"1 " + b"a" * 5_000_000 + b" b\n",
        b"1 %0a %0d\n",
        b"\xef\xbb\xbf1 a b",
    ]
    return Subject(
        list(good.items()),
        read_trials,
        [b"target", b"nontarget", b"1 ", b"0,", b"%20"],
        _named("bad.txt", traps),
    )


def scores(folder: Path) -> Subject:
    listed = TrialList(
        ["a", "b", "c"], np.array([0, 0]), np.array([1, 2]), np.array([True, False]), 2
    )
    good = b"a b 0.5\na c -1e-3\n"
    numbers = [
        b"nan",
        b"inf",
        b"1e999",
        DIGITS,
        b"0x1p3",
        b"1_0",
        "١".encode(),
        b"",
        b"-",
        b"1" * 5000,
    ]
    traps = [b"a b " + number + b"\na c 0\n" for number in numbers] + [good * 100_000, good + good]
    return Subject(
        [("bad.txt", good)],
        lambda path: read_scores(path, listed),
        [b"nan", b"%61"],
        _named("bad.txt", traps),
    )


def models(folder: Path) -> Subject:
    good = b"anna a/1 a/2\nben b/1\n"
    traps = [text.encode("utf-8", "surrogatepass") + b" a b\n" for text in NASTY]
    traps += [b"m " + b"a " * 500_000, b"m %ff\n", b"m a a\n", b"m\n", b"m" * 3_000_000]
    return Subject([("bad.txt", good)], read_models, [b"%20"], _named("bad.txt", traps))


_BOMB = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x]"]
    + [
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]"
        for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
    ]
)
_YAML_TRAPS = [
    b"!!python/object/apply:os.system ['touch /tmp/owned']",
    b"a: !!python/name:os.system x",
    b"!!python/object/new:subprocess.Popen [[touch, /tmp/owned]]",
    b"&a [*a]",
    b"&a {x: *a}",
    DEEP,
    b"{" * 50_000,
    b"- " * 50_000,
    b"&a " * 50_000,
    b"a: " + DIGITS,
    b"a: 2026-13-99",
    b"\0",
    b"\x1b[31m",
    b"? " * 20_000,
    _BOMB.encode(),
    b"x: " + b"'" * 100_001,
    b"a: !!binary " + b"A" * 1_000_000,
    b"%YAML 9.9\n---\n",
    b"--- a\n--- b\n",
    b"<<: [1]",
    b"<<: {a: 1}\n<<: {b: 2}",
    b"{[1]: 2}",
    b"{{a: 1}: 2}",
    b"1: 2",
    b"null: 1",
    b"a: 1:1:1:1:1:1",
    b"a: .inf",
    b"a: .nan",
    b"a: 0o777777777777777777777",
    b"a: 1e1000000",
    b"a: !!timestamp 9999999999-01-01",
    b"a: !!int x",
    b"a: !!float x",
    b"a: !!set {x, y}",
    b"!!omap [a: 1]",
]


def config(folder: Path) -> Subject:
    good = b"format: 1\naudio: {sample_rate: 16000}\nmel:\n  n_mels: 40\ntrain: {steps: 10}\n"
    values = [_BOMB[3:], "*a", "1e400", "9" * 400, ".nan", "[]", "{}", "{a: {a: {a: 1}}}", "null"]
    values += [json.dumps(text) for text in NASTY]
    traps = [f"train: {{steps: {value}}}".encode("utf-8", "surrogatepass") for value in values]
    traps += [f"{json.dumps(text)}: 1".encode("utf-8", "surrogatepass") for text in NASTY]
    traps += [f"{section}: {_BOMB[3:]}".encode() for section in ("audio", "loss", "encoder", "x")]
    traps += [
        b"train: {steps: &a [*a]}",
        b"train: &a {steps: *a}",
        _BOMB.encode() + b"\ntrain: *k",
        _BOMB.encode() + b"\ntrain: {steps: *k}",
    ]
    return Subject(
        [("bad.yaml", good)],
        lambda path: resolve(read_config_file(path), path),
        _YAML,
        _named("bad.yaml", [*_YAML_TRAPS, *traps]),
    )


_YAML = [
    b"&a ",
    b"*a",
    b"!!python/name:os.system",
    b"!!int",
    b"- ",
    b": ",
    b"? ",
    b"|",
    b">",
    b"{",
    b"[",
    b"---",
    b"...",
    b"<<: ",
    b"0x",
    b"1e999",
    b"2026-01-01",
    b"null",
    b"true",
]


def declaration(folder: Path) -> Subject:
    good = (
        b"name: x\ninput: features\nsample_rate: 16000\nlayout: [batch, frames, dims]\n"
        b"partial_frames: 128\nmel: {n_mels: 40}\naudio: {min_level_db: -30}\n"
    )
    wave = b"input: waveform\nsample_rate: 16000\npartial_seconds: 1.6\noverlap: 0.5\n"
    values = ["1e300", "9" * 400, "-1", ".nan", ".inf", "[[]]", "{a: 1}", "null", "''", _BOMB[3:]]
    names = (
        "input",
        "sample_rate",
        "layout",
        "partial_frames",
        "partial_seconds",
        "overlap",
        "audio",
    )
    traps = [wave + f"\n{name}: {value}\n".encode() for name in names for value in values]
    return Subject(
        [("bad.yaml", good), ("bad.yaml", wave)],
        read_declaration,
        _YAML,
        _named("bad.yaml", [*_YAML_TRAPS, *traps]),
    )


def segments(folder: Path) -> Subject:
    row = {"start": 0.0, "end": 1.5, "singer": "anna", "probability": 0.9, "score": None}
    good = json.dumps({"format": 1, "recording": "x", "segments": [row]}).encode()
    files = [
        ("bad.json", good),
        ("bad.txt", b"0.000000\t1.500000\tanna\n1.5\t2\tben\n"),
        ("bad.rttm", b"SPEAKER x 1 0.000 1.500 <NA> <NA> anna 0.900 <NA>\n"),
    ]
    values: list[object] = [None, [], {}, "x", 10**400, -1, True, "nan", "1e999", *NASTY]
    traps = [
        ("bad.json", json.dumps({"segments": [row | {name: value}]}).encode(), False)
        for name in row
        for value in values
    ]
    wrong: list[object] = [
        None,
        1,
        "abc",
        [],
        {},
        [1],
        ["start end singer"],
        [None],
        [[]],
        {"start": 1},
        [[row]],
    ]
    traps += [("bad.json", json.dumps({"segments": value}).encode(), False) for value in wrong]
    traps += _named("bad.json", [DEEP, DIGITS, b'{"segments": ' + DEEP, b"[]", b"null", b"\xff"])
    for text in (text.encode("utf-8", "surrogatepass") for text in NASTY):
        traps += _named("bad.rttm", [b"SPEAKER x 1 0 1 <NA> <NA> " + text, b"SPEAKER x 1 " + text])
        traps += _named("bad.txt", [b"0\t1\t" + text, text + b"\t1\tx"])
    return Subject(files, read_segments, [b"SPEAKER ", b"<NA>", b"\t", b'"start"', *_JSON], traps)


def pairs(folder: Path) -> Subject:
    both = [
        Recording("a/1", "a", "a/1.wav", 1.0, 16000),
        Recording("b/2", "b", "b/2.wav", 1.0, 16000),
    ]
    good = b"generated,reference\na/1,b/2\na/1.wav,a/1.wav\n"
    traps = [b"generated,reference\n" + text.encode("utf-8", "surrogatepass") for text in NASTY]
    traps += [
        good * 50_000,
        b"generated,reference\n" + b"x" * 3_000_000,
        b'generated,reference\n"a',
    ]
    return Subject(
        [("bad.csv", good)],
        lambda path: read_pairs(path, both, both),
        _CSV,
        _named("bad.csv", traps),
    )


def robustness(folder: Path) -> Subject:
    good = json.dumps(
        {"format": 1, "encoder": "abc", "clean": {"name": "clean"}, "rows": []}
    ).encode()
    files = [
        DEEP,
        DIGITS,
        b"[]",
        b"null",
        b'{"encoder": 1}',
        b'{"encoder": "a", "clean": 1, "rows": 1}',
        b'{"encoder": "a", "clean": {}, "rows": {"a": 1}}',
        b'{"format": 1e400}',
    ]
    return Subject(
        [("robustness.json", good)],
        lambda path: read_robustness(path.parent),
        _JSON,
        _named("robustness.json", files),
    )


def names(folder: Path) -> Subject:
    """Names of singers, labels and uploads: what a file name or a form may hold."""

    def read(path: Path) -> None:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        shown = display_name(text)
        if not shown.isprintable() or "/" in shown or len(shown) > 120:
            raise AssertionError(f"shown as {shown!r}")
        try:
            kept = check_name(text)
            check_labels({kept: text[:1000], "x": text})
        except SingeridError as error:
            raise ManifestError(str(error), where=path) from error
        if one_line(kept) != kept and kept.isprintable():
            raise AssertionError(f"kept as {kept!r}")

    texts = [text.encode("utf-8", "surrogatepass") for text in NASTY]
    return Subject(
        [("name.txt", b"Anna-Lena M\xc3\xbcller")],
        read,
        [b"\xcc\x88", b"\xe2\x80\xae"],
        _named("name.txt", texts),
    )


def zip_bomb(n_bytes: int = 1 << 28) -> bytes:
    """A small zip file of one large member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(n_bytes))
    return file.getvalue()
