"use strict";
// A recording that is in several trials is carried once: its other players take the same clip.
for (const player of document.querySelectorAll("audio[data-clip]")) {
  player.src = document.getElementById(player.dataset.clip).src;
}
// One at a time, to compare.
document.addEventListener("play", (event) => {
  for (const player of document.querySelectorAll("audio")) {
    if (player !== event.target) player.pause();
  }
}, true);
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const key = (row, column) => {
    const cell = row.cells[column];
    return "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent.trim();
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numeric = head.classList.contains("number");
      const before = head.getAttribute("aria-sort");
      const upward = before ? before === "descending" : !numeric;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", upward ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((one, other) => {
        const [a, b] = [key(one, column), key(other, column)];
        const order = numeric ? a - b : a.localeCompare(b, undefined, { numeric: true });
        return upward ? order : -order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}
