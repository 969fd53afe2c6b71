"use strict";
(() => {
  const body = document.querySelector("tbody");
  if (!body) return;
  const text = document.getElementById("text");
  const shown = document.getElementById("shown");
  const wanted = new Set();

  // The texts are read once: with many tenants that takes longer than comparing them.
  let rows;
  const read = () => Array.from(body.rows, (tr, place) => {
    const [name, state, version, last, error] = tr.cells;
    return {
      tr,
      // What the columns are sorted by. The page has the rows in the order of their states, the most urgent first.
      keys: [name.textContent, place, number(version.textContent), last.className === "server" ? last.textContent : number(last.textContent)],
      state: state.textContent,
      text: (name.textContent + "\n" + (last.className === "server" ? last.textContent + "\n" : "") + (error ? error.textContent : "")).toLowerCase(),
      hidden: false,
    };
  });

  const number = (text) => text === "unknown" ? -1 : text === "none" ? 0 : Number(text);

  const sort = (column, descending) => {
    rows ||= read();
    const names = new Intl.Collator("en", { numeric: true });
    const order = typeof rows[0].keys[column] === "string" ? (a, b) => names.compare(a.keys[column], b.keys[column]) : (a, b) => a.keys[column] - b.keys[column];
    rows.sort((a, b) => (descending ? order(b, a) : order(a, b)) || a.keys[1] - b.keys[1]);
    const sorted = document.createDocumentFragment();
    for (const row of rows) sorted.append(row.tr);
    body.append(sorted);
  };

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
  const heads = document.querySelectorAll("thead th:not(.error)");
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sort(column, descending);
    });
    head.append(button);
  });
  text.addEventListener("input", apply);
  say(body.rows.length, body.rows.length);
  document.getElementById("filter").hidden = false;
})();
