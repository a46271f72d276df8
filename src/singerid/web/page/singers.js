// The view "Singers": who is enrolled, with what; play, rename, delete.

import { api, ApiError, errorBox } from "./api.js";
import { announce, confirmed, disclose, find, h, nameOf } from "./dom.js";
import { enrolling } from "./enroll.js";
import { playButton } from "./exemplars.js";
import { count, day, duration } from "./words.js";

const PAGE = 20;

/** `onchange()` when the registry has changed. Returns { show }. */
export function startSingers(onchange) {
  const state = { query: "", offset: 0, controller: null, shown: "" };
  const [list, trouble, pager] = [find("#singer-list"), find("#singer-error"), find(".pager")];
  const changed = () => { state.shown = ""; onchange(); return show(); };

  async function show() {
    state.controller?.abort();
    const { signal } = (state.controller = new AbortController());
    try {
      const reply = await api.singers(state.query, state.offset, PAGE, signal);
      if (!reply.singers.length && state.offset) { state.offset = Math.max(0, state.offset - PAGE); return show(); }
      trouble.replaceChildren();
      render(reply);
    } catch (error) {
      if (error.name === "AbortError") return;
      trouble.replaceChildren(errorBox(error, show));
    }
  }

  /** What has not changed stays as it is, and who was opened stays open. */
  function render(reply) {
    const shown = JSON.stringify(reply);
    if (shown !== state.shown) {
      const opened = new Set([...list.querySelectorAll("details[open]")].map((one) => one.dataset.singer));
      list.replaceChildren(...reply.singers.map((one) => singerItem(one, changed, opened.has(one.name))));
    }
    state.shown = shown;
    describe(reply);
  }

  function describe({ total, singers }) {
    const found = state.query ? `${count(total, "singer")} found` : total ? `${count(total, "singer")} enrolled` : "Nobody is enrolled yet.";
    find("#singer-count").textContent = found;
    pager.hidden = total <= PAGE;
    const last = state.offset + singers.length;
    find("#page-range").textContent = `${state.offset + 1}–${last} of ${total.toLocaleString("en")}`;
    find("#previous").disabled = state.offset === 0;
    find("#next").disabled = last >= total;
  }

  const turn = (by) => { state.offset = Math.max(0, state.offset + by); show(); find("#singers-title").focus(); };
  find("#previous").addEventListener("click", () => turn(-PAGE));
  find("#next").addEventListener("click", () => turn(PAGE));
  let timer = 0;
  find("#singer-query").addEventListener("input", (event) => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      Object.assign(state, { query: event.target.value.trim(), offset: 0 });
      await show();
      announce(find("#singer-count").textContent);
    }, 200);
  });
  const opener = find("#to-add");
  opener.addEventListener("click", () => { if (disclose(opener)) find("#add-name").focus(); });
  enrolling(find("#add-box"), find("#add-box .outcome"), () => [...find("#add-files").files], (reply) => {
    if (reply.enrolled.length) find("#add-files").value = "";
    changed();
  });
  return { show };
}

/** One singer: a line that opens to the exemplars. */
function singerItem(singer, changed, open) {
  const body = h("div", { class: "singer-body" });
  const labels = Object.entries(singer.labels ?? {}).map(([key, value]) => `${key}: ${value}`);
  const facts = [count(singer.n_exemplars, "recording"), duration(singer.seconds), ...labels];
  const details = h("details", {}, h("summary", {}, nameOf(singer.name),
    h("span", { class: "soft" }, facts.join(" · "))), body);
  details.addEventListener("toggle", async () => {
    if (!details.open || body.childElementCount) return;
    try {
      body.replaceChildren(...singerBody(await api.singer(singer.name), changed));
    } catch (error) {
      body.replaceChildren(errorBox(error));
    }
  });
  details.dataset.singer = singer.name;
  details.open = open;
  return h("li", {}, details);
}

function singerBody(singer, changed) {
  const trouble = h("div");
  const tried = async (action) => {
    try {
      await action();
      await changed();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      trouble.replaceChildren(errorBox(error));
    }
  };
  const rows = singer.exemplars.map((one) => exemplarRow(one, singer, tried));
  return [h("ul", { class: "exemplars" }, rows), actions(singer, tried), trouble];
}

function exemplarRow(one, singer, tried) {
  const file = one.file?.split("/").pop() || "recording";
  const quality = typeof one.quality === "number" ? one.quality : one.quality?.score;
  const facts = [duration(one.seconds), Number.isFinite(quality) ? `quality ${quality.toFixed(2)}` : "", day(one.enrolled_at)];
  const remove = h("button", { type: "button", class: "link", "aria-label": `Delete ${file}` }, "Delete");
  remove.addEventListener("click", async () => {
    const last = singer.exemplars.length === 1 ? ` It is the only one: ${singer.name} goes with it.` : "";
    const text = `The service forgets this recording of ${singer.name}.${last}`;
    if (await confirmed(`Delete ${file}?`, text, "Delete")) await tried(() => api.removeExemplar(one.id));
  });
  return h("li", {}, one.has_clip ? playButton(one.id, file) : h("span", { class: "no-play" }),
    h("span", { class: "label" }, nameOf(file), " ", h("span", { class: "soft" }, facts.filter(Boolean).join(" · "))), remove);
}

function actions(singer, tried) {
  const input = h("input", { value: singer.name, required: true, maxlength: 200, autocomplete: "off", "aria-label": `New name of ${singer.name}` });
  const form = h("form", { class: "rename" }, input, h("button", { class: "button" }, "Rename"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = input.value.trim();
    if (!name || name === singer.name) return;
    await tried(() => api.rename(singer.name, name));
    announce(`${singer.name} is called ${name} now`);
  });
  const remove = h("button", { type: "button", class: "button danger" }, "Delete singer");
  remove.addEventListener("click", async () => {
    const text = `${count(singer.exemplars.length, "recording")} of ${singer.name} will be forgotten. This cannot be undone.`;
    if (!(await confirmed(`Delete ${singer.name}?`, text, "Delete"))) return;
    await tried(() => api.remove(singer.name));
    announce(`${singer.name} was deleted`);
    find("#singers-title").focus();
  });
  return h("div", { class: "singer-actions" }, form, remove);
}
