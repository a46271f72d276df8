// What the service remarks on a recording.

import { h } from "./dom.js";
import { capital, duration } from "./words.js";

const GRADES = [[0.7, "good"], [0.4, "fair"], [0, "poor"]];

/** A line on the recording and the reasons, if any, why it can be trusted less. */
export function qualityNote(quality, seconds, voice, title = "Recording") {
  if (!quality) return null;
  const grade = GRADES.find(([least]) => quality.score >= least)[1];
  const heard = [seconds, voice].every(Number.isFinite)
    ? `, ${duration(voice)} of voice in ${duration(seconds)}` : "";
  return h("div", { class: `quality ${grade}` },
    h("p", {}, `${title}: `, h("span", { class: "badge" }, grade), heard),
    quality.reasons?.length ? h("ul", {}, quality.reasons.map((reason) => h("li", {}, capital(reason)))) : null);
}
