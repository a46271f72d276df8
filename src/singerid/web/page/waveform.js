// A waveform as thin bars on a canvas; the part that was played is in the accent color.

const STEP = 4; // CSS pixels from bar to bar
const BAR = 2.5;

/** Highest absolute sample of each of `n` equal parts, over all channels. */
export function peaksOf(channels, n) {
  const peaks = new Float32Array(n);
  const length = channels[0].length;
  for (let i = 0; i < n; i++) {
    const end = Math.ceil(((i + 1) * length) / n);
    for (const samples of channels) {
      for (let t = Math.floor((i * length) / n); t < end; t++) {
        const value = Math.abs(samples[t]);
        if (value > peaks[i]) peaks[i] = value;
      }
    }
  }
  return peaks;
}

export class Waveform {
  constructor(canvas) {
    this.canvas = canvas;
    this.peaks = null; // Float32Array in [0, 1], as many as wanted; null: nothing to show
    this.played = 0; // in [0, 1]
    this.newest = false; // live: bars enter at the right and leave at the left
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  show(peaks) {
    this.peaks = peaks;
    this.played = 0;
    this.draw();
  }

  /** Add a level in [0, 1] at the right end. */
  push(level) {
    this.newest = true;
    (this.levels ??= []).push(level);
    this.draw();
  }

  clear() {
    this.peaks = this.levels = null;
    this.played = 0;
    this.draw();
  }

  progress(share) {
    this.played = share;
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    const scale = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const style = getComputedStyle(canvas);
    const [rest, done] = [style.getPropertyValue("--wave"), style.getPropertyValue("--accent")];
    const bars = this.bars(Math.floor(width / STEP));
    bars.forEach((value, i) => {
      const tall = Math.max(BAR, value * (height - 4));
      const lit = this.newest || (i + 0.5) / bars.length <= this.played;
      context.fillStyle = lit ? done : rest;
      context.beginPath();
      context.roundRect(i * STEP, (height - tall) / 2, BAR, tall, BAR / 2);
      context.fill();
    });
  }

  /** Heights in [0, 1] of `n` bars. */
  bars(n) {
    if (this.newest) {
      const levels = (this.levels ?? []).slice(-n);
      return [...new Array(n - levels.length).fill(0), ...levels];
    }
    if (!this.peaks) return new Array(n).fill(0);
    const bars = peaksOf([this.peaks], n);
    const top = Math.max(0.1, ...bars); // a quiet recording is still seen, silence stays flat
    return [...bars].map((value) => value / top);
  }
}
