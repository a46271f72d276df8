// The view "Compare": two recordings, one singer or two?

import { api } from "./api.js";
import { tooLittle, notEnough } from "./answer.js";
import { find, h } from "./dom.js";
import { qualityNote } from "./quality.js";
import { Question } from "./question.js";
import { Take } from "./take.js";
import { percent, prior, sameness, score } from "./words.js";

export function startCompare() {
  const takes = [
    new Take(find("#take-a"), "One recording", "Drop it here"),
    new Take(find("#take-b"), "Another recording", "Drop it here"),
  ];
  const button = find("#same");
  const question = new Question(button, find("#verdict"));
  for (const take of takes) {
    take.addEventListener("change", () => {
      question.forget();
      button.disabled = !takes.every(({ file }) => file);
    });
  }
  button.addEventListener("click", () => {
    const [a, b] = takes.map(({ file }) => file);
    question.ask((signal) => api.verify(a, b, signal), verdict,
      (error) => (tooLittle(error) ? notEnough(error) : null));
  });
  return { takes };
}

/** { element, text } of an answer of /verify. */
function verdict(reply) {
  const calibrated = Number.isFinite(reply.probability);
  const who = calibrated ? sameness(reply.probability) : `Score ${score(reply.score)}`;
  const how = calibrated
    ? `Probability of one singer: ${percent(reply.probability)} (prior ${prior(reply.prior ?? 0.5)})`
    : "This encoder has no calibration, so how likely it is cannot be said. 1 is the same voice, around 0 is nothing in common.";
  const [first, second] = [0, 1].map((i) => quality(reply, i));
  const element = h("div", { class: "answer" }, h("p", { class: "who" }, who), h("p", { class: "how" }, how),
    calibrated ? scale(reply.probability) : null, first, second, calibrated ? explanation(reply) : null);
  return { element, text: `${who}. ${how}` };
}

const quality = (reply, i) => qualityNote(reply.quality?.[i], reply.seconds?.[i],
  reply.quality?.[i]?.voice_seconds, ["First recording", "Second recording"][i]);

function scale(probability) {
  const mark = h("span", { class: "mark" });
  mark.style.left = `${probability * 100}%`;
  return h("div", { class: "scale", "aria-hidden": "true" }, h("span", { class: "track" }, mark),
    h("span", { class: "soft" }, "different"), h("span", { class: "soft" }, "the same"));
}

function explanation({ accepted, threshold, false_alarm: alarm, score: value, prior: p = 0.5 }) {
  const texts = [p === 0.5
    ? "Prior ½: before listening, “one singer” and “two singers” counted as equally likely."
    : `Prior ${prior(p)}: so likely was it, before listening, that one singer sings both.`];
  if (Number.isFinite(threshold)) {
    const rule = alarm ? `, set so that of pairs of different singers ${percent(alarm)} pass` : "";
    texts.push(`The score is ${score(value)}; the threshold is ${score(threshold)}${rule}. As a check of identity this pair ${accepted ? "passes" : "does not pass"}.`);
  }
  return h("details", {}, h("summary", {}, "What the numbers mean"), texts.map((text) => h("p", {}, text)));
}
