// The panel beside the map, and what happens on clicks and keys. Drawing: map_draw.js.
const drawn = () => Plotly.react(plot, [cloud(), dots(state.list, 1), rings(), names()], layout(),
  { displayModeBar: false, scrollZoom: true, responsive: true, doubleClick: "reset" });
let waiting = false;

/** Draw soon, and once for whatever changes until then. */
function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; drawn(); });
}

/** Other names fit after a zoom. */
function rename() {
  const { x, y, text } = names();
  const known = plot.data[3].text ?? [];
  if (SPACE || (text.length === known.length && text.every((name, i) => name === known[i]))) return;
  Plotly.restyle(plot, { x: [x], y: [y], text: [text] }, [3]);
}

// ---- One recording ----

function nearby(row) {
  const from = row * data.n_neighbors;
  return Array.from({ length: data.n_neighbors }, (_, i) => [neighbors[from + i], scores[from + i] / 1e4]);
}

function facts(row) {
  return [...columns.values()].filter((column) => value(column, row) !== "")
    .map((column) => [column.name, value(column, row)]);
}

function choose(row) {
  state.current = row;
  const terms = facts(row).flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]);
  const list = element("ol", { className: "items", id: "near" },
    ...nearby(row).map(([other, score]) => item(other, score.toFixed(3))));
  const heading = element("h3", {}, "Nearest neighbors (cosine of the embeddings)");
  find("point").replaceChildren(
    element("div", { className: "id", id: "point-id" }, data.ids[row]), element("dl", {}, ...terms),
    element("div", { id: "player" }), ...(data.n_neighbors ? [heading, list] : []));
  play(row);
  draw();
}

async function play(row) {
  const show = (...children) => { if (state.current === row) find("player").replaceChildren(...children); };
  const note = (text) => show(element("p", { className: "soft" }, text));
  try {
    const source = clips().media[row] ?? (data.clip_url ? await fetched(row) : null);
    if (!source) return note(clips().missing.get(row) ?? "This map has no sound.");
    const audio = element("audio", { controls: true, src: source });
    audio.setAttribute("aria-label", `Recording ${data.ids[row]}`);
    show(audio);
    await audio.play().catch(() => {}); // a browser that plays nothing unasked: there is the button
  } catch (error) {
    note(`The recording cannot be heard: ${error.message}`);
  }
}

const heard = new Map();

