// Numbers in words: probabilities, durations, sizes, counts.

const NARROW = "\u202f"; // narrow no-break space

/** Never "0 %" or "100 %" of something that is only nearly so. */
export function percent(probability) {
  if (probability > 0.999) return `>${NARROW}99.9${NARROW}%`;
  if (probability < 0.001) return `<${NARROW}0.1${NARROW}%`;
  const fine = probability > 0.9 || probability < 0.1;
  return `${(probability * 100).toFixed(fine ? 1 : 0)}${NARROW}%`;
}

const DEGREES = [[0.99, "almost certainly"], [0.9, "very likely"], [0.7, "probably"], [0, "perhaps"]];

/** How sure one is, as an adverb. */
export const surely = (probability) => DEGREES.find(([least]) => probability >= least)[1];

/** Whether two recordings are of one singer, in words. */
export function sameness(probability) {
  if (probability > 0.3 && probability < 0.7) return "Hard to tell";
  const same = probability >= 0.7;
  const adverb = surely(same ? probability : 1 - probability);
  return capital(`${adverb} ${same ? "the same singer" : "different singers"}`);
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** One half as people write it. */
export const prior = (value) => (value === 0.5 ? "½" : percent(value));

export const score = (value) => value.toFixed(2).replace("-", "\u2212");

export const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

/** 75 -> "1:15". */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const rest = String(whole % 60).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

/** 7.25 -> "7.3 s", 75 -> "1:15 min". */
export const duration = (seconds) =>
  seconds < 60 ? `${seconds.toFixed(1)}${NARROW}s` : `${clock(seconds)}${NARROW}${seconds < 3600 ? "min" : "h"}`;

export const size = (bytes) =>
  bytes < 1e6 ? `${Math.ceil(bytes / 1e3)}${NARROW}kB` : `${(bytes / 1e6).toFixed(1)}${NARROW}MB`;

/** Day of an ISO time, as the reader writes days. */
export function day(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return "";
  return date.toLocaleDateString(undefined, { dateStyle: "medium" }).replaceAll(" ", "\u00a0");
}
