// A question to the service: one at a time, can be called off, shows its answer or its error.

import { AGAIN, ApiError, errorBox } from "./api.js";
import { announce, h, reveal } from "./dom.js";

export class Question {
  /** Shows everything in `box`; `button` waits meanwhile. */
  constructor(button, box) {
    Object.assign(this, { button, box, controller: null });
  }

  /** `send(signal)` gives the reply, `show(reply)` { element, text }, `mend(error)` the same or null. */
  async ask(send, show, mend = () => null) {
    this.forget();
    const controller = (this.controller = new AbortController());
    this.button.disabled = true;
    this.wait(controller);
    try {
      const reply = await send(controller.signal);
      if (this.controller === controller) this.put(show(reply));
    } catch (error) {
      if (this.controller !== controller || error.name === "AbortError") return;
      if (!(error instanceof ApiError)) throw error;
      const again = () => this.ask(send, show, mend);
      this.put(mend(error) ?? { element: errorBox(error, AGAIN.includes(error.status) ? again : null) });
    } finally {
      if (this.controller === controller) this.button.disabled = false;
    }
  }

  wait(controller) {
    const cancel = h("button", { type: "button", class: "link" }, "Cancel");
    cancel.addEventListener("click", () => { this.forget(); this.button.disabled = false; this.button.focus(); });
    this.box.replaceChildren(h("p", { class: "soft busy" }, "Listening… ", cancel));
    announce("Listening");
    controller.signal.addEventListener("abort", () => this.box.replaceChildren());
  }

  put({ element, text }) {
    this.box.replaceChildren(element);
    if (text) announce(text);
    reveal(element);
  }

  /** Call off what was asked; the answer to it is of no use anymore. */
  forget() {
    const { controller } = this;
    this.controller = null;
    controller?.abort();
    this.box.replaceChildren();
  }
}
