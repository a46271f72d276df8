// Recordings become exemplars of a singer; what looks odd about them is said.

import { api, ApiError, errorBox } from "./api.js";
import { announce, find, h, nameOf, reveal } from "./dom.js";
import { capital, count, percent, score } from "./words.js";

/** Make a form enroll the files of `filesOf()`; `ondone(reply)` when something was kept. */
export function enrolling(form, box, filesOf, ondone) {
  const input = find("input[name=singer]", form);
  completing(input);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [files, singer] = [filesOf(), input.value.trim()];
    if (!files.length || !singer) return input.focus();
    const button = find("button.main", form);
    button.disabled = true;
    box.replaceChildren(h("p", { class: "soft busy" }, "Enrolling…"));
    try {
      const reply = await api.enroll(singer, files);
      const { element, text } = enrolled(reply);
      box.replaceChildren(element);
      announce(text);
      ondone(reply);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      box.replaceChildren(errorBox(error));
    } finally {
      button.disabled = false;
    }
    reveal(box);
  });
}

/** Offer the names that are known already. */
function completing(input) {
  let timer = 0;
  const list = find("#known-singers");
  const offer = async () => {
    try {
      const { singers } = await api.singers(input.value.trim(), 0, 8);
      list.replaceChildren(...singers.map(({ name }) => h("option", { value: name })));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // without names to offer, one types
    }
  };
  input.addEventListener("focus", offer);
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(offer, 200); });
}

function enrolled(reply) {
  const n = reply.enrolled.length;
  const text = n ? `Enrolled ${count(n, "recording")} under ${reply.singer}.` : "Nothing was enrolled.";
  const lines = [h("p", { class: n ? "done" : "note" },
    n ? [`Enrolled ${count(n, "recording")} under `, nameOf(reply.singer), "."] : text)];
  const files = new Map(reply.enrolled.map(({ id, file }) => [id, file]));
  const notes = [
    ...reply.known.map((file) => [nameOf(file), " was enrolled before; nothing was added."]),
    ...reply.failed.map(({ file, error }) => [nameOf(file), `: ${reasonOf(error)}`]),
    ...reply.outliers.map((one) => ["Listen again to ", nameOf(files.get(one.id) ?? one.file ?? "an earlier recording"),
      `: ${one.reason}`]),
    ...reply.near.map(({ singer, score: value, probability }) => ["Sounds much like ", nameOf(singer),
      ` (${Number.isFinite(probability) ? percent(probability) : `score ${score(value)}`}). If it is the same person, give both one name.`]),
    ...reply.enrolled.flatMap(({ file, quality }) => reasonsOf(quality).map((reason) => [nameOf(file), `: ${reason}`])),
  ];
  if (notes.length) lines.push(h("ul", { class: "notes" }, notes.map((note) => h("li", {}, note))));
  return { element: h("div", {}, lines), text: [text, ...notes.map(textOf)].join(" ") };
}

const textOf = (note) => note.map((part) => part.textContent ?? part).join("");
const reasonsOf = (quality) => (quality && typeof quality === "object" ? quality.reasons ?? [] : []);
const reasonOf = (error) => (typeof error === "string" ? error : capital([error.what, error.do].filter(Boolean).join("; ")));
