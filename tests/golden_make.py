"""Writes a golden file of every format, as this version does: ``python tests/golden_make.py``.

They go to ``tests/golden/VERSION``, once for every release, and are never written again;
`test_compatibility` reads those of all versions. All voices are formulas and all weights random.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import soundfile
import torch

import golden_read
from encoder_checks import trained
from singerid import run
from singerid.checkpoint import load_encoder, save_encoder
from singerid.config import ORIGINAL, merge, resolve
from singerid.data import TrainingData
from singerid.embeddings import EmbeddingSet, normalize, write_embeddings
from singerid.encoders import build_encoder
from singerid.export import export_encoder
from singerid.extraction import extract
from singerid.formats import FIXED, FORMATS
from singerid.hub import files_of
from singerid.records import Recording, write_recordings
from singerid.registry import Exemplar, Registry
from singerid.robustness import Robustness, Row
from singerid.robustness.files import write_robustness
from singerid.scoring.backend import Transform
from singerid.scoring.calibration import Calibration, Line
from singerid.scoring.calibration_file import to_bytes, write_calibration
from singerid.scoring.cohort import Cohort
from singerid.scoring.plda import Plda
from singerid.scoring.scorer import Scorer
from singerid.segment_files import write_segments
from singerid.segments import Segment
from singerid.store import Store
from singerid.table import build_table, write_table
from singerid.train import fit
from singerid.training_sections import EncoderSettings
from singerid.trials import TrialList
from singerid.trials.files import FORMATS as TRIAL_FORMATS
from singerid.trials.files import write_scores, write_trials
from singerid.trials.models import write_models

SECTIONS = {
    "audio": {"sample_rate": golden_read.RATE},
    "mel": {"n_fft": 128, "hop_length": 128, "n_mels": 8},
    "batch": {"n_singers": 2, "n_partials": 2, "partial_frames": 32},
    "encoder": {"kind": "lstm", "hidden_size": 8, "n_layers": 1, "dim": 8, "relu": False},
    "train": {
        "steps": 2, "train_iters": 1, "val_iters": 1, "log_every": 1, "precision": "32",
        "loggers": "",
    },
}  # fmt: skip
CONFIG = resolve(merge(ORIGINAL, SECTIONS))
SPEC = CONFIG.feature_spec
ENCODERS = {
    "lstm": {"kind": "lstm", "hidden_size": 8, "n_layers": 1},
    "whitened": {"kind": "lstm", "hidden_size": 8, "n_layers": 1, "cepstra": 4},
    "resnet": {"kind": "resnet", "depth": 10, "channels": 2},
    "ecapa": {"kind": "ecapa", "channels": 8},
    "campplus": {"kind": "campplus", "channels": 1},
    "redimnet": {"kind": "redimnet", "channels": 1},
}
SINGERS = ("Ada", "Bo", "Çelik", "Dì")
KEPT = {"config.yaml", "provenance.json", "notes.txt", "log.jsonl"}
"""Of a run folder, beside weights: the rest (pictures, events) is never read again."""


def vectors(n: int, dim: int = 8) -> np.ndarray:
    return normalize(np.random.default_rng(n).standard_normal((n, dim)))


def recordings(write: bool = False) -> list[Recording]:
    """Two of each singer, of one second, with paths relative to the current folder."""
    found = []
    for row in range(2 * len(SINGERS)):
        singer, song = row // 2, row % 2
        name = f"{singer}-{song}.wav"
        if write:
            samples = golden_read.voice(1.0, 180 + 40 * singer + 7 * song)
            soundfile.write(name, samples, golden_read.RATE, subtype="PCM_16")
        labels = {"song": f"song {song}", "gender": "mf"[singer % 2]}
        found.append(Recording(
            f"{SINGERS[singer]}/{song}", SINGERS[singer], name, 1.0, golden_read.RATE, 1, "mix",
            "train" if singer < 2 else "valid", hashlib.sha256(name.encode()).hexdigest(), labels,
        ))  # fmt: skip
    return found


def manifest(folder: Path) -> None:
    write_recordings(folder / "manifest.jsonl", recordings())


def configuration(folder: Path) -> None:
    run.write_config(folder, CONFIG)


def store(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place, chdir(place):
        extract(recordings(write=True), folder, SPEC)
    for lock in folder.glob(".lock*"):
        lock.unlink()


def bank(folder: Path) -> None:
    from singerid.voicebank.building import build_bank
    from singerid.voicebank.spec import BankSpec

    with tempfile.TemporaryDirectory() as place, chdir(place):
        build_bank(recordings(write=True)[:3], folder, BankSpec(features=SPEC))
    for lock in folder.glob(".lock*"):
        lock.unlink()


def a_run(folder: Path) -> None:
    """With its checkpoint and saved model; it was trained on the golden store."""
    data = TrainingData.from_store(CONFIG, Store(folder.parent / "store"))
    run.describe_run(folder, CONFIG, data, "golden", "singerid train store -o run")
    made = json.loads((folder / "provenance.json").read_text("utf-8"))
    made |= {"data": "store", "platform": "any"}  # of the machine that made it, nothing is kept
    (folder / "provenance.json").write_text(json.dumps(made, indent=2) + "\n", "utf-8")
    fit(CONFIG, data, folder, say=lambda line: None)
    for path in folder.iterdir():
        if path.name not in KEPT and path.suffix not in (".safetensors", ".ckpt", ".pt"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder.parent / "store" / "statistics.json").unlink(missing_ok=True)  # a cache


def encoder(folder: Path) -> None:
    for name, values in ENCODERS.items():
        settings = EncoderSettings.model_validate({"dim": 8} | values)
        torch.manual_seed(0)
        network = trained(build_encoder(settings, SPEC.n_inputs))
        weights = network.state_dict()
        save_encoder(folder / f"{name}.safetensors", weights, settings, SPEC, 32, {"step": 7})


def exported_encoder(folder: Path) -> None:
    source = load_encoder(folder.parent / "encoder" / "lstm.safetensors")
    scorer = to_bytes(made_calibration(source.fingerprint))
    export_encoder(source, folder / "encoder.onnx", name="golden", calibration=scorer)


def hub_folder(folder: Path) -> None:
    model = (folder.parent / "exported-encoder" / "encoder.onnx").read_bytes()
    for name, data in files_of(model, "somebody/golden", "cc-by-4.0").items():
        (folder / name).write_bytes(data)


def made_calibration(fingerprint: str) -> Calibration:
    rng = np.random.default_rng(5)
    transform = Transform(rng.normal(0, 0.1, 8), np.linalg.qr(rng.standard_normal((8, 6)))[0])
    basis = rng.standard_normal((6, 6))
    cohort = Cohort(transform.apply(vectors(20)), [f"c{i}" for i in range(20)], 12)
    scorer = Scorer(transform, Plda(np.zeros(6), basis, np.linspace(3, 0.1, 6)), cohort, ("x", "y"))
    overall = Line(2.5, -0.5, ((0.1, 0.2), (0.01, None)), 40, 900, 9, 0.4)
    short = Line(1.5, -0.25, ((0.1, 0.3), (0.01, None)), 20, 450, 9, 0.6)
    return Calibration(fingerprint, scorer, overall, (4.0,), (short, overall))


def calibration(folder: Path) -> None:
    write_calibration(folder / "calibration.safetensors", made_calibration("abc"))


def embedding_set() -> EmbeddingSet:
    rows = recordings()
    return EmbeddingSet(
        [r.id for r in rows], [r.singer for r in rows], vectors(len(rows)), "abc",
        [1.0 + i for i in range(len(rows))], [1] * len(rows), [r.split for r in rows],
        [r.path for r in rows], {"gender": [r.labels["gender"] for r in rows]},
        [r.sha256 for r in rows],
    )  # fmt: skip


def embeddings(folder: Path) -> None:
    write_embeddings(folder / "embeddings.parquet", embedding_set())


def table(folder: Path) -> None:
    write_table(folder / "table.parquet", build_table(embedding_set()))


def registry(folder: Path) -> None:
    found = Registry.open(folder, create=True)
    for row, vector in enumerate(vectors(5, 20)):
        clip = b"no real MP3" if row == 0 else None
        one = Exemplar(
            vector, seconds=2.0 + row, voice_seconds=1.0, path=f"{row}.wav", sha256="",
            quality=0.5, labels={"song": f"s{row}"}, clip=clip, source="golden",
        )  # fmt: skip
        found.enroll(SINGERS[row % 2], [one], "abc")
    found.purge()
    for lock in folder.glob(".lock*"):
        lock.unlink()


def robustness_report(folder: Path) -> None:
    clean = Row("", "clean", "", 10, 90, 0, 0, 0.1, (0.05, 0.2), 0.1)
    noise = Row("noise", "white", "20 dB", 10, 90, 1, 0, 0.2, None, 0.1, 0.1, (0.0, 0.2))
    result = Robustness("abc", 4, 4, 4, 100, 1, 50, clean, (noise,), {"mp3": "no encoder"}, ())
    write_robustness(result, folder)
    (folder / "robustness.png").unlink()
    (folder / "robustness.md").unlink()


SEGMENTS = (
    Segment(0.0, 1.25, "Ada", 0.9, 0.5), Segment(1.5, 3.0, None), Segment(3.0, 9.5, "Dì", 0.75),
)  # fmt: skip


def segments(folder: Path) -> None:
    write_segments(folder / "song.json", SEGMENTS, "song")


def rttm(folder: Path) -> None:
    write_segments(folder / "song.rttm", SEGMENTS, "song")


def labels(folder: Path) -> None:
    write_segments(folder / "song.txt", SEGMENTS, "song")


def trial_list(n_each: int = 1) -> TrialList:
    ids = ["Ada/0 a.wav", "Ada/1", "Bo/%", "Dì/0"]
    pairs = np.array([[0, 1, 1], [0, 2, 0], [1, 3, 0], [0, 3, 0]])
    models = ((0, 1), (2, 3)) if n_each > 1 else ()
    return TrialList(
        ids, pairs[:, 0], pairs[:, 1], pairs[:, 2] > 0, 4, models, ("m 1", "m2") if models else ()
    )


def trials(folder: Path) -> None:
    for name in TRIAL_FORMATS:
        write_trials(folder / f"{name}.txt", trial_list(), name)


def scores(folder: Path) -> None:
    write_scores(folder / "scores.txt", trial_list(), np.array([0.9, -0.25, 1e-6, 0.125]))


def models(folder: Path) -> None:
    write_models(folder / "models.txt", trial_list(2))


MAKERS: dict[str, Callable[[Path], None]] = {
    "manifest": manifest, "configuration": configuration, "store": store, "bank": bank,
    "run": a_run, "encoder": encoder, "exported encoder": exported_encoder,
    "hub folder": hub_folder, "calibration": calibration, "embeddings": embeddings,
    "table": table, "registry": registry, "robustness report": robustness_report,
    "segments": segments, "rttm": rttm, "labels": labels, "trials": trials, "scores": scores,
    "models": models,
}  # fmt: skip


def make(folder: Path) -> None:
    """Write files of every format."""
    torch.set_num_threads(1)
    for name, write in MAKERS.items():
        place = folder / golden_read.folder_of(name)
        place.mkdir(parents=True)
        write(place)


def expected(folder: Path) -> dict[str, object]:
    """What must be read of them, by every later version."""
    numbers = dict(FORMATS) | dict.fromkeys(FIXED, 0)
    found: dict[str, object] = {}
    for name, number in sorted(numbers.items()):
        outline = golden_read.outline(name, folder)
        with tempfile.TemporaryDirectory() as place:  # some readers write
            facts = golden_read.READERS[name](shutil.copytree(folder, Path(place, "copy")))
        found[name] = {"format": number, "outline": outline, "facts": facts}
    return found


def main() -> None:
    version = sys.argv[1]
    folder = Path(__file__).parent / "golden" / version
    if folder.exists():
        raise SystemExit(f"{folder} exists: golden files are never written again")
    make(folder)
    text = json.dumps(expected(folder), indent=1, ensure_ascii=False)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
