// The page: which view is shown, what the service says of itself, the token.

import { api, ApiError, forgetToken, hasToken } from "./api.js";
import { startCompare } from "./compare.js";
import { find } from "./dom.js";
import { startIdentify } from "./identify.js";
import { startSingers } from "./singers.js";
import { count } from "./words.js";

const VIEWS = ["identify", "compare", "singers"];

async function showFacts() {
  const place = find("#facts");
  try {
    const { encoder, n_singers: singers, n_exemplars: exemplars, version } = await api.health();
    const parts = [`${count(singers, "singer")}, ${count(exemplars, "recording")}`];
    if (encoder) parts.push(`encoder ${encoder.slice(0, 12)}`);
    if (version) parts.push(`singerid ${version}`);
    place.textContent = parts.join(" · ");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    place.textContent = error.status === 0 ? "The service does not answer." : "";
  }
}

const identify = startIdentify(showFacts);
const compare = startCompare();
const singers = startSingers(showFacts);

function route(event) {
  const wanted = location.hash.slice(1);
  if (event && !VIEWS.includes(wanted)) return; // a jump within the page
  const view = VIEWS.includes(wanted) ? wanted : VIEWS[0];
  for (const name of VIEWS) {
    find(`#${name}`).hidden = name !== view;
    const link = find(`nav a[href="#${name}"]`);
    if (name === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = find(`#${view}-title`);
  document.title = `${title.textContent} · singerid`;
  if (event) { scrollTo(0, 0); title.focus({ preventScroll: true }); }
  if (view === "singers") singers.show();
}

// The map is opened by a link, which can show no token: get one first, if need be.
find("#map-link").addEventListener("click", async (event) => {
  if (hasToken()) return;
  event.preventDefault();
  const { href } = event.currentTarget;
  try {
    await api.singers("", 0, 1);
    open(href, "_blank", "noopener");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    find("#facts").textContent = error.sentence;
  }
});

// A file dropped beside the areas goes to the free one; the browser never leaves the page for it.
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  if (!event.dataTransfer.files.length) return;
  if (!find("#identify").hidden && !identify.take.recorder) identify.take.receive(event.dataTransfer);
  const free = compare.takes.find(({ file, recorder }) => !file && !recorder);
  if (!find("#compare").hidden) free?.receive(event.dataTransfer);
});

const forget = find("#forget");
const showForget = () => { forget.hidden = !hasToken(); };
forget.addEventListener("click", forgetToken);
document.addEventListener("token", showForget);

addEventListener("hashchange", route);
showForget();
route();
showFacts();
