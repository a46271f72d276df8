// Runs on the audio thread: hands the microphone's samples over in pieces.

class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Float32Array(2048);
    this.filled = 0;
    this.open = true;
    this.port.onmessage = () => { // the end: what is left, then a mark
      this.port.postMessage(this.piece.slice(0, this.filled));
      this.port.postMessage(null);
      this.open = false;
    };
  }

  process([input]) {
    if (!input.length) return this.open;
    for (let t = 0; t < input[0].length; t++) {
      let sum = 0;
      for (const channel of input) sum += channel[t];
      this.piece[this.filled++] = sum / input.length;
      if (this.filled === this.piece.length) {
        this.port.postMessage(this.piece.slice());
        this.filled = 0;
      }
    }
    return this.open;
  }
}
registerProcessor("tap", Tap);
