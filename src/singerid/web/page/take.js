// One recording: dropped, chosen or sung into the microphone; then seen and heard.

import { look, LONGEST, MicrophoneError, playAlone, Recorder } from "./audio.js";
import { announce, find, h } from "./dom.js";
import { Waveform } from "./waveform.js";
import { clock, duration, size } from "./words.js";

let made = 0;

export class Take extends EventTarget {
  /** Fills `root`; fires "change" when `file` (null: none) is another. */
  constructor(root, lead, hint) {
    super();
    this.root = root;
    this.file = null;
    this.address = null;
    this.audio = new Audio();
    this.parts = build(root, lead, hint);
    this.wave = new Waveform(find(".ready canvas", root));
    this.live = new Waveform(find("canvas.live", root));
    this.listen();
    this.listenToPlayer();
  }

  listen() {
    const { pick, record, stop, discard, remove, drop } = this.parts;
    pick.addEventListener("change", () => { if (pick.files[0]) this.load(pick.files[0]); pick.value = ""; });
    record.addEventListener("click", () => this.record());
    stop.addEventListener("click", () => this.stop());
    discard.addEventListener("click", () => this.stop(false));
    remove.addEventListener("click", () => { this.load(null); record.focus(); });
    for (const kind of ["dragenter", "dragover"]) {
      this.root.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
    }
    for (const kind of ["dragleave", "drop"]) {
      this.root.addEventListener(kind, () => drop.classList.remove("over"));
    }
    this.root.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      if (!this.recorder) this.receive(event.dataTransfer);
    });
  }

  /** What was dropped: one file; of several the first, and it is said. */
  receive(transfer) {
    const [file] = transfer.files;
    if (!file) return this.complain("That was no file. Drop a file with a recording.");
    this.load(file);
    if (transfer.files.length > 1) this.complain(`Only the first of ${transfer.files.length} files was taken.`);
  }

  listenToPlayer() {
    const { play, seek, now } = this.parts;
    const { audio } = this;
    const toggle = () => (audio.paused ? playAlone(audio).catch(() => this.unheard()) : audio.pause());
    const show = () => {
      const length = this.seconds ?? audio.duration;
      const at = Math.min(audio.currentTime, length || 0);
      seek.value = at;
      seek.setAttribute("aria-valuetext", `${clock(at)} of ${clock(length || 0)}`);
      now.textContent = clock(at);
      this.wave.progress(length ? at / length : 0);
    };
    const follow = () => { show(); if (!audio.paused) requestAnimationFrame(follow); };
    play.addEventListener("click", toggle);
    seek.addEventListener("input", () => { audio.currentTime = Number(seek.value); show(); });
    seek.addEventListener("keydown", (event) => {
      if (event.key === " ") { event.preventDefault(); toggle(); }
    });
    for (const kind of ["play", "pause", "ended"]) {
      audio.addEventListener(kind, () => {
        const playing = kind === "play";
        play.classList.toggle("playing", playing);
        play.setAttribute("aria-label", playing ? "Pause" : "Play");
        follow();
      });
    }
    audio.addEventListener("loadedmetadata", () => this.measure(audio.duration));
  }

  unheard() {
    this.parts.play.disabled = true;
    this.complain("This browser cannot play the file; the service may still understand it.");
  }

  measure(seconds) {
    if (!Number.isFinite(seconds) || this.seconds) return;
    this.seconds = seconds;
    this.parts.seek.max = seconds;
    this.parts.total.textContent = clock(seconds);
    this.parts.size.textContent = `${duration(seconds)}, ${size(this.file.size)}`;
  }

  /** Take a file, or none. */
  async load(file) {
    const { name, size: facts, play, seek, now, total } = this.parts;
    this.audio.pause();
    if (this.address) URL.revokeObjectURL(this.address);
    this.audio.removeAttribute("src");
    Object.assign(this, { file, address: null, seconds: null });
    this.complain("");
    this.state(file ? "ready" : "drop");
    if (file) {
      this.wave.clear();
      seek.value = seek.max = 0;
      now.textContent = clock(0);
      [name.textContent, facts.textContent, total.textContent] = [file.name, size(file.size), ""];
      play.disabled = false;
      this.address = URL.createObjectURL(file);
      this.audio.src = this.address;
    }
    this.dispatchEvent(new Event("change"));
    if (!file) return;
    const seen = await look(file);
    if (this.file !== file) return; // meanwhile another
    this.parts.ready.classList.toggle("unseen-wave", !seen);
    if (seen) {
      this.seconds = null;
      this.measure(seen.seconds);
      this.wave.show(seen.peaks);
    }
  }

  state(which) {
    for (const part of ["drop", "recording", "ready"]) this.parts[part].hidden = part !== which;
  }

  async record() {
    if (this.recorder) return;
    const { clock: time, stop } = this.parts;
    this.complain("");
    this.live.clear();
    time.textContent = "0:00";
    this.recorder = new Recorder((peak, seconds) => this.heard(peak, seconds), () => this.stop());
    try {
      await this.recorder.start();
    } catch (error) {
      this.recorder = null;
      if (!(error instanceof MicrophoneError)) throw error;
      return this.complain(error.message);
    }
    this.state("recording");
    this.loudest = 0;
    stop.focus();
    announce("Recording");
  }

  heard(peak, seconds) {
    const { clock: time, meter, remark } = this.parts;
    this.loudest = Math.max(this.loudest * 0.98, peak);
    this.live.push(Math.sqrt(peak));
    meter.value = 20 * Math.log10(Math.max(peak, 1e-3));
    time.textContent = clock(seconds);
    remark.textContent = levelRemark(this.loudest, seconds);
    if (seconds >= LONGEST) this.stop();
  }

  async stop(keep = true) {
    if (!this.recorder || this.stopping) return;
    this.stopping = true;
    const file = await this.recorder.stop();
    this.recorder = null;
    this.stopping = false;
    await this.load(keep ? file : null);
    (keep ? this.parts.play : this.parts.record).focus();
    announce(keep ? `Recorded ${duration(this.seconds ?? 0)}` : "Discarded");
  }

  complain(text) {
    this.parts.trouble.replaceChildren(...(text ? [h("p", { class: "note", role: "alert" }, text)] : []));
  }
}

function levelRemark(peak, seconds) {
  if (seconds < 0.7) return "";
  if (peak < 1e-4) return "Silence: is the microphone muted?";
  if (peak < 0.02) return "Very quiet: come closer.";
  return peak > 0.98 ? "Too loud: step back a little." : "Good level.";
}

function build(root, lead, hint) {
  root.append(find("#take-template").content.cloneNode(true));
  const id = `pick-${++made}`;
  find(".pick", root).id = id;
  find(".pick-label", root).htmlFor = id;
  find(".lead", root).textContent = lead;
  find(".hint", root).textContent = hint;
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", lead);
  const classes = ["drop", "recording", "ready", "pick", "record", "stop", "discard", "remove", "play",
    "seek", "now", "total", "name", "size", "clock", "remark", "trouble"];
  const parts = Object.fromEntries(classes.map((name) => [name, find(`.${name}`, root)]));
  return { ...parts, meter: find("meter", root) };
}
