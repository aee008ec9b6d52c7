"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paper = matchMedia("print");
  const config = {
    responsive: true,
    displaylogo: false,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };
  const config3d = { ...config, modeBarButtons: [["toImage", "orbitRotation", "pan3d", "resetCameraDefault3d"]] };

  // What a figure says as var(--name) becomes the colour that the page has now.
  function coloured(value, style) {
    if (typeof value === "string") {
      const named = /^var\((--[\w-]+)\)$/.exec(value);
      return named ? style.getPropertyValue(named[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((each) => coloured(each, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, coloured(each, style)]));
    }
    return value;
  }

  function themed(layout, style) {
    const colour = (name) => style.getPropertyValue(name).trim();
    const title = (given) => (typeof given === "string" ? { text: given } : given ?? {});
    const axis = { gridcolor: colour("--grid"), linecolor: colour("--line"), zerolinecolor: colour("--line") };
    layout.font = { ...layout.font, color: colour("--text"), family: getComputedStyle(document.body).fontFamily, size: 12.5 };
    layout.hoverlabel = { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--text") }, align: "left" };
    layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: colour("--line"), activecolor: colour("--muted") };
    for (const key of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(key)) {
        layout[key] = { ...axis, ...layout[key], title: { font: { size: 13 }, ...title(layout[key].title) } };
      }
      if (/^scene\d*$/.test(key)) {
        for (const side of ["xaxis", "yaxis", "zaxis"]) layout[key][side] = { ...axis, ...layout[key][side] };
      }
    }
    return layout;
  }

  function draw(place, width) {
    const style = getComputedStyle(document.documentElement);
    const figure = coloured(JSON.parse(place.nextElementSibling.textContent), style);
    const layout = themed(figure.layout, style);
    layout.height = Number(place.dataset.height);
    if (width) layout.width = width;
    Plotly.react(place, figure.data, layout, layout.scene ? config3d : config);
  }

  const places = [...document.querySelectorAll(".chart")];
  const widthOnPaper = (place) => (place.closest(".by-3") ? 320 : Math.max(660, Math.min(960, parseInt(place.style.minWidth))));
  const all = (printing) => places.forEach((place) => draw(place, printing && widthOnPaper(place)));
  all(paper.matches);
  dark.addEventListener("change", () => all(paper.matches));
  paper.addEventListener("change", () => all(paper.matches));

  // A click on a column's head sorts by it, a second one the other way round; empty cells stay last.
  function sort(table, column, ascending) {
    const rows = [...table.tBodies[0].rows];
    const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
    rows.sort((one, other) => {
      const [a, b] = [key(one), key(other)];
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = a !== "" && !isNaN(a) && !isNaN(b) ? a - b : a.localeCompare(b, undefined, { numeric: true });
      return ascending ? order : -order;
    });
    table.tBodies[0].append(...rows);
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) =>
      head.querySelector("button").addEventListener("click", () => {
        const ascending = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        sort(table, column, ascending);
      }),
    );
  }
})();
