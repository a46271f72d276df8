// Requests to the service. Each answer is JSON; each failure an ApiError that can be shown.

import { find, h, outcome } from "./dom.js";
import { capital } from "./words.js";

const ROOT = new URL("../", import.meta.url); // the page may be served below some path
const KEY = "singerid-token";
const FACTS = [["found", "Found"], ["expected", "Expected"]];
const SENTENCES = {
  0: "The service does not answer. Is it running, and are you connected?",
  401: "The service wants a valid token.",
  413: "This is more than the service takes at once.",
  429: "Too many requests in a short time.",
  500: "Something failed inside the service; its log says more.",
  503: "The service is busy at the moment.",
};

/** States that pass: no connection, too many requests, busy. */
export const AGAIN = [0, 429, 503];

export class ApiError extends Error {
  constructor(status, parts = {}, wait = null) {
    super(parts.what || SENTENCES[status] || `The service answered with status ${status}.`);
    Object.assign(this, { status, parts, wait });
  }

  /** One sentence, which for some states is ours and for the rest the service's. */
  get sentence() {
    const general = SENTENCES[this.status];
    if (AGAIN.includes(this.status)) return `${general} ${this.again}`;
    return general || this.said;
  }

  /** What the service says, as the commands say it: "a.wav: holds no voice." */
  get said() {
    const { where } = this.parts;
    const text = where ? `${where}: ${this.message}` : capital(this.message);
    return /[.!?]$/.test(text) ? text : `${text}.`;
  }

  get again() {
    if (this.status === 0) return "Nothing is lost: try again.";
    return this.wait ? `Try again in ${this.wait} s.` : "Try again in a few seconds.";
  }
}

/** The error for people: a sentence, what was found and expected, what to do. */
export function errorBox(error, retry = null) {
  if (!(error instanceof ApiError)) throw error;
  const { parts } = error;
  const facts = FACTS.filter(([key]) => parts[key] !== undefined && parts[key] !== null);
  const told = error.sentence === error.said || AGAIN.includes(error.status);
  const said = parts.what && !told ? h("p", {}, error.said) : null;
  return h("div", { class: "error", role: "alert" },
    h("p", { class: "error-lead" }, error.sentence), said,
    facts.length ? h("dl", {}, facts.map(([key, title]) =>
      h("div", {}, h("dt", {}, title), h("dd", {}, String(parts[key]))))) : null,
    parts.do ? h("p", {}, capital(String(parts.do))) : null,
    retry ? h("button", { type: "button", class: "button", onclick: retry }, "Try again") : null);
}

export const address = (path) => new URL(path, ROOT);
export const hasToken = () => sessionStorage.getItem(KEY) !== null;

export function forgetToken() {
  sessionStorage.removeItem(KEY);
  document.dispatchEvent(new Event("token"));
}

/** A response, or an ApiError; asks for a token once if the service wants one. */
async function send(path, options) {
  const token = sessionStorage.getItem(KEY);
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(address(path), { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0);
  }
  if (response.ok) return response;
  if (response.status === 401 && !options.quiet && (await askToken(token))) return send(path, options);
  throw await failure(response);
}

async function failure(response) {
  let parts = {};
  try {
    const body = await response.json();
    parts = typeof body.error === "object" && body.error ? body.error : {};
  } catch { /* a proxy's page, say: the status has to do */ }
  const wait = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const status = response.status > 500 && !parts.what && response.status !== 503 ? 500 : response.status;
  return new ApiError(status, parts, Number.isNaN(wait) ? null : wait);
}

let asking = null; // requests that fail together ask together

function askToken(used) {
  if (sessionStorage.getItem(KEY) !== used) return Promise.resolve(hasToken()); // meanwhile given
  asking ??= tokenDialog(used !== null).finally(() => { asking = null; });
  return asking;
}

async function tokenDialog(wrong) {
  find("#token-title").textContent = wrong ? "This token is not valid" : "This service asks for a token";
  const input = find("#token-input");
  input.value = "";
  if ((await outcome(find("#token-dialog"))) !== "ok" || !input.value.trim()) return false;
  sessionStorage.setItem(KEY, input.value.trim());
  input.value = "";
  document.dispatchEvent(new Event("token"));
  return true;
}

export async function ask(path, { method = "GET", form, json, signal, quiet } = {}) {
  const options = { method, signal, quiet };
  if (form) {
    options.body = new FormData();
    for (const [name, value] of form) options.body.append(name, value);
  }
  if (json) {
    options.body = JSON.stringify(json);
    options.headers = { "Content-Type": "application/json" };
  }
  const response = await send(path, options);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(500);
  }
}

/** Sound or a page as a blob, for elements that cannot send a token themselves. */
export const fetchBlob = async (path) => (await send(path, {})).blob();

const part = encodeURIComponent;
export const api = {
  health: () => ask("health", { quiet: true }),
  identify: (file, signal) =>
    ask("identify", { method: "POST", form: [["file", file], ["top", "5"]], signal }),
  verify: (a, b, signal) => ask("verify", { method: "POST", form: [["a", a], ["b", b]], signal }),
  enroll: (singer, files) =>
    ask("enroll", { method: "POST", form: [["singer", singer], ...files.map((file) => ["files", file])] }),
  singers: (query, offset, limit, signal) =>
    ask(`singers?${new URLSearchParams({ query, offset, limit })}`, { signal }),
  singer: (name) => ask(`singers/${part(name)}`),
  rename: (name, to) => ask(`singers/${part(name)}`, { method: "PATCH", json: { name: to } }),
  remove: (name) => ask(`singers/${part(name)}`, { method: "DELETE" }),
  removeExemplar: (id) => ask(`exemplars/${part(id)}`, { method: "DELETE" }),
  clip: (id) => fetchBlob(`exemplars/${part(id)}/audio`),
};
