"""Learning-free baseline: mean and deviation of 19 MFCCs per recording, standardized by corpus.

python benchmarks/mfcc_baseline.py manifest.jsonl mfcc.parquet
"""

from __future__ import annotations

import sys

import librosa
import numpy as np

from singerid.audio import load
from singerid.embeddings import embedding_set, normalize, write_embeddings
from singerid.records import read_recordings


def main(manifest: str, output: str) -> None:
    """Write one vector of 38 dimensions per recording, as if an encoder had made them."""
    recordings = read_recordings(manifest)
    rows = []
    for recording in recordings:
        samples, _ = load(recording.path, 16000, recording.channel)
        # c0 is loudness, which says nothing about the singer.
        mfcc = librosa.feature.mfcc(y=samples, sr=16000, n_mfcc=20)[1:]
        rows.append(np.concatenate([mfcc.mean(axis=1), mfcc.std(axis=1)]))
    vectors = np.array(rows)
    corpora = np.array([recording.labels.get("corpus", "") for recording in recordings])
    for corpus in np.unique(corpora):
        own = corpora == corpus
        vectors[own] = (vectors[own] - vectors[own].mean(axis=0)) / vectors[own].std(axis=0)
    counts = [1] * len(recordings)
    write_embeddings(output, embedding_set(recordings, normalize(vectors), counts, "mfcc-38"))


if __name__ == "__main__":
    main(*sys.argv[1:])