/** The service's clip as an address that <audio> takes; it may want the token that its page keeps. */
async function fetched(row) {
  if (heard.has(row)) return heard.get(row);
  const base = location.protocol === "blob:" ? location.origin : location.href;
  const path = data.clip_url.replace("{id}", encodeURIComponent(data.ids[row]));
  const token = sessionStorage.getItem("singerid-token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(new URL(path, base), { headers });
  if (!answer.ok) throw new Error(answer.status === 404 ? "there is no clip" : `status ${answer.status}`);
  heard.set(row, URL.createObjectURL(await answer.blob()));
  return heard.get(row);
}

// ---- The list: found or selected ----

function setList(rows, word) {
  state.list = rows;
  find("list-title").textContent = word ? `List: ${count(rows.length)} ${word}` : "List";
  find("list").replaceChildren(...rows.slice(0, MOST_ITEMS).map((row) => item(row)));
  const more = rows.length - MOST_ITEMS;
  find("list-note").textContent = more > 0 ? `and ${count(more)} more, which the files hold as well`
    : rows.length ? "" : word ? `Nothing ${word}.` : PROMPT;
  for (const id of ["csv", "json"]) find(id).disabled = !rows.length;
  find("clear").disabled = !word;
  report(word);
  state.revision += 1; // the outline has done its work
  draw();
}

function report(word = "") {
  const list = word ? `; ${count(state.list.length)} ${word}` : "";
  const shown = n - tally(state.color).reduce((sum, size, code) => sum + (state.hidden.has(code) ? size : 0), 0);
  find("status").textContent = `${count(shown)} of ${count(n)} points shown${list}`;
}

/** Points whose label=value lines hold every word; label="value" is a whole one. */
function search(text) {
  const words = (text.toLowerCase().match(/(?:[^\s"]|"[^"]*")+/g) ?? []).map(
    (word) => word.replace(/^([^"]+=)"([^"]*)"$/, "\n$1$2\n").replace(/"/g, ""));
  if (!words.length) return setList([], "");
  const rows = [];
  texts().forEach((known, row) => { if (words.every((word) => known.includes(word))) rows.push(row); });
  setList(rows, "found");
}

function save(name, kind, text) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: kind })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function exportCsv() {
  const names = [...columns.keys()];
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
  const lines = state.list.map((row) => [data.ids[row], ...names.map((name) => value(columns.get(name), row))]);
  const text = [["id", ...names], ...lines].map((cells) => `${cells.map(quoted).join(",")}\r\n`).join("");
  save("recordings.csv", "text/csv", text);
}

function exportJson() {
  const rows = state.list.map((row) => ({ id: data.ids[row], ...Object.fromEntries(facts(row)) }));
  save("recordings.json", "application/json", `${JSON.stringify(rows, null, 1)}\n`);
}

// ---- Legend and menus ----

function legend() {
  const { values, codes, numbers } = state.color;
  find("legend-all").hidden = numbers;
  find("legend-note").textContent = "";
  if (numbers) {
    const scale = element("div", { className: "scale" });
    scale.style.background = `linear-gradient(to right, ${SCALE.join(",")})`;
    const ends = element("div", { className: "ends soft" }, ...bounds(state.color).map((x) => element("span", {}, `${x}`)));
    find("legend").replaceChildren(element("li", {}, scale, ends));
  } else {
    const sizes = tally(state.color), color = palette();
    const first = new Map();
    codes.forEach((code, row) => { if (!first.has(code)) first.set(code, row); });
    find("legend").replaceChildren(...values.slice(0, 2 * MOST_ITEMS).map((text, code) => {
      const button = element("button", { type: "button", onclick: () => toggle(code) }, dot(color(first.get(code))),
        element("span", { className: "name", title: text }, text || "unknown"),
        element("span", { className: "number" }, count(sizes[code])));
      button.setAttribute("aria-pressed", String(!state.hidden.has(code)));
      return element("li", {}, button);
    }));
    const more = values.length - 2 * MOST_ITEMS;
    if (more > 0) find("legend-note").textContent = `and ${count(more)} more`;
  }
  find("markers").replaceChildren();
  if (!state.marker || state.marker.values.length < 2) return;
  const { kinds, order, shared } = signs();
  const shown = shared < 0 ? order : order.slice(0, shared);
  const words = shown.map((code, i) => `${kinds[i][1]} ${state.marker.values[code] || "unknown"}`);
  if (shared >= 0) words.push(`${kinds[shared][1]} others`);
  find("markers").append(element("h3", {}, state.marker.name),
    element("div", { className: "signs" }, ...words.map((text) => element("span", {}, text))),
    element("h3", {}, state.color.name));
}

function setHidden(codes) {
  state.hidden = new Set(codes);
  find("legend").querySelectorAll("button").forEach((button, code) =>
    button.setAttribute("aria-pressed", String(!state.hidden.has(code))));
  report();
  draw();
}

function toggle(code) {
  const hidden = new Set(state.hidden);
  if (!hidden.delete(code)) hidden.add(code);
  setHidden(hidden);
}

/** Everything again, in other colors. */
function recolor() {
  paint = null;
  legend();
  find("list").replaceChildren(...state.list.slice(0, MOST_ITEMS).map((row) => item(row)));
  draw();
}

function menus() {
  const options = (chosen, extra) => [...extra, ...columns.keys()].map((name) =>
    element("option", { value: name, selected: name === chosen }, name || "one for all"));
  find("color").append(...options(data.color, []));
  find("marker").append(...options(data.marker, [""]));
  find("color").onchange = (event) => {
    state.color = columns.get(event.target.value);
    state.hidden = new Set();
    report();
    recolor();
  };
  find("marker").onchange = (event) => { state.marker = columns.get(event.target.value); legend(); draw(); };
  find("names").checked = !SPACE;
  find("names").onchange = draw;
}

// ---- Moving about ----

function zoom(factor, [dx, dy] = [0, 0]) {
  if (SPACE) {
    const { x, y, z } = plot.layout.scene.camera?.eye ?? EYE;
    const eye = factor ? { x: x * factor, y: y * factor, z: z * factor } : EYE;
    return Plotly.relayout(plot, { "scene.camera.eye": eye });
  }
  if (!factor) return Plotly.relayout(plot, { "xaxis.autorange": true, "yaxis.autorange": true });
  const range = ([low, high], move) => {
    const middle = (low + high) / 2 + move * (high - low), half = ((high - low) / 2) * factor;
    return [middle - half, middle + half];
  };
  const { xaxis, yaxis } = plot.layout;
  return Plotly.relayout(plot, { "xaxis.range": range(xaxis.range, dx), "yaxis.range": range(yaxis.range, dy) });
}

function setDrag(mode) {
  state.drag = mode;
  for (const button of document.querySelectorAll("[data-drag]")) {
    button.setAttribute("aria-pressed", String(button.dataset.drag === mode));
    button.hidden = ["orbit"].includes(button.dataset.drag) !== SPACE && button.dataset.drag !== "pan";
  }
}

function tip(event) {
  const row = state.shown[event.points[0].pointNumber], box = find("tip");
  box.replaceChildren(element("div", { className: "id" }, data.ids[row]),
    ...facts(row).slice(0, 8).map(([name, text]) => element("div", {}, `${name}: ${text}`)));
  box.hidden = false;
  const { clientX, clientY } = event.event;
  box.style.left = `${Math.max(4, Math.min(clientX + 14, innerWidth - box.offsetWidth - 8))}px`;
  box.style.top = `${Math.max(4, Math.min(clientY + 14, innerHeight - box.offsetHeight - 8))}px`;
}

function listen() {
  const ofCloud = (event) => event?.points?.filter((point) => point.curveNumber === 0) ?? [];
  plot.on("plotly_hover", (event) => { if (ofCloud(event).length) tip({ ...event, points: ofCloud(event) }); });
  plot.on("plotly_unhover", () => { find("tip").hidden = true; });
  plot.on("plotly_click", (event) => { for (const point of ofCloud(event).slice(0, 1)) choose(state.shown[point.pointNumber]); });
  plot.on("plotly_selected", (event) => {
    if (!event?.range && !event?.lassoPoints) return; // not drawn by hand
    const rows = ofCloud(event).map((point) => state.shown[point.pointNumber]).sort((a, b) => a - b);
    find("search").value = "";
    setList(rows, "selected");
  });
  plot.on("plotly_relayout", rename);
  let timer = 0;
  find("search").oninput = (event) => { clearTimeout(timer); timer = setTimeout(search, 120, event.target.value); };
  document.forms[0].onsubmit = (event) => { event.preventDefault(); search(find("search").value); };
  find("csv").onclick = exportCsv;
  find("json").onclick = exportJson;
  find("clear").onclick = clear;
  find("show-all").onclick = () => setHidden([]);
  find("hide-all").onclick = () => setHidden(state.color.values.keys());
  for (const button of document.querySelectorAll("[data-drag]")) button.onclick = () => { setDrag(button.dataset.drag); draw(); };
  for (const button of document.querySelectorAll("[data-zoom]")) button.onclick = () => zoom(Number(button.dataset.zoom));
  const keys = { ArrowLeft: [1, [-0.1, 0]], ArrowRight: [1, [0.1, 0]], ArrowUp: [1, [0, 0.1]], ArrowDown: [1, [0, -0.1]],
    "+": [0.7], "-": [1.43], 0: [0] };
  plot.onkeydown = (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    zoom(...keys[event.key]);
  };
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "/" && !typing) { event.preventDefault(); find("search").focus(); }
    if (event.key === "Escape") clear();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolor);
}

function clear() {
  find("search").value = "";
  setList([], "");
}

menus();
legend();
report();
setDrag(state.drag);
plot.setAttribute("aria-label", `Map of ${count(n)} recordings; the search finds each of them without it`);
drawn().then(() => {
  listen();
  rename();
  const wanted = data.ids.indexOf(decodeURIComponent(location.hash.slice(1)));
  if (wanted >= 0) choose(wanted);
  document.documentElement.dataset.ready = "1";
});
