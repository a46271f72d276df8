"""Our mel-cepstra beside SPTK's: prints the largest differences, and writes the tests' numbers.

    pip install pysptk==1.0.1   # beside the package, in an environment of its own; has to compile
    python benchmarks/reference_melcepstrum.py [--write tests/data/melcepstrum.npz]

pysptk is no dependency of the project: what it gave is kept in tests/data.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module

import numpy as np
import numpy.typing as npt

from singerid.features import melcepstrum as ours

FloatArray = npt.NDArray[np.float64]
N_BINS, ALPHA = 513, 0.45
N_DIMS = {"envelope": 40, "aperiodicity": 4}
FLOOR = 10 ** (ours.FLOOR_DB / 10)


def powers() -> dict[str, FloatArray]:
    """Smooth envelopes as of vowels and of noise, and aperiodicities, each `(3, N_BINS)`."""
    hz = np.linspace(0, 8000, N_BINS)
    formants = np.array([[730, 1090, 2440, 3500], [270, 2290, 3010, 3700], [300, 870, 2240, 3300]])
    bells = 1 / (1 + ((hz - formants[:, :, None]) / 120) ** 2)
    envelopes = 1e-9 + bells.sum(axis=1) * 10 ** (-hz / 2000)
    rises = 1 / (1 + np.exp(-(hz - np.array([[2000], [4000], [6000]])) / 700))
    return {"envelope": envelopes, "aperiodicity": (0.01 + 0.98 * rises) ** 2}


def sptk(power: FloatArray, n_dims: int) -> dict[str, FloatArray]:
    """The same quantities by pysptk, frame by frame."""
    pysptk = import_module("pysptk")

    def frames(function: Callable[[FloatArray], FloatArray], of: FloatArray) -> FloatArray:
        return np.array([function(np.ascontiguousarray(frame)) for frame in of])

    def mcep(frame: FloatArray, itype: int, iterations: int) -> FloatArray:
        mel_cepstrum: FloatArray = pysptk.mcep(
            frame, n_dims - 1, ALPHA, miniter=min(2, iterations), maxiter=iterations,
            threshold=1e-14, etype=1, eps=FLOOR, min_det=0.0, itype=itype,
        )  # fmt: skip
        return mel_cepstrum

    linear = frames(lambda frame: mcep(frame, 1, 0), 10 * np.log10(power))
    ends = linear * np.where(np.isin(np.arange(n_dims), [0, n_dims - 1]), 2, 1)
    mirrored = np.concatenate([ends, ends[:, -2:0:-1]], axis=1)
    return {
        "freqt": frames(lambda frame: pysptk.freqt(frame, 25, ALPHA), linear),
        "sp2mc": frames(lambda frame: pysptk.sp2mc(frame, n_dims - 1, ALPHA), power),
        "mcep": linear,
        "mcep_fitted": frames(lambda frame: mcep(frame, 4, 100), power),
        "mc2sp": frames(lambda frame: pysptk.mc2sp(frame, ALPHA, 2 * (N_BINS - 1)), linear),
        "mfsc": 10 / np.log(10) * np.fft.rfft(mirrored).real,
    }


def compared(power: FloatArray, reference: dict[str, FloatArray]) -> dict[str, float]:
    """Largest absolute difference of ours from `reference` (powers: of the logarithm), by name."""
    linear, n_dims = reference["mcep"], reference["mcep"].shape[1]
    results = {
        "freqt": ours.frequency_transform(linear, 25, ALPHA),
        "sp2mc": ours.mel_cepstrum(power, n_dims, ALPHA, floor_db=-np.inf),
        "mcep": ours.mel_cepstrum(power, n_dims, ALPHA),
        "mcep_fitted": ours.fitted_mel_cepstrum(
            power, n_dims, ALPHA, iterations=100, tolerance=1e-12
        ),
        "mc2sp": np.log(ours.power_spectrum(linear, N_BINS, ALPHA)),
        "mfsc": ours.mfsc_from_mel_cepstrum(linear),
    }
    references = {**reference, "mc2sp": np.log(reference["mc2sp"])}
    return {name: float(np.abs(results[name] - references[name]).max()) for name in results}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", metavar="NPZ", help="where the tests' numbers go")
    arguments = parser.parse_args()
    numbers: dict[str, FloatArray] = {}
    for kind, power in powers().items():
        reference = sptk(power, N_DIMS[kind])
        for name, difference in compared(power, reference).items():
            print(f"{kind:13s} {name:12s} largest difference {difference:.1e}")
        numbers |= {f"{kind}_{name}": values for name, values in reference.items()}
        numbers[f"{kind}_power"] = power
    if arguments.write:
        np.savez_compressed(arguments.write, **numbers)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
