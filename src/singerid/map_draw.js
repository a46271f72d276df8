// What the page carries, and how it is drawn. Panel and events: map_page.js, which follows.
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
  `\nid=${id}\n${[...columns.values()].map((c) => `${c.name}=${value(c, row)}\n`).join("")}`.toLowerCase()));

const WEBGL = Boolean(document.createElement("canvas").getContext("webgl"));
const SPACE = points.length === 3 && WEBGL; // without WebGL, two of three dimensions are shown
const KIND = SPACE ? "scatter3d" : WEBGL ? "scattergl" : "scatter";
const EYE = { x: 1.05, y: 1.05, z: 0.8 };
const SIZE = (n < 500 ? 9 : n < 3000 ? 7 : n < 20000 ? 5 : 3.5) * (SPACE ? 0.6 : 1);
const plot = find("plot");
const state = {
  color: columns.get(data.color), marker: columns.get(data.marker),
  hidden: new Set(), list: [], current: -1, drag: SPACE ? "orbit" : "pan", shown: [], revision: 0,
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
    const place = sorted.map((axis, i) => axis[Math.floor(axis.length * (i === 1 ? 0.9 : 0.5))]);
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
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", uirevision: "kept",
    selections: [], selectionrevision: state.revision,
    newselection: { line: { color: css("--link"), width: 2 } },
  };
  if (!SPACE) return { ...common, xaxis: bare, yaxis: { ...bare, scaleanchor: "x" } };
  const faint = { title: { text: "" }, showticklabels: false, showspikes: false, color: css("--line"),
    gridcolor: css("--line"), zerolinecolor: css("--line"), showbackground: false };
  return { ...common, scene: { xaxis: faint, yaxis: faint, zaxis: faint, aspectmode: "data",
    camera: { eye: EYE }, dragmode: state.drag, uirevision: "kept" } };
}
