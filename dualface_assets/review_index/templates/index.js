"use strict";
// Sorts and filters the table. Without this script it is in the order of time, the latest first.
(() => {
  for (const time of document.querySelectorAll("time[datetime]"))
    time.textContent = new Date(time.dateTime).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const table = document.querySelector("table");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows];
  const compare = new Intl.Collator(undefined, { numeric: true }).compare;
  for (const button of table.querySelectorAll("[data-column]"))
    button.addEventListener("click", () => {
      const heading = button.closest("th"), column = Number(button.dataset.column);
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.sort;
      rows.sort((one, two) => (down ? -1 : 1) * compare(value(one), value(two)));
      body.append(...rows);
    });
  const search = document.querySelector("[data-search]"), state = document.querySelector("select[data-state]");
  const count = document.querySelector("[data-count]");
  const filter = () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = (!state.value || row.dataset.state === state.value) && row.textContent.toLowerCase().includes(wanted);
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = shown === rows.length ? "" : `${shown} of ${rows.length}`;
  };
  search.addEventListener("input", filter);
  state.addEventListener("change", filter);
  document.querySelector(".tools").hidden = false;
})();
