"use strict";
const MOST_NAMES = 40, MOST_ITEMS = 200, MOST_MARKERS = 8;
const FLAT = [["circle", "●"], ["triangle-up", "▲"], ["square", "■"], ["diamond", "◆"],
  ["cross", "✚"], ["x", "✖"], ["star", "★"], ["pentagon", "⬟"]];
const SOLID = [["circle", "●"], ["diamond", "◆"], ["square", "■"], ["cross", "✚"], ["x", "✖"]];
const SCALE = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"]; // viridis
const PROMPT = "Search, or draw a lasso or box on the map.";

// ---- What the page carries (map_page.py) ----

const find = (id) => document.getElementById(id);
const parse = (id) => JSON.parse(find(id).textContent);
const unpack = (text, Kind) => new Kind(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const data = parse("data");
const points = data.points.map((text) => unpack(text, Float32Array));
const columns = new Map(data.columns.map((column) =>
  [column.name, { ...column, codes: unpack(column.codes, Uint32Array) }]));
const neighbors = unpack(data.neighbors, Uint32Array);
const scores = unpack(data.scores, Int16Array);
const n = data.ids.length;
const singers = columns.get("singer");
const value = (column, row) => column.values[column.codes[row]];
const count = (number) => number.toLocaleString("en-US");
const later = (make) => { let made; return () => (made ??= make()); };
const clips = later(() => {
  const { media, missing } = parse("clips");
  const reasons = Object.entries(missing).flatMap(([why, rows]) => rows.map((row) => [row, why]));
  return { media, missing: new Map(reasons) };
});
const texts = later(() => data.ids.map((id, row) =>
  [`id=${id}`, ...[...columns.values()].map((c) => `${c.name}=${value(c, row)}`)].join("\n").toLowerCase()));

const WEBGL = Boolean(document.createElement("canvas").getContext("webgl"));
const SPACE = points.length === 3 && WEBGL; // without WebGL, two of three dimensions are shown
const KIND = SPACE ? "scatter3d" : WEBGL ? "scattergl" : "scatter";
const EYE = { x: 1.05, y: 1.05, z: 0.8 };
const SIZE = (n < 500 ? 9 : n < 3000 ? 7 : n < 20000 ? 5 : 3.5) * (SPACE ? 0.6 : 1);
const plot = find("plot");
const state = {
  color: columns.get(data.color), marker: columns.get(data.marker),
  hidden: new Set(), list: [], current: -1, drag: SPACE ? "orbit" : "pan", shown: [],
};

// ---- Elements ----

function element(name, fields = {}, ...children) {
  const made = Object.assign(document.createElement(name), fields);
  made.append(...children);
  return made;
}

function dot(color) {
  const made = element("span", { className: "dot" });
  made.style.background = color;
  return made;
}

function item(row, number = "") {
  const name = element("span", { className: "name", title: data.ids[row] },
    `${value(singers, row) || "unknown"}  `, element("span", { className: "id soft" }, data.ids[row]));
  const button = element("button", { type: "button", onclick: () => choose(row) },
    dot(palette()(row)), name, element("span", { className: "number" }, number));
  return element("li", {}, button);
}

// ---- Colors and markers ----

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let paint = null; // until color or theme change

/** Row → color, by the column that is shown. */
function palette() {
  return (paint ??= state.color.numbers ? scaled(state.color) : classes(state.color));
}

function classes(column) {
  const named = column.values.filter((text) => text !== "").length;
  const lights = css("--lights").split(" ");
  const colors = column.values.map((text, i) => {
    if (text === "") return css("--unknown");
    if (named <= 8) return css(`--c${i}`);
    return `hsl(${Math.round(i * 137.508) % 360} 70% ${lights[i % 3]}%)`;
  });
  return (row) => colors[column.codes[row]];
}

function bounds(column) {
  const numbers = column.values.filter((text) => text !== "").map(Number);
  return [numbers[0], numbers[numbers.length - 1]]; // sorted
}

function scaled(column) {
  const [low, high] = bounds(column);
  const rgb = SCALE.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  const colors = column.values.map((text) => {
    if (text === "") return css("--unknown");
    const place = ((Number(text) - low) / (high - low)) * (rgb.length - 1);
    const i = Math.min(Math.floor(place), rgb.length - 2);
    return `rgb(${rgb[i].map((c, k) => Math.round(c + (rgb[i + 1][k] - c) * (place - i))).join(",")})`;
  });
  return (row) => colors[column.codes[row]];
}

/** Code of the marker's column → index of its sign; the most frequent values have their own. */
function signs() {
  const kinds = SPACE ? SOLID : FLAT;
  const most = Math.min(kinds.length, MOST_MARKERS);
  const sizes = tally(state.marker);
  const order = sizes.map((_, code) => code);
  if (sizes.length > most) order.sort((a, b) => sizes[b] - sizes[a] || a - b);
  const sign = new Array(sizes.length);
  order.forEach((code, i) => { sign[code] = Math.min(i, most - 1); });
  return { kinds, sign, order, shared: sizes.length > most ? most - 1 : -1 };
}

function tally(column) {
  const sizes = new Array(column.values.length).fill(0);
  for (const code of column.codes) sizes[code] += 1;
  return sizes;
}

// ---- Drawing ----

function coordinates(rows) {
  const [x, y, z] = points.map((axis) => Float32Array.from(rows, (row) => axis[row]));
  return SPACE ? { x, y, z } : { x, y };
}

/** Points as they look by their labels. */
function dots(rows, opacity) {
  const marker = {
    size: SIZE, color: Array.from(rows, palette()), symbol: "circle", opacity,
    line: { width: n < 3000 && !SPACE ? 0.5 : 0, color: css("--page") },
  };
  if (state.marker && state.marker.values.length > 1) {
    const { kinds, sign } = signs();
    marker.symbol = Array.from(rows, (row) => kinds[sign[state.marker.codes[row]]][0]);
  }
  return { type: KIND, mode: "markers", hoverinfo: "skip", ...coordinates(rows), marker };
}

function cloud() {
  const { codes } = state.color;
  const all = Uint32Array.from({ length: n }, (_, row) => row);
  state.shown = state.hidden.size ? all.filter((row) => !state.hidden.has(codes[row])) : all;
  const opacity = state.list.length ? 0.2 : n > 20000 ? 0.6 : 0.85;
  return { ...dots(state.shown, opacity), hoverinfo: "none" };
}

/** Rings around the neighbors and, larger, the point that is looked at. */
function rings() {
  const rows = state.current < 0 ? [] : [...nearby(state.current).map(([row]) => row), state.current];
  const last = (row, i, chosen, other) => (i === rows.length - 1 ? chosen : other);
  const marker = {
    symbol: "circle-open", color: rows.map((row, i) => last(row, i, css("--ink"), css("--link"))),
    size: rows.map((row, i) => (SIZE + 5) * last(row, i, 1.7, SPACE ? 1.3 : 1)), line: { width: 2 },
  };
  return { type: KIND, mode: "markers", hoverinfo: "skip", ...coordinates(rows), marker };
}

/** Names of classes over their points, the largest first; one that would cover another is left out. */
function names() {
  const { values, codes, numbers } = state.color;
  const trace = { type: SPACE ? "scatter3d" : "scatter", mode: "text", hoverinfo: "skip", cliponaxis: false,
    textfont: { color: css("--ink"), size: 12 }, textposition: "top center", x: [], y: [], z: [], text: [] };
  if (!find("names").checked || numbers || values.length > MOST_NAMES) return trace;
  const members = values.map(() => []);
  for (const row of state.shown) members[codes[row]].push(row);
  const taken = [];
  for (const [code, rows] of [...members.entries()].sort((a, b) => b[1].length - a[1].length)) {
    if (!rows.length || values[code] === "") continue;
    const sorted = points.map((axis) => Float32Array.from(rows, (row) => axis[row]).sort());
    const place = sorted.map((axis, i) => axis[Math.floor(axis.length * (i === 1 ? 0.8 : 0.5))]);
    if (!SPACE && !isFree(place, values[code].length, taken)) continue;
    ["x", "y", "z"].forEach((name, axis) => trace[name].push(place[axis]));
    trace.text.push(values[code].replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"));
  }
  return trace;
}

function isFree([x, y], letters, taken) {
  const { xaxis, yaxis } = plot.layout ?? {};
  if (!xaxis?.range) return false; // not drawn yet: then comes a second time
  const scale = plot.clientWidth / (xaxis.range[1] - xaxis.range[0]);
  const box = { x: x * scale, y: y * plot.clientHeight / (yaxis.range[1] - yaxis.range[0]), half: letters * 3.4 + 3 };
  if (taken.some((other) => Math.abs(other.x - box.x) < other.half + box.half && Math.abs(other.y - box.y) < 15)) return false;
  taken.push(box);
  return true;
}

function layout() {
  const bare = { visible: false, showspikes: false };
  const common = {
    margin: { t: 0, r: 0, b: 0, l: 0 }, showlegend: false, hovermode: "closest", dragmode: state.drag,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", uirevision: "kept", selections: [],
    newselection: { line: { color: css("--link"), width: 2 } },
  };
  if (!SPACE) return { ...common, xaxis: bare, yaxis: { ...bare, scaleanchor: "x" } };
  const faint = { title: { text: "" }, showticklabels: false, showspikes: false, color: css("--line"),
    gridcolor: css("--line"), zerolinecolor: css("--line"), showbackground: false };
  return { ...common, scene: { xaxis: faint, yaxis: faint, zaxis: faint, aspectmode: "data",
    camera: { eye: EYE }, dragmode: state.drag, uirevision: "kept" } };
}

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
  if (SPACE || !find("names").checked) return;
  const { x, y, text } = names();
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
  draw();
}

function report(word = "") {
  const list = word ? `; ${count(state.list.length)} ${word}` : "";
  const shown = n - tally(state.color).reduce((sum, size, code) => sum + (state.hidden.has(code) ? size : 0), 0);
  find("status").textContent = `${count(shown)} of ${count(n)} points shown${list}`;
}

function search(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
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
    if (!event) return;
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
