#!/bin/sh
# Makes the pretrained encoder: voices → two trainings → whitening → calibration → two files.
# Usage: sh examples/pretrained.sh RECORDINGS.csv FOLDER     (about an hour and a half of one core)
#
# RECORDINGS.csv lists speech to train on (split train) and singing to calibrate with (split
# valid; labels singer, song, gender, corpus), with paths beside it.
set -e
csv=$1 out=$2
settings=$(dirname "$0")/pretrained.yaml
mkdir -p "$out"

for corpus in librispeech speechocean762; do
    singerid manifest "$csv" --corpus csv --select split=train --select corpus=$corpus \
        -o "$out/$corpus.jsonl"
done
cat "$out/librispeech.jsonl" "$out/speechocean762.jsonl" > "$out/voices.jsonl"
singerid voices "$out/voices.jsonl" -o "$out/bank" || true    # what holds no voice is named
singerid voices "$out/librispeech.jsonl" -o "$out/bank-librispeech"

# Two networks err differently: one heard all voices, now and then in a room or in noise; the
# other the better recordings only.
singerid train "$out/bank" -o "$out/run-all" --config "$settings"
singerid train "$out/bank-librispeech" -o "$out/run-librispeech" --config "$settings" \
    --channel.room_probability 0 --channel.noise_probability 0

# Whitened on crops of real singing's length, more of them noisy and in rooms.
singerid whiten "$out/run-all" "$out/run-librispeech" "$out/bank" -o "$out/default.safetensors" --config "$settings" \
    --whiten.batches 120 --batch.n_partials 4 --batch.partial_frames 350 \
    --resing.real_share 0.2 --channel.room_probability 0.6 --channel.noise_probability 0.8 \
    --channel.snr_min_db 20 --channel.snr_max_db 50
singerid export "$out/default.safetensors" -o "$out/uncalibrated.onnx" --name default

# Calibrated on real singers that no training saw, at several lengths.
singerid manifest "$csv" --corpus csv --select kind=singing -o "$out/singing.jsonl"
for seconds in 2 4 8 0; do
    singerid embed "$out/singing.jsonl" --encoder "$out/uncalibrated.onnx" \
        --embed.max_seconds $seconds -o "$out/singing-$seconds.parquet" || true
done    # two middles of 2 s hold no voice
singerid calibrate "$out"/singing-2.parquet "$out"/singing-4.parquet "$out"/singing-8.parquet \
    "$out"/singing-0.parquet -o "$out/calibration.safetensors"
singerid export "$out/default.safetensors" -o "$out/default.onnx" --name default \
    --calibration "$out/calibration.safetensors"
