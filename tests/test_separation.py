"""Separation by stand-ins for the model, and by demucs itself where it is installed."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from singerid.errors import MissingExtraError, SingeridError
from singerid.separation import (
    DemucsSeparator,
    load_separator,
    separate_vocals,
    separated_blocks,
)

RATE = 8000


class Fake:
    """A separator by demucs's documented interface, whose voice is half of the mix."""

    samplerate, audio_channels = 16_000, 2

    def __init__(self, stem="vocals"):
        self.stem, self.shapes = stem, []

    def separate_tensor(self, wav, sr=None):
        assert sr == self.samplerate
        self.shapes.append(tuple(wav.shape))
        return wav, {"drums": 0 * wav, self.stem: wav / 2}


class Halving:
    """A separator of ours; remembers what it was given."""

    def __init__(self):
        self.lengths = []

    def separate(self, samples, sample_rate):
        self.lengths.append(len(samples) / sample_rate)
        return samples / 2


def low_tones(seconds, rate=RATE):
    t = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * 300 * t) + 0.2 * np.sin(2 * np.pi * 700 * t)).astype(
        np.float32
    )


def test_resampled_to_the_model_and_back():
    pytest.importorskip("torch")
    x, fake = low_tones(2), Fake()
    voice = DemucsSeparator(fake).separate(x, RATE)
    assert fake.shapes == [(2, 32_000)]
    assert voice.shape == x.shape
    assert voice.dtype == np.float32
    assert np.abs(voice - x / 2)[200:-200].max() < 1e-3


def test_a_model_without_a_voice():
    pytest.importorskip("torch")
    with pytest.raises(SingeridError, match="knows no voice; found drums, bass; expected vocals"):
        DemucsSeparator(Fake("bass")).separate(low_tones(1), RATE)


@pytest.mark.parametrize("size", [999, 50_000, 10**7])
@pytest.mark.parametrize("seconds", [0.5, 30.0, 31.99, 95.0])
def test_stretches_join_without_seams(seconds, size):
    x, halving = low_tones(seconds), Halving()
    blocks = [x[i : i + size] for i in range(0, len(x), size)]
    voice = np.concatenate(list(separated_blocks(blocks, RATE, halving)))
    np.testing.assert_array_equal(voice, x / 2)
    assert max(halving.lengths) <= 34


def test_what_surrounds_a_stretch_is_dropped():
    """A separator that spoils the ends of what it is given leaves no trace inside."""

    class Spoiling:
        def separate(self, samples, sample_rate):
            result = samples.copy()
            result[:100] = result[-100:] = 9
            return result

    voice = separate_vocals(low_tones(90), RATE, Spoiling())
    assert np.abs(voice[100:-100]).max() < 1


def test_no_samples():
    assert len(separate_vocals(np.zeros(0, np.float32), RATE, Halving())) == 0


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "demucs", None)
    monkeypatch.setitem(sys.modules, "demucs.api", None)
    with pytest.raises(MissingExtraError, match=r"demucs is not installed.*singerid\[separate\]"):
        load_separator()


def stand_in(monkeypatch, make):
    package, api = ModuleType("demucs"), ModuleType("demucs.api")
    api.Separator = make
    monkeypatch.setitem(sys.modules, "demucs", package)
    monkeypatch.setitem(sys.modules, "demucs.api", api)


def test_the_model_comes_from_the_hub_as_safetensors(monkeypatch):
    asked = []
    stand_in(monkeypatch, lambda **options: asked.append(options) or SimpleNamespace(**options))
    assert load_separator("htdemucs_ft").separator.model == "hf://htdemucs_ft"
    assert asked == [{"model": "hf://htdemucs_ft", "shifts": 0}]


def test_a_model_that_cannot_be_fetched(monkeypatch):
    def offline(**options):
        raise OSError("no route to host\nmore")

    stand_in(monkeypatch, offline)
    with pytest.raises(SingeridError, match=r"^htdemucs: the separation model cannot be loaded; "
                       r"found no route to host; check"):  # fmt: skip
        load_separator()


def test_demucs_itself_with_untrained_weights():
    """Its own small test model through its own interface; weights mean nothing, shapes do."""
    api = pytest.importorskip("demucs.api")
    separator = DemucsSeparator(api.Separator(model="demucs_unittest", shifts=0, device="cpu"))
    x = low_tones(1.0, 16_000)
    voice = separator.separate(x, 16_000)
    assert voice.shape == x.shape
    assert np.isfinite(voice).all()
    assert voice.any()
