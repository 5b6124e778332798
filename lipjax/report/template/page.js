"use strict";
(async () => {
  async function unpacked(id) {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }
  const library = document.createElement("script");
  library.textContent = await unpacked("library");
  document.head.append(library);
  const data = JSON.parse(await unpacked("data"));
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const find = (selector) => document.querySelector(selector);
  const filters = {}, choices = {}, chosen = new Set(data.systems);
  const decoded = new Map(), visible = new Set(), drawn = new Map();

  // Tables travel by column, words as numbers of a list.
  function rows(name) {
    if (!decoded.has(name)) {
      const columns = Object.entries(data.tables[name]);
      const length = columns.length ? (columns[0][1].words ? columns[0][1].at : columns[0][1]).length : 0;
      const value = (column, row) => (column.words ? column.words[column.at[row]] : column[row]);
      decoded.set(name, Array.from({ length }, (_, row) =>
        Object.fromEntries(columns.map(([key, column]) => [key, value(column, row)]).filter(([, one]) => one != null))));
    }
    return decoded.get(name);
  }

  function filled(part) {
    if (typeof part === "string") return part in data.tokens ? data.tokens[part] : part;
    if (Array.isArray(part)) return part.map(filled);
    if (part && typeof part === "object") return Object.fromEntries(Object.entries(part).map(([key, one]) => [key, filled(one)]));
    return part;
  }

  function kept(figure, table) {
    const wanted = figure.filters.filter((key) => key in filters);
    const same = (row, key) => !(key in row) || (typeof row[key] === "number" ? row[key] === Number(filters[key]) : row[key] === filters[key]);
    const own = rows(table).filter((row) => wanted.every((key) => same(row, key)));
    if (figure.fades) return own.map((row) => ("system" in row ? { ...row, chosen: chosen.has(row.system) } : row));
    return own.filter((row) => !("system" in row) || chosen.has(row.system));
  }

  const isDark = () => document.documentElement.dataset.theme === "dark";

  async function draw(name) {
    const figure = data.figures[name], place = find(`.chart[data-figure="${name}"]`);
    const scale = find("#log").checked ? "log" : "linear", choice = choices[name] || figure.choices[0];
    const spec = filled(figure.charts[`${choice}|${scale}`] || figure.charts[`${choice}|any`]);
    spec.datasets = Object.fromEntries(figure.tables.map((table) => [table, kept(figure, table)]));
    const options = {
      renderer: "svg", logLevel: 1, config: data.themes[isDark() ? "dark" : "light"], tooltip: { theme: isDark() ? "dark" : "light" },
      actions: { export: true, source: false, compiled: false, editor: false }, downloadFileName: name,
    };
    const turn = (drawn.get(name)?.turn || 0) + 1;
    drawn.get(name)?.view?.finalize();
    drawn.set(name, { turn });
    const result = await vegaEmbed(place, spec, options);
    if (drawn.get(name).turn === turn) drawn.set(name, { turn, view: result.view });
    place.dataset.drawn = `${choice}|${scale}|${JSON.stringify(filters)}|${chosen.size}|${isDark()}`;
  }

  // Only figures on the screen are drawn; the others when they come into it, or are printed.
  const stale = new Set(Object.keys(data.figures));
  function refresh(names = Object.keys(data.figures)) {
    names.forEach((name) => stale.add(name));
    requestAnimationFrame(() => visible.forEach((name) => { if (stale.delete(name)) draw(name); }));
  }
  const observer = new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => {
    const name = target.dataset.figure;
    if (!isIntersecting) visible.delete(name);
    else { visible.add(name); if (stale.delete(name)) draw(name); }
  }), { rootMargin: "200px" });
  all(".chart").forEach((place) => observer.observe(place));

  function setTheme(dark) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    find("#theme").setAttribute("aria-pressed", String(dark));
    refresh();
  }
  const system = matchMedia("(prefers-color-scheme: dark)");
  find("#theme").addEventListener("click", () => setTheme(!isDark()));
  system.addEventListener("change", () => setTheme(system.matches));
  addEventListener("beforeprint", () => [...stale].forEach((name) => { stale.delete(name); draw(name); }));

  // Not every constant was measured at every radius: only those of the chosen one are offered.
  function offer() {
    const constant = find("[data-filter=constant]")?.value, radius = find("[data-filter=radius]");
    if (!constant || !radius) return;
    const options = [...radius.options];
    options.forEach((option) => { option.hidden = option.disabled = !JSON.parse(option.dataset.of).includes(constant); });
    if (radius.selectedOptions[0]?.disabled ?? true) radius.value = options.find((option) => !option.disabled)?.value;
  }
  function readFilters() {
    offer();
    all("[data-filter]").forEach((select) => { filters[select.dataset.filter] = select.value; });
  }
  readFilters();
  all("[data-filter]").forEach((select) => select.addEventListener("change", () => {
    const before = { ...filters };
    readFilters();
    const changed = Object.keys(filters).filter((key) => filters[key] !== before[key]);
    refresh(Object.keys(data.figures).filter((name) => data.figures[name].filters.some((key) => changed.includes(key))));
  }));
  all("[data-choice]").forEach((select) => select.addEventListener("change", () => {
    choices[select.dataset.choice] = select.value;
    refresh([select.dataset.choice]);
  }));
  find("#log").addEventListener("change", () => refresh());
  find("#controls").addEventListener("submit", (event) => event.preventDefault());

  // The table.
  const body = find("#table tbody"), lines = all("tr", body);
  const heads = all("#table thead th[data-key]"), keys = heads.map((head) => head.dataset.key);
  const cell = (line, index) => line.children[index + 1].dataset.value;

  function sort(index, descending) {
    const numeric = index > 0;
    const before = (a, b) => {
      const [x, y] = [cell(a, index), cell(b, index)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = numeric ? x - y : x.localeCompare(y, "en", { numeric: true });
      return descending ? -order : order;
    };
    const details = new Map(lines.map((line) => [line, line.nextElementSibling?.className === "detail" ? line.nextElementSibling : null]));
    [...lines].sort(before).forEach((line) => { body.append(line); if (details.get(line)) body.append(details.get(line)); });
    heads.forEach((head, at) => head.setAttribute("aria-sort", at !== index ? "none" : descending ? "descending" : "ascending"));
  }
  heads.forEach((head, index) => head.querySelector("button").addEventListener("click", () => {
    const now = head.getAttribute("aria-sort");
    sort(index, now === "none" ? index > 0 : now === "ascending");
  }));

  function matches(line, words) {
    return words.every((word) => {
      const [, key, sign, number] = word.match(/^(.+?)([<>])(-?[\d.]+)$/) || [];
      const index = keys.indexOf(key);
      if (index < 1) return cell(line, 0).toLowerCase().includes(word);
      const value = cell(line, index);
      return value !== "" && (sign === ">" ? Number(value) > Number(number) : Number(value) < Number(number));
    });
  }
  function search() {
    const words = find("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    lines.forEach((line) => {
      line.hidden = !matches(line, words);
      if (line.nextElementSibling?.className === "detail") line.nextElementSibling.hidden = line.hidden;
      count += !line.hidden;
    });
    find("#shown").textContent = `${count} of ${lines.length} systems`;
  }
  find("#search").addEventListener("input", search);

  function choose(line, on) {
    line.querySelector(".pick input").checked = on;
    chosen[on ? "add" : "delete"](line.dataset.system);
  }
  lines.forEach((line) => line.querySelector(".pick input").addEventListener("change", (event) => {
    choose(line, event.target.checked);
    refresh();
  }));
  find("#all").addEventListener("change", (event) => {
    lines.filter((line) => !line.hidden).forEach((line) => choose(line, event.target.checked));
    refresh();
  });

  // What users named is set as text, never as markup.
  function element(name, text, parent, attributes = {}) {
    const made = document.createElement(name);
    if (text !== null) made.textContent = text;
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    parent?.append(made);
    return made;
  }
  function detail(name) {
    const own = data.details ? rows(data.details).filter((row) => row.system === name) : [];
    const steps = [...new Set(own.map((row) => row.step))].sort(), table = element("table", null, null);
    const head = element("tr", null, element("thead", null, table));
    element("th", "corruption", head, { scope: "col" });
    const words = { 0: "clean", attack: "attacked" };
    steps.forEach((step) => element("th", words[step] || `severity ${step}`, head, { scope: "col" }));
    const inside = element("tbody", null, table);
    [...new Set(own.map((row) => row.corruption))].forEach((corruption) => {
      const line = element("tr", null, inside);
      element("th", corruption.replaceAll("_", " "), line, { scope: "row" });
      steps.forEach((step) => {
        const found = own.find((row) => row.corruption === corruption && row.step === step);
        element("td", found ? found.accuracy.toFixed(1) : "–", line);
      });
    });
    return own.length ? table : element("p", "Not measured on corrupted images.", null);
  }
  lines.forEach((line) => line.querySelector(".open").addEventListener("click", (event) => {
    const open = event.currentTarget.getAttribute("aria-expanded") === "true";
    event.currentTarget.setAttribute("aria-expanded", String(!open));
    if (open) return line.nextElementSibling.remove();
    const row = document.createElement("tr");
    row.className = "detail";
    element("td", null, row, { colspan: keys.length + 1 }).append(detail(line.dataset.system));
    line.after(row);
  }));

  search();
  setTheme(system.matches);
})();
