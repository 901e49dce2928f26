"use strict";
(function () {
  const read = (id) => { const found = document.getElementById(id); return found ? JSON.parse(found.textContent) : null; };
  const specs = read("charts") || {};
  const windows = read("windows");
  const figures = read("figures");
  const views = {};

  /* Charts: drawn when they come near the screen, all of them before printing. */
  async function draw(holder, spec) {
    holder.dataset.state = "drawing";
    const result = await vegaEmbed(holder, spec, { renderer: "svg", actions: false, mode: "vega-lite" });
    views[holder.dataset.chart] = result.view;
    holder.dataset.state = "drawn";
    const svg = holder.querySelector("svg");
    if (svg) { svg.setAttribute("role", "img"); svg.setAttribute("aria-label", holder.dataset.label || "chart"); }
  }
  const holders = [...document.querySelectorAll(".chart[data-chart]")].filter((found) => specs[found.dataset.chart]);
  const pending = () => holders.filter((holder) => !holder.dataset.state);
  const drawAll = () => Promise.all(pending().map((holder) => draw(holder, specs[holder.dataset.chart])));
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && !entry.target.dataset.state) {
        watcher.unobserve(entry.target);
        draw(entry.target, specs[entry.target.dataset.chart]);
      }
    }
  }, { rootMargin: "600px" });
  holders.forEach((holder) => watcher.observe(holder));
  window.addEventListener("beforeprint", drawAll);
  window.wrklabDrawAll = drawAll;

  /* Which row a chart shows. */
  const spectrum = document.getElementById("spectrum-row");
  if (spectrum) {
    spectrum.addEventListener("change", () => {
      const view = views["latency_spectrum"];
      if (view) { view.signal("focus", spectrum.value).runAsync(); }
    });
  }
  const chosen = document.getElementById("window-row");
  function showWindow(key) {
    const found = windows && windows.rows[key];
    document.querySelectorAll("[data-panel]").forEach((holder) => {
      const panel = found && found.panels[holder.dataset.panel];
      holder.parentElement.hidden = !panel;
      if (!panel) { return; }
      const spec = JSON.parse(JSON.stringify(windows.spec));
      const series = [];
      const values = [];
      for (const [name, round, points] of panel.lines) {
        if (!series.includes(name)) { series.push(name); }
        for (const [at, value] of points) { values.push({ series: name, round_number: round, at_s: at, value: value }); }
      }
      spec.layer[0].data.values = [{ at: 0 }, { at: found.length_s }];
      spec.layer[1].data.values = values;
      const encoding = spec.layer[1].encoding;
      encoding.y.title = panel.title;
      encoding.color.scale.domain = series;
      encoding.strokeDash.scale.domain = series;
      encoding.color.scale.range = windows.colours.slice(0, series.length);
      encoding.strokeDash.scale.range = windows.dashes.slice(0, series.length);
      if (series.length < 2) { encoding.color.legend = null; encoding.strokeDash.legend = null; }
      draw(holder, spec);
    });
    const why = document.getElementById("window-why");
    if (why) { why.textContent = found ? found.why : ""; }
  }
  if (chosen && windows) {
    chosen.addEventListener("change", () => showWindow(chosen.value));
    const first = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) { first.disconnect(); showWindow(chosen.value); }
    }, { rootMargin: "600px" });
    first.observe(chosen);
    window.addEventListener("beforeprint", () => { first.disconnect(); showWindow(chosen.value); });
  }

  /* The table: rows with their details, opened, sorted and filtered. Nothing here computes a figure or a rank. */
  const table = document.getElementById("rows");
  if (!table) { return; }
  const body = table.tBodies[0];
  const pairs = [...body.querySelectorAll("tr.row")].map((row) => ({ row: row, detail: document.getElementById(row.dataset.detail) }));

  function fill(detail) {
    const place = detail.querySelector("[data-figures]");
    if (!place || place.dataset.filled || !figures) { return; }
    place.dataset.filled = "yes";
    const values = figures.rows[place.dataset.figures];
    const found = document.createElement("table");
    const head = found.createTHead().insertRow();
    for (const title of ["figure", "value", "unit", "meaning"]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.className = title === "value" ? "" : "text";
      cell.textContent = title;
      head.append(cell);
    }
    const lines = found.createTBody();
    figures.columns.forEach(([name, unit, meaning], number) => {
      if (values[number] === "") { return; }
      const line = lines.insertRow();
      const title = document.createElement("th");
      title.scope = "row"; title.className = "text"; title.textContent = name;
      line.append(title);
      const value = line.insertCell();
      if (isNaN(values[number])) { value.className = "text"; }
      value.textContent = values[number]; value.dataset.column = name; value.dataset.value = values[number];
      for (const text of [unit, meaning]) { const cell = line.insertCell(); cell.className = "text"; cell.textContent = text; }
    });
    place.append(found);
  }
  function setOpen(pair, isOpen) {
    pair.row.querySelector(".open").setAttribute("aria-expanded", String(isOpen));
    if (isOpen) { fill(pair.detail); }
    pair.detail.hidden = !isOpen || pair.row.hidden;
  }
  const isOpen = (pair) => pair.row.querySelector(".open").getAttribute("aria-expanded") === "true";
  for (const pair of pairs) {
    pair.row.querySelector(".open").addEventListener("click", () => setOpen(pair, !isOpen(pair)));
  }

  const filters = [...document.querySelectorAll("[data-filter]")];
  const shown = document.getElementById("shown");
  function filter() {
    let count = 0;
    for (const pair of pairs) {
      const fits = filters.every((field) => {
        const wanted = field.value.trim().toLowerCase();
        const own = (pair.row.dataset[field.dataset.filter] || "").toLowerCase();
        return !wanted || (field.tagName === "INPUT" ? own.includes(wanted) : own === wanted);
      });
      pair.row.hidden = !fits;
      pair.detail.hidden = !fits || !isOpen(pair);
      count += fits ? 1 : 0;
    }
    if (shown) { shown.textContent = count + " of " + pairs.length + " rows"; }
  }
  filters.forEach((field) => field.addEventListener("input", filter));
  const reset = document.getElementById("reset");
  if (reset) { reset.addEventListener("click", () => { filters.forEach((field) => { field.value = ""; }); filter(); }); }
  filter();

  table.querySelectorAll("thead th button").forEach((button) => {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const place = [...head.parentElement.children].indexOf(head);
      const former = head.getAttribute("aria-sort");
      const first = head.dataset.first || "descending";
      const other = first === "descending" ? "ascending" : "descending";
      const order = former === first ? other : first;
      table.querySelectorAll("thead th").forEach((found) => found.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const key = (pair) => pair.row.children[place].dataset.sort || "";
      pairs.sort((one, two) => {
        const a = key(one), b = key(two);
        if (a === b) { return 0; }
        if (a === "") { return 1; }
        if (b === "") { return -1; }
        const isNumber = a !== "" && b !== "" && !isNaN(a) && !isNaN(b);
        return sign * (isNumber ? Number(a) - Number(b) : a.localeCompare(b));
      });
      for (const pair of pairs) { body.append(pair.row, pair.detail); }
    });
  });
  if (location.hash) {
    const pair = pairs.find((found) => "#" + found.row.id === location.hash);
    if (pair) { setOpen(pair, true); }
  }
})();
