"use strict";
(() => {
  const body = document.querySelector("tbody");
  if (!body) return;
  const text = document.getElementById("text");
  const shown = document.getElementById("shown");
  const wanted = new Set();

  // The texts are read once: with many tenants that takes longer than comparing them.
  let rows;
  const read = () => Array.from(body.rows, (tr) => {
    const [name, state, , , error] = tr.cells;
    return {
      tr,
      state: state.textContent,
      text: (name.textContent + "\n" + (error ? error.textContent : "")).toLowerCase(),
      hidden: false,
    };
  });

  const apply = () => {
    rows ||= read();
    const needle = text.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      const hidden = wanted.size > 0 && !wanted.has(row.state) || !row.text.includes(needle);
      if (hidden !== row.hidden) row.tr.hidden = row.hidden = hidden;
      if (!hidden) count++;
    }
    say(count, rows.length);
  };

  const say = (count, total) => {
    const number = (n) => n.toLocaleString("en");
    shown.textContent = count === total ? "All " + number(total) + " shown" : number(count) + " of " + number(total) + " shown";
  };

  for (const item of document.querySelectorAll("#states li")) {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.append(...item.childNodes);
    button.addEventListener("click", () => {
      const state = item.dataset.state;
      if (!wanted.delete(state)) wanted.add(state);
      button.setAttribute("aria-pressed", String(wanted.has(state)));
      apply();
    });
    item.append(button);
  }
  text.addEventListener("input", apply);
  say(body.rows.length, body.rows.length);
  document.getElementById("filter").hidden = false;
})();
