// Buttons that play an exemplar of a singer.

import { api, ApiError } from "./api.js";
import { playAlone } from "./audio.js";
import { announce, h } from "./dom.js";

const KEPT = 24; // clips in memory
const clips = new Map(); // id -> address of a blob

async function clipOf(id) {
  if (clips.has(id)) return clips.get(id);
  const place = URL.createObjectURL(await api.clip(id));
  clips.set(id, place);
  if (clips.size > KEPT) {
    const [oldest, address] = clips.entries().next().value;
    clips.delete(oldest);
    URL.revokeObjectURL(address);
  }
  return place;
}

/** A round button that plays and stops the clip; a clip that is not there says so. */
export function playButton(id, label) {
  const audio = new Audio();
  const button = h("button", { type: "button", class: "play small", "aria-label": `Play ${label}` });
  const mark = (playing) => {
    button.classList.toggle("playing", playing);
    button.setAttribute("aria-label", `${playing ? "Stop" : "Play"} ${label}`);
  };
  audio.addEventListener("play", () => mark(true));
  audio.addEventListener("pause", () => mark(false));
  audio.addEventListener("ended", () => mark(false));
  button.addEventListener("click", async () => {
    if (!audio.paused) { audio.pause(); audio.currentTime = 0; return; }
    try {
      if (!audio.src) audio.src = await clipOf(id);
      await playAlone(audio);
    } catch (error) {
      if (!(error instanceof ApiError || error instanceof DOMException)) throw error;
      const text = error.status === 404 ? "No clip of this recording was kept" : "The clip cannot be played";
      button.disabled = error.status === 404;
      button.title = text;
      announce(text);
    }
  });
  return button;
}
