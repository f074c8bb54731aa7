"use strict";
const all = (query, root = document) => [...root.querySelectorAll(query)];

function key(row, column) {
  const cell = row.cells[column];
  if (!cell) return null;
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value.replace("inf", "Infinity"));
  const text = cell.textContent.trim();
  return text === "–" || cell.colSpan > 1 ? null : text;
}

function sort(table, column, heading) {
  const down = heading.getAttribute("aria-sort") === "ascending";
  for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = all("tbody tr", table).map(row => [key(row, column), row]);
  rows.sort(([a], [b]) => {
    // What is unknown comes last in both directions.
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return down ? -order : order;
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of all("table.sortable"))
  all("thead th", table).forEach((heading, column) =>
    heading.querySelector("button").addEventListener("click", () => sort(table, column, heading)));

const filter = document.getElementById("filter"), zoom = document.getElementById("zoom");

function show() {
  const wanted = filter.value.trim().toLowerCase();
  const methods = new Set(all("#methods input:checked").map(box => box.value));
  for (const item of all("section, #results tbody tr"))
    item.hidden = !item.dataset.text.includes(wanted) || (item.dataset.method && !methods.has(item.dataset.method));
  for (const figure of all("figure[data-method]")) figure.hidden = !methods.has(figure.dataset.method);
  const sections = all("section"), status = document.getElementById("shown");
  status.textContent =
    `${sections.filter(section => !section.hidden).length} of ${sections.length} ${status.dataset.words}`;
}

function scale() {
  const factor = Number(zoom.value);
  for (const image of all("img")) {
    image.classList.toggle("zoomed", factor > 1);
    image.style.width = image.getAttribute("width") * factor + "px";
    image.style.height = image.getAttribute("height") * factor + "px";
  }
}

filter.addEventListener("input", show);
zoom.addEventListener("change", scale);
for (const box of all("#methods input")) box.addEventListener("change", show);
show();
