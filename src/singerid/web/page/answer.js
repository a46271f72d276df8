// The answer to "who sings?": a name, or that it is unknown, and what speaks for it.

import { playButton } from "./exemplars.js";
import { h, nameOf } from "./dom.js";
import { qualityNote } from "./quality.js";
import { capital, count, duration, percent, prior, score, surely } from "./words.js";

const LITTLE = 2; // seconds of voice below which "unknown" means "not heard"
const SILENT = /\b(no voice|silent|silence|too short|is shorter)\b/i;

/** Whether an error of the service means that there was too little to hear. */
export const tooLittle = (error) => error.status === 422 && SILENT.test(error.message);

const SING = "Sing for five seconds or more, close to the microphone.";

/** The answer to a recording that an error says to hold too little. */
export function notEnough({ message, parts: { where, found } }) {
  const text = `${where ?? "The recording"} ${message}${found ? ` (${found})` : ""}. ${SING}`;
  const element = h("div", { class: "answer" }, h("p", { class: "who none" }, "Not enough voice"),
    h("p", { class: "how name" }, text));
  return { element, text: `Not enough voice. ${text}` };
}

/** The answer as { element, text }, the latter to be spoken. */
export function identified(reply) {
  const first = reply.candidates[0];
  const calibrated = Number.isFinite(reply.probability);
  const known = reply.singer !== null;
  const [who, how] = known ? named(reply, calibrated) : unnamed(reply);
  const element = h("div", { class: "answer" },
    h("p", { class: known ? "who" : "who none" }, known ? nameOf(who) : who),
    h("p", { class: "how" }, how),
    h("p", { class: "soft" }, marginLine(reply, calibrated)),
    first ? ranking(reply, calibrated) : null,
    qualityNote(reply.quality, reply.seconds, reply.voice_seconds),
    explanation(reply, calibrated));
  return { element, text: `${who}. ${how}` };
}

function named(reply, calibrated) {
  if (!calibrated) {
    return [reply.singer, "The most alike of those enrolled. This encoder has no calibration, so how likely it is cannot be said."];
  }
  return [reply.singer, `${capital(surely(reply.probability))}: ${percent(reply.probability)}`];
}

function unnamed(reply) {
  if (reply.voice_seconds < LITTLE) {
    return ["Not enough voice", `Only ${duration(reply.voice_seconds)} of voice could be heard. ${SING}`];
  }
  const p = reply.unknown_probability;
  return ["Unknown", `${capital(surely(p))} somebody who is not enrolled: ${percent(p)}`];
}

function marginLine({ candidates: [first, second], margin, prior: p = 0.5 }, calibrated) {
  const line = calibrated ? [`Prior ${prior(p)}`] : [];
  if (!second || !Number.isFinite(margin)) return line;
  return ["Margin of ", nameOf(first.singer), " over ", nameOf(second.singer), ": ",
    h("strong", {}, score(margin)), ...line.map((text) => ` · ${text.toLowerCase()}`)];
}

/** The candidates and "somebody else", most probable first, each with a bar. */
function ranking(reply, calibrated) {
  const rows = reply.candidates.map((one) => ({
    label: nameOf(one.singer),
    play: one.exemplar ? playButton(one.exemplar, one.singer) : null,
    share: calibrated ? one.probability : Math.max(0, one.score),
    value: calibrated ? percent(one.probability) : score(one.score),
    detail: `score ${score(one.score)}, ${count(one.n_recordings, "recording")}`,
  }));
  if (calibrated) {
    const p = reply.unknown_probability;
    const other = { label: h("span", { class: "name" }, "Somebody else"), share: p, value: percent(p), detail: "not enrolled", other: true };
    const place = rows.findIndex((row) => row.share < p);
    rows.splice(place < 0 ? rows.length : place, 0, other);
  }
  return h("ol", { class: "ranking", "aria-label": "Candidates" }, rows.map(rankingRow));
}

function rankingRow({ label, play, share, value, detail, other }) {
  const fill = h("span", { class: "fill" });
  fill.style.width = `${Math.min(100, share * 100)}%`;
  return h("li", { class: other ? "other" : null },
    play ?? h("span", { class: "no-play" }),
    h("span", { class: "label" }, label, " ", h("span", { class: "soft" }, detail)),
    h("span", { class: "value" }, value),
    h("span", { class: "bar", "aria-hidden": "true" }, fill));
}

function explanation(reply, calibrated) {
  const texts = ["The score is the cosine of the angle between two voice prints: 1 is the same, around 0 is nothing in common. " +
    "The margin is how far the best score is ahead of the second."];
  if (calibrated) {
    const enrolled = reply.n_singers ? `one of the ${count(reply.n_singers, "enrolled singer")}` : "one of the enrolled singers";
    const p = reply.prior ?? 0.5;
    texts.unshift(p === 0.5
      ? `Prior ½: before listening, “${enrolled}” and “somebody else” counted as equally likely. If a stranger is more likely where you ask, believe a name less.`
      : `Prior ${prior(p)}: so likely was it, before listening, that ${enrolled} sings.`);
  }
  return h("details", {}, h("summary", {}, "What the numbers mean"), texts.map((text) => h("p", {}, text)));
}
