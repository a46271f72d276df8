"""Layers: imports go strictly downward, and torch stays out of what works without it."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import singerid

ROOT = Path(singerid.__file__).parent

# From the ground up. A module imports only from lines above its own; those in one line do not
# know each other. A sub-package stands here as a whole.
LAYERS = """
blas column_checksum decimation errors frames json_lines locks mpeg neighbors objective_line
sampling sections segment_errors silence throughput turns
formats remote
alarms decoding lettering melody precision pretrained projection ranks records resing_settings
separation spec terminal training_sections voicing
crew entries listing mirror
appending audio augment ray_pool compiling embeddings encoder_graph encoders losses optimization
projector quality store voices
card checkpoint features manifest metrics singing statistics store_check store_writer table
trials vectors_file
batches corpora crops extraction health hub mel_network pitch_labels plots report scoring
slices store_dataset verification virtual voicebank
config demo front_ends map_page naming pair_scores resident resinging similarity_pairs
wave_batches waveform_mel whitening worst
batch_augment breakdown cycles data embedder flags foreign loggers similarity singer_loss
blocks embed evaluate loading robustness run runtime similarity_report tracks trial_validation
calibrate comparison export external faults leaderboard model_card streaming task
judge keeper report_files singer_encoder trainer watcher
registry sklearn_transformer train voice_clusters
segments web
segment_files timeline
commands
cli
__main__
"""

# Within a sub-package; "*" is every other module in it, "__init__" the package itself.
WITHIN = {
    "corpora": ["folder", "adapter", "*", "__init__"],
    "commands": ["asking", "*", "__init__"],
    "encoders": [
        "cepstra masking",
        "layers normalization pooling",
        "encoder",
        "campplus ecapa lstm redimnet resnet whitened",
        "__init__",
    ],
    "external": ["declared", "*", "__init__"],
    "pretrained": ["__init__"],
    "losses": [
        "gather ge2e margin prediction prototypical supcon",
        "objective",
        "__init__",
    ],
    "features": ["highpass melcepstrum pitch world", "*", "__init__"],
    "trials": [
        "labels pairs words",
        "enrollment hardest",
        "rules",
        "__init__",
        "findings models",
        "files lint",
    ],
    "metrics": [
        "__init__ clustering",
        "geometry identification likelihood resampling",
        "bootstrap",
    ],
    "scoring": [
        "__init__ backend cohort logistic",
        "plda",
        "scorer",
        "calibration",
        "adaptation calibration_file calibration_fit",
    ],
    "report": [
        "markup players",
        "failures svg",
        "measures",
        "__init__",
    ],
    "robustness": [
        "accompaniment distortion lossy sides vector_cache",
        "backgrounds",
        "degradations",
        "degraded",
        "__init__",
        "charts",
        "files",
    ],
    "voicebank": [
        "__init__ codes files",
        "spec",
        "analysis bank",
        "building parametric",
    ],
    "registry": [
        "names place",
        "exemplar",
        "agreement exchange listening tables",
        "enrolling index reembed roll",
        "dedupe listing",
        "questions",
        "registry",
        "__init__",
    ],
    "web": [
        "__init__ api_page batching enrolled_judge logs metrics rate schemas uploads wire",
        "decoders decoding_worker",
        "refusals",
        "access lookups",
        "service",
        "gate map_view routes_voices telemetry",
        "routes_service routes_singers server",
        "app",
    ],
    "resinging": [
        "__init__ bank_tensors comb draws levels",
        "channel timemap traits tune",
        "plan realcrops",
        "render",
        "resing resung",
        "batches songs",
        "pictures",
    ],
}

TRAINING = {
    "precision", "losses", "encoders", "checkpoint", "embed", "run", "foreign", "task", "keeper",
    "train", "data", "commands", "external", "trial_validation",
    "model_card", "resinging", "batch_augment", "resident", "loading", "loggers", "optimization",
    "ranks", "watcher", "compiling", "faults", "trainer", "mel_network", "export", "whitening",
    "singer_loss", "waveform_mel", "store_dataset", "separation",
}  # fmt: skip
"""Modules that may import torch. The others work where it is not installed."""

LOADERS = {"cli", "judge", "singer_encoder", "hub", "sklearn_transformer"}
"""Modules that load an encoder by its name, and torch only where that one needs it."""


def modules():
    """Path of every module but the package itself, by its dotted name within the package."""
    names = {}
    for path in ROOT.rglob("*.py"):
        parts = list(path.relative_to(ROOT).with_suffix("").parts)
        if len(parts) > 1 and parts[-1] == "__init__":
            parts.pop()
        names[".".join(parts)] = path
    del names["__init__"]  # re-exports lazily, from any layer
    return names


MODULES = modules()


@cache
def imported(path):
    """Dotted names that a file imports anywhere, also within functions and for types."""
    return tuple(_imported(path))


def _imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def own_imports(name):
    """Modules of this package that a module imports."""
    result = set()
    for target in imported(MODULES[name]):
        package, _, inner = target.partition(".")
        if package != "singerid" or not inner:
            continue
        while inner not in MODULES and inner:  # a name in a module
            inner = inner.rpartition(".")[0]
        result.add(inner)
    return result - {"", name}  # "": __version__


def unit(name):
    return name.split(".")[0]


def rank_within(name):
    """Layer of a module in its sub-package."""
    package, _, module = name.partition(".")
    layers = [line.split() for line in WITHIN[package]]
    for rank, names in enumerate(layers):
        if (module or "__init__") in names:
            return rank
    return layers.index(["*"])


def test_every_module_has_exactly_one_layer():
    listed = LAYERS.split()
    assert len(listed) == len(set(listed))
    assert set(listed) == {unit(name) for name in MODULES}
    packages = {name for name in MODULES if MODULES[name].name == "__init__.py"}
    assert packages == set(WITHIN)


def test_the_reader_of_imports_sees_them():
    assert {"spec", "errors", "records"} <= own_imports("store")
    assert "plots" in own_imports("commands.vectors")  # within a function
    assert "corpora.folder" in own_imports("corpora.damp")
    assert "errors" not in own_imports("frames")


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_strictly_downward(name):
    rank = {n: i for i, line in enumerate(LAYERS.strip().splitlines()) for n in line.split()}
    for other in sorted(own_imports(name)):
        if unit(other) == unit(name):
            assert rank_within(other) < rank_within(name), f"{name} imports {other}"
        else:
            assert rank.get(unit(other), 0) < rank.get(unit(name), 99), f"{name} imports {other}"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_torch_is_for_training(name):
    found = {target.split(".")[0] for target in imported(MODULES[name])}
    heavy = found & {"torch", "lightning", "torchmetrics", "tensorboard"}
    if unit(name) not in TRAINING and name != "terminal":  # it asks whether it is there
        assert not heavy
    below = {unit(other) for other in own_imports(name)}
    if unit(name) not in TRAINING | LOADERS:
        assert not below & TRAINING


def loaded(*names):
    """Top-level packages that are loaded once these modules are imported in a fresh process."""
    code = "import sys\n" + "".join(f"import {name}\n" for name in names)
    code += "print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    return set(done.stdout.split())


def test_tables_evaluation_and_plots_run_without_torch():
    names = (
        "table", "evaluate", "plots", "embeddings", "trials", "metrics", "manifest", "extraction",
        "corpora", "cli", "flags", "virtual", "scoring", "report_files", "comparison",
        "leaderboard", "calibrate", "robustness.files", "external", "external.mfcc",
        "voicebank.bank", "runtime", "judge", "segments", "segment_files", "timeline", "similarity",
        "map_page", "singer_encoder", "sklearn_transformer", "registry", "web.app",
    )  # fmt: skip
    found = loaded(*(f"singerid.{name}" for name in names))
    assert {"singerid", "numpy", "soundfile"} <= found
    assert not found & {"torch", "lightning", "tensorboard"}


def test_asking_starts_without_what_is_slow_to_import():
    """`verify` has to answer within two seconds from a cold start; SciPy alone takes one."""
    names = ("cli", "runtime", "external", "scoring.scorer", "scoring.calibration_file", "voicing")
    found = loaded(*(f"singerid.{name}" for name in names), "onnxruntime")
    assert {"singerid", "numpy", "soundfile", "onnxruntime"} <= found
    assert not found & {"torch", "scipy", "sklearn", "matplotlib", "onnx"}


def test_the_package_itself_loads_nothing_heavy():
    found = loaded("singerid")
    assert "singerid" in found
    assert not found & {"torch", "numpy", "scipy", "matplotlib", "pyarrow", "soundfile", "av"}
