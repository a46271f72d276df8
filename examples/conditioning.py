"""A toy voice converter with conditioning vectors from a table: python conditioning.py [N_STEPS].

A small network hears the mel frames of a song and the vector of a singer, and gives each frame a
filter of 80 bands. It learns, on virtual singers, to make `SingerLoss` small; then it hears songs
that it never saw. It leaves pitch, words and timing alone: what it can learn is the color of a
voice, and how to please an encoder, which is not the same. A second judge, which it never saw,
tells them apart.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

import singerid
from singerid.corpora import scan
from singerid.external.mfcc import MfccEncoder
from singerid.manifest import build
from singerid.sections import ManifestSettings
from singerid.singer_loss import SingerLoss
from singerid.virtual import write_virtual_corpus

N_SINGERS, SONGS, RATE, N_FFT, HOP, N_BANDS = 8, 4, 16000, 1024, 256, 80
CROP = 2 * RATE


class Converter(nn.Module):
    """Waveforms and singers' vectors → waveforms of other color."""

    def __init__(self, dim, width=96):
        super().__init__()
        self.singer = nn.Linear(dim, width)
        self.before = nn.Conv1d(N_BANDS, width, 5, padding=2)
        self.between = nn.Conv1d(width, width, 5, padding=2)
        self.after = nn.Conv1d(width, N_BANDS, 1)
        nn.init.zeros_(self.after.weight)  # at first, every filter lets everything through
        nn.init.zeros_(self.after.bias)
        hz, edges = torch.linspace(0, RATE / 2, N_FFT // 2 + 1), torch.linspace(0, 1, N_BANDS)
        place = (1127 * torch.log1p(hz / 700) / (1127 * np.log1p(RATE / 1400))).clamp(0, 1)
        bands = (1 - (place[:, None] - edges).abs() * (N_BANDS - 1)).clamp_min(0)
        self.register_buffer("bands", bands)  # (n_bins, N_BANDS), triangles on a mel scale
        self.register_buffer("window", torch.hann_window(N_FFT))

    def forward(self, waveforms, vectors):
        """`(batch, n_samples)` and `(batch, dim)` → `(batch, n_samples)`, gains in dB."""
        spectra = torch.stft(waveforms, N_FFT, HOP, window=self.window, return_complex=True)
        mel = (spectra.abs().transpose(1, 2) @ self.bands).clamp_min(1e-4).log().transpose(1, 2)
        singer = self.singer(vectors * vectors.shape[1] ** 0.5)[..., None]
        hidden = torch.relu(self.before(mel / 4) + singer)
        gains = 25 * torch.tanh(self.after(torch.relu(self.between(hidden) + singer)))
        factors = 10 ** ((self.bands @ gains) / 20)
        return torch.istft(
            spectra * factors, N_FFT, HOP, window=self.window, length=waveforms.shape[1]
        ), gains


def singers_and_songs(folder):
    """Recordings of virtual singers: all but the last song of each, and the last ones."""
    listing = write_virtual_corpus(Path(folder), N_SINGERS, SONGS)
    found = build(scan("csv", listing), ManifestSettings()).recordings
    last = f"song_{SONGS - 1:02d}"
    return [r for r in found if r.labels["song"] != last], [
        r for r in found if r.labels["song"] == last
    ]


def train(converter, loss, table, songs, n_steps, rng):
    """Any song by any singer should sound like any singer of the table."""
    optimizer = torch.optim.Adam(converter.parameters(), 2e-3)
    vectors = torch.tensor(table.centroids)
    for step in range(n_steps):
        chosen = [songs[i] for i in rng.integers(len(songs), size=8)]
        starts = [int(rng.integers(len(song) - CROP)) for song in chosen]
        crops = np.stack([s[at : at + CROP] for s, at in zip(chosen, starts, strict=True)])
        wanted = vectors[torch.from_numpy(rng.integers(len(table), size=8))]
        converted, gains = converter(torch.from_numpy(crops), wanted)
        distance = loss(converted, RATE, wanted)
        total = distance + 5e-4 * gains.square().mean()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        if step % 20 == 0 or step == n_steps - 1:
            print(f"step {step:3d}  SingerLoss {distance.item():.3f}")


def judged(converter, table, tests, judges):
    """Held-out songs as every other singer: whom each judge names, and the mean distance."""
    named = {name: [] for name in judges}
    distances = []
    for singer, song in tests:
        others = [name for name in table.singers if name != singer]
        with torch.no_grad():
            waveforms = torch.from_numpy(song).expand(len(others), -1)
            converted, _ = converter(waveforms, torch.from_numpy(table.vectors(others)))
        for samples, wanted in zip(converted.numpy(), others, strict=True):
            for name, (encoder, known) in judges.items():
                vector = encoder.embed(samples, RATE)
                best = known.identify(vector, known.encoder, top=1)[0][0]
                named[name].append((best == wanted, best == singer))
                if known is table:
                    distances.append(1 - float(vector @ table.vectors([wanted])[0]))
    return {name: np.mean(answers, axis=0) for name, answers in named.items()}, np.mean(distances)


def main(n_steps=80):
    """Train, and say what became of the singers."""
    started = time.monotonic()
    torch.set_num_threads(1)  # of several, each waits for the slowest where a machine is busy
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        training, held_out = singers_and_songs(folder)
        encoder, mfcc = singerid.load_encoder(), MfccEncoder.fit(training)
        table, mfcc_table = (
            singerid.build_table(each.embed_recordings(training)[0]) for each in (encoder, mfcc)
        )
        songs = [singerid.load_audio(r.path, RATE)[0] for r in training]
        tests = [(r.singer, singerid.load_audio(r.path, RATE)[0][: 5 * RATE]) for r in held_out]
    loss = SingerLoss()
    converter = Converter(loss.dim)
    judges = {"the encoder itself": (encoder, table), "MFCC, a stranger": (mfcc, mfcc_table)}
    before = judged(converter, table, tests, judges)
    train(converter, loss, table, songs, n_steps, np.random.default_rng(0))
    after = judged(converter, table, tests, judges)
    print(f"\nsongs that were not trained on, each as {len(table) - 1} other singers:")
    print(f"SingerLoss before {before[1]:.3f}, after {after[1]:.3f}")
    for name in judges:
        (wanted, own), (wanted_after, own_after) = before[0][name], after[0][name]
        print(
            f"{name} names the wanted singer in {wanted:.0%} before and {wanted_after:.0%} after, "
            f"the source in {own:.0%} and {own_after:.0%} (by chance: {1 / len(table):.0%})"
        )
    print(f"{time.monotonic() - started:.0f} s")
    return before, after


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
