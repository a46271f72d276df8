"""Declarations of front ends: read as said, every mistake named."""

import numpy as np
import pytest

from singerid.errors import ConfigError
from singerid.external.declared import Declaration, read_declaration
from singerid.spec import AudioSettings, FeatureSpec, MelSettings


def read(tmp_path, text):
    path = tmp_path / "m.yaml"
    path.write_text(text)
    return read_declaration(path)


def test_features_are_those_of_a_configuration(tmp_path):
    declaration, spec = read(
        tmp_path,
        "name: mine\ninput: features\nsample_rate: 22050\nlayout: [batch, dims, frames]\n"
        "partial_frames: 100\noverlap: 0.5\nmel: {n_mels: 40, fmax: 8000}\n"
        "audio: {min_level_db: -30}\npitch:\n",
    )
    assert spec == FeatureSpec(
        audio=AudioSettings(sample_rate=22050, min_level_db=-30),
        mel=MelSettings(n_mels=40, fmax=8000),
    )
    assert declaration.name == "mine"
    assert declaration.overlap == 0.5
    assert declaration.axes == ("batch", "dims", "frames")
    assert declaration.length(spec.hop_seconds) == 100


def test_waveforms_of_any_rate(tmp_path):
    """Bands of features that nobody asked for do not stand in the way of a low rate."""
    for rate in (4000, 8000, 48000):
        declaration, spec = read(
            tmp_path, f"input: waveform\nsample_rate: {rate}\naudio: {{min_seconds: 1}}\n"
        )
        assert (spec.audio.sample_rate, spec.audio.min_seconds) == (rate, 1)
        assert declaration.axes == ("batch", "samples")
        assert declaration.length(1 / rate) is None


def test_lengths():
    def length(step, **values):
        return Declaration(input="features", sample_rate=16000, **values).length(step)

    assert length(0.016) is None
    assert length(0.016, partial_seconds=1.6) == 100
    assert length(0.016, partial_seconds=1e-6) == 1
    assert length(0.5, partial_frames=7) == 7


def test_null_is_nothing(tmp_path):
    declaration, _ = read(
        tmp_path, "input: features\nsample_rate: 16000\npartial_frames: null\noverlap:\nlayout:\n"
    )
    assert declaration == Declaration(input="features", sample_rate=16000)


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        ((), (2, 3, 5)), (("batch", "dims", "frames"), (2, 5, 3)),
        (("batch", 1, "dims", "frames"), (2, 1, 5, 3)),
        (("batch", "frames", 1, "dims"), (2, 3, 1, 5)),
        (("batch", "dims", "frames", 1), (2, 5, 3, 1)), ((1, "frames", "dims"), (2, 3, 5)),
    ],
)  # fmt: skip
def test_axes_are_arranged(layout, shape):
    declaration = Declaration(input="features", sample_rate=16000, layout=layout)
    batch = np.arange(30, dtype=np.float32).reshape(2, 3, 5)
    found = declaration.arranged(batch)
    assert found.shape == shape
    assert found.flags.c_contiguous
    dims_first = "dims" in layout and layout.index("dims") < layout.index("frames")
    back = found.reshape(2, 5, 3).swapaxes(1, 2) if dims_first else found.reshape(2, 3, 5)
    np.testing.assert_array_equal(back, batch)


def test_waveforms_are_arranged():
    declaration = Declaration(input="waveform", sample_rate=16000, layout=("batch", 1, "samples"))
    assert declaration.arranged(np.zeros((4, 9), np.float32)).shape == (4, 1, 9)


FIRST = "input: features\nsample_rate: 16000\n"
LAYOUT = r"layout for features must be batch \(or 1\), then frames and dims once"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("input: features\n", "sample_rate is missing"),
        ("sample_rate: 16000\n", "input is missing"),
        ("input: mel\nsample_rate: 16000\n",
         "input is not valid; found 'mel'; expected 'features' or 'waveform'"),
        ("input: features\nsample_rate: 100\n", "sample_rate is not valid; found 100"),
        (FIRST + "samplerate: 1\n", "is not part of a front end; did you mean sample_rate"),
        (FIRST + "quux: 1\n", "quux is not part of a front end; known here: name, input, "),
        (FIRST + "overlap: 1\n", "overlap is not valid; found 1; expected less than or equal"),
        (FIRST + "layout: [batch, frames]\n", LAYOUT),
        (FIRST + "layout: [frames, batch, dims]\n", LAYOUT),
        (FIRST + "layout: [batch, frames, dims, dims]\n", LAYOUT),
        (FIRST + "layout: [batch, samples]\n", LAYOUT),
        (FIRST + "layout: [batch, time, dims]\n", "layout.1 is not valid; found 'time'"),
        ("input: waveform\nsample_rate: 16000\nlayout: [batch, frames, dims]\n",
         r"layout for waveform must be batch \(or 1\), then samples once"),
        ("input: waveform\nsample_rate: 16000\npartial_frames: 5\n",
         "give partial_seconds or, for features, partial_frames; not both"),
        (FIRST + "partial_frames: 5\npartial_seconds: 1\n", "not both"),
        ("input: waveform\nsample_rate: 16000\nmel: {n_mels: 40}\n",
         "mel does not belong to input: waveform"),
        (FIRST + "audio: {sample_rate: 44100}\n",
         "says two sample rates; found sample_rate 16000, audio.sample_rate 44100"),
        (FIRST + "mel: {n_mel: 40}\n", "mel.n_mel is not a setting; did you mean n_mels"),
        (FIRST + "audio: 5\n", "audio is not valid; found 5"),
        ("input: features\nsample_rate: 8000\n", "mel.fmax 7600 Hz exceeds half"),
        ("- 1\n", "not a mapping of sections"),
        ("a: [\n", "cannot read the configuration"),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=f"^{tmp_path / 'm.yaml'}: .*{message}"):
        read(tmp_path, text)


def test_all_mistakes_are_named_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "input: x\noverlap: 2\nwhat: 1\n")
    assert len(str(caught.value).splitlines()) == 4  # sample_rate, too
