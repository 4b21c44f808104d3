// Sorts tables by a column at a click; without it they are in the order of the spec.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, at) => {
    const text = row.cells[at].textContent.trim();
    const number = parseFloat(text.replace(/[,<%]/g, ""));
    return text === "-" ? -Infinity : Number.isNaN(number) ? text : number;
  };
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      // Names go up at first, figures down: what is worst is on top.
      const was = head.getAttribute("aria-sort");
      const up = was ? was === "descending" : at === 0;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((one, two) => {
        const [a, b] = [value(one, at), value(two, at)];
        const order = typeof a === "string" || typeof b === "string"
          ? String(a).localeCompare(String(b)) : a === b ? 0 : a - b;
        return up ? order : -order;
      });
      body.append(...rows);
    });
  });
}
