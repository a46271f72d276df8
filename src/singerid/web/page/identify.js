// The view "Who sings?": a recording, the answer, and enrolling it.

import { api } from "./api.js";
import { identified, notEnough, tooLittle } from "./answer.js";
import { disclose, find, h } from "./dom.js";
import { enrolling } from "./enroll.js";
import { Question } from "./question.js";
import { Take } from "./take.js";

const HINT = "Five seconds or more of one voice, in any audio format. Nothing is sent before you ask.";
const NOBODY = /nobody is enrolled/i;

/** `onenroll()` when the registry has changed. */
export function startIdentify(onenroll) {
  const take = new Take(find("#take"), "Drop a recording here", HINT);
  const [button, opener] = [find("#ask"), find("#to-enroll")];
  const question = new Question(button, find("#answer"));
  const name = find("#enroll-name");
  const outcome = find("#enroll-box .outcome");

  take.addEventListener("change", () => {
    question.forget();
    button.disabled = false;
    outcome.replaceChildren();
    disclose(opener, false);
    find("#identify .ask").hidden = !take.file;
    name.value = "";
  });
  button.addEventListener("click", () => {
    question.ask((signal) => api.identify(take.file, signal), (reply) => {
      if (reply.singer && !name.value) name.value = reply.singer; // to be confirmed by enrolling
      return identified(reply);
    }, mend);
  });
  opener.addEventListener("click", () => { if (disclose(opener)) name.focus(); });
  enrolling(find("#enroll-take"), outcome, () => (take.file ? [take.file] : []), onenroll);

  function mend(error) {
    if (tooLittle(error)) return notEnough(error);
    if (!NOBODY.test(error.message)) return null;
    const text = "Nobody is enrolled yet, so there is nobody to be recognized. Enroll this recording first.";
    disclose(opener, true);
    return { element: h("p", { class: "note" }, text), text };
  }
  return { take };
}
