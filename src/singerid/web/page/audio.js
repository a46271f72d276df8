// Sound in the browser: record the microphone to WAV, decode for the eye, play one thing at a time.

import { peaksOf } from "./waveform.js";

export const LONGEST = 300; // seconds of a recording
const N_PEAKS = 2000;
const DECODE_HZ = 8000; // enough to draw
const DECODE_BYTES = 50e6; // above, drawing would cost more memory than it is worth

const REASONS = {
  NotAllowedError: "The browser was not allowed to use the microphone. Allow it in the site settings " +
    "(beside the address), then press Record again.",
  NotFoundError: "No microphone was found. Connect one, or choose a file.",
  NotReadableError: "The microphone could not be opened. Another program may be using it.",
};
const INSECURE = "The browser opens the microphone only for pages by https or on localhost. Choose a file instead.";

export class MicrophoneError extends Error {}

/** Mono samples of the microphone, as they are: no echo, noise or gain is touched. */
export class Recorder {
  /** `onlevel(peak, seconds)` about 20 times a second; `onend()` if the device goes away. */
  constructor(onlevel, onend) {
    Object.assign(this, { onlevel, onend, pieces: [], length: 0 });
  }

  async start() {
    if (!navigator.mediaDevices?.getUserMedia) throw new MicrophoneError(INSECURE);
    const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ audio: raw });
    } catch (error) {
      throw new MicrophoneError(REASONS[error.name] ?? `The microphone did not start: ${error.message}`);
    }
    this.context = new AudioContext();
    try {
      await this.context.audioWorklet.addModule(new URL("recorder-worklet.js", import.meta.url));
      await this.context.resume();
    } catch (error) {
      await this.release();
      throw new MicrophoneError(`The microphone did not start: ${error.message}`);
    }
    this.tap = new AudioWorkletNode(this.context, "tap");
    this.tap.port.onmessage = ({ data }) => this.take(data);
    this.stream.getTracks().forEach((track) => track.addEventListener("ended", this.onend));
    this.context.createMediaStreamSource(this.stream).connect(this.tap);
    this.tap.connect(this.context.destination); // silent: the tap has no output of its own
  }

  take(piece) {
    if (piece === null) return this.finished?.();
    this.pieces.push(piece);
    this.length += piece.length;
    let peak = 0;
    for (const value of piece) peak = Math.max(peak, Math.abs(value));
    this.onlevel(peak, this.length / this.context.sampleRate);
  }

  /** A WAV file of everything heard. */
  async stop() {
    const rate = this.context.sampleRate;
    await new Promise((resolve) => {
      this.finished = resolve;
      setTimeout(resolve, 500); // a stopped context answers no more
      this.tap.port.postMessage("end");
    });
    await this.release();
    return new File([encodeWav(this.pieces, this.length, rate)], recordingName(), { type: "audio/wav" });
  }

  async release() {
    this.stream.getTracks().forEach((track) => track.stop());
    await this.context.close();
  }
}

function recordingName() {
  const now = new Date();
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60e3).toISOString();
  return `recording ${local.slice(0, 10)} ${local.slice(11, 19).replaceAll(":", "-")}.wav`;
}

/** Bytes of a 16-bit mono WAV file. */
export function encodeWav(pieces, length, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * length));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * length, true);
  let at = 44;
  for (const piece of pieces) {
    for (const value of piece) {
      view.setInt16(at, Math.round(Math.max(-1, Math.min(1, value)) * 32767), true);
      at += 2;
    }
  }
  return view.buffer;
}

/** Peaks and seconds of a file; null if this browser cannot decode it (the service may). */
export async function look(file) {
  if (file.size > DECODE_BYTES || file.size === 0) return null;
  try {
    const context = new OfflineAudioContext(1, 1, DECODE_HZ);
    const sound = await context.decodeAudioData(await file.arrayBuffer());
    const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i));
    return { peaks: peaksOf(channels, Math.min(N_PEAKS, sound.length)), seconds: sound.duration };
  } catch {
    return null;
  }
}

let sounding = null;

/** Play this element alone. */
export async function playAlone(audio) {
  if (sounding && sounding !== audio) sounding.pause();
  sounding = audio;
  try {
    await audio.play();
  } catch (error) {
    if (error.name !== "AbortError") throw error; // paused before it began
  }
}
