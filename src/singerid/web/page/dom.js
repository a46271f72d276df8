// Small helpers to make and find elements. No text ever becomes markup.

export const find = (selector, root = document) => root.querySelector(selector);

/** An element with attributes, handlers ("onclick"…) and children; null is left out. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A singer's name, whatever its script and direction. */
export const nameOf = (text) => h("bdi", { class: "name" }, text);

/** Say to screen readers what has changed on the page. */
export function announce(text) {
  const status = find("#status");
  status.textContent = "";
  requestAnimationFrame(() => { status.textContent = text; });
}

/** Bring into view what was asked for, without motion where that is not wanted. */
export function reveal(element) {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ behavior: still ? "auto" : "smooth", block: "nearest" });
}

/** Open or close what a button controls; returns whether it is open now. */
export function disclose(button, open = button.getAttribute("aria-expanded") !== "true") {
  const box = document.getElementById(button.getAttribute("aria-controls"));
  button.setAttribute("aria-expanded", String(open));
  box.hidden = !open;
  return open;
}

/** Ask before something is lost. Resolves to true or false. */
export function confirmed(title, text, action) {
  const dialog = find("#confirm-dialog");
  find("#confirm-title").textContent = title;
  find("#confirm-text").textContent = text;
  find("#confirm-ok").textContent = action;
  return outcome(dialog).then((value) => value === "ok");
}

/** Show a dialog; resolves to its return value, "" when it is left by Escape. */
export function outcome(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}
