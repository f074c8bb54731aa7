"use strict";
const items = [...document.querySelectorAll("article")], filter = document.getElementById("filter");

function show() {
  const wanted = filter.value.trim().toLowerCase();
  const states = new Set([...document.querySelectorAll("#states input:checked")].map(box => box.value));
  for (const item of items)
    item.hidden = !(states.has(item.dataset.state) && item.dataset.text.includes(wanted));
  document.getElementById("shown").textContent =
    items.filter(item => !item.hidden).length + " of " + items.length;
}

// One listener for all sliders: there may be thousands.
document.addEventListener("input", ({ target }) => {
  if (target.type === "range") target.parentElement.style.setProperty("--at", target.value + "%");
  else show();
});
if (filter) show();
