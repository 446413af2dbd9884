/* Draws the charts of a Quern report: when they come into view, and the rest one by one after that, so
 * that a long page opens at once and prints whole. Colours are CSS variables inside the SVG: the theme
 * changes without drawing again. */
(function () {
  "use strict";
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const asked = new URLSearchParams(location.search).get("theme");

  function remembered() {
    try { return localStorage.getItem("quern-theme"); } catch (e) { return null; }
  }
  function setTheme(theme) {
    root.dataset.theme = theme;
    root.style.colorScheme = theme;
    button.textContent = theme === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", "Change to " + (theme === "dark" ? "light" : "dark") + " colours");
  }
  const button = document.getElementById("theme");
  button.hidden = false;
  setTheme(asked || remembered() || (dark.matches ? "dark" : "light"));
  dark.addEventListener("change", function () {
    if (!remembered()) setTheme(dark.matches ? "dark" : "light");
  });
  button.addEventListener("click", function () {
    const theme = root.dataset.theme === "dark" ? "light" : "dark";
    setTheme(theme);
    try { localStorage.setItem("quern-theme", theme); } catch (e) { /* a file page may have no storage */ }
  });

  /* The contents come from the headings, so they cannot disagree. */
  const links = new Map();
  const list = document.createElement("ol");
  document.querySelectorAll("main > section").forEach(function (section) {
    const heading = section.querySelector("h2");
    const link = document.createElement("a");
    const item = document.createElement("li");
    link.href = "#" + section.id;
    link.textContent = heading ? heading.textContent : "Verdict";
    item.append(link);
    list.append(item);
    links.set(section, link);
  });
  document.getElementById("contents").append(list);
  function markCurrent() {
    let current = null;
    links.forEach(function (link, section) {
      if (!current || section.getBoundingClientRect().top < innerHeight * 0.35) current = section;
    });
    links.forEach(function (link, section) {
      if (section === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  }
  document.addEventListener("scroll", markCurrent, { passive: true });
  markCurrent();

  const v = function (name) { return "var(--" + name + ")"; };
  const font = getComputedStyle(document.body).fontFamily;
  const config = {
    background: null, font: font, padding: 0,
    view: { stroke: null },
    axis: {
      labelColor: v("soft"), titleColor: v("soft"), gridColor: v("faint"), domainColor: v("line"), tickColor: v("line"),
      labelFontSize: 11, titleFontSize: 11.5, titleFontWeight: 400, labelFontWeight: 400, tickSize: 4, labelPadding: 4,
      titlePadding: 8, labelLimit: 130, labelOverlap: "greedy"
    },
    axisX: { grid: false }, axisY: { ticks: false, domain: false },
    legend: {
      labelColor: v("ink"), titleColor: v("soft"), labelFontSize: 11.5, orient: "top", title: null, symbolStrokeWidth: 2.5,
      labelLimit: 150, columns: 4, offset: 6, padding: 0
    },
    text: { fill: v("ink"), fontSize: 11.5 }, rule: { stroke: v("soft") },
    line: { stroke: v("c1"), strokeWidth: 2, strokeJoin: "round" }, area: { fill: v("c1") },
    bar: { fill: v("c1") }, point: { fill: v("c1"), stroke: null, filled: true }, circle: { fill: v("c1") },
    errorband: {}, tick: {},
    style: {
      reference: { stroke: v("soft"), strokeDash: [4, 4], strokeWidth: 1 },
      second: { stroke: v("c2"), fill: v("c2") },
      band: { fill: v("c1"), fillOpacity: 0.16, stroke: null },
      note: { fill: v("soft"), fontSize: 11.5 }, strong: { fill: v("ink"), fontSize: 11.5, fontWeight: 600 },
      whisker: { stroke: v("ink"), strokeWidth: 1.2, opacity: 0.75 }
    },
    range: { category: ["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "c10"].map(v) }
  };

  const waiting = new Map();
  function draw(plot) {
    const source = waiting.get(plot);
    if (!source) return Promise.resolve();
    waiting.delete(plot);
    if (watcher) watcher.unobserve(plot);
    const label = plot.getAttribute("aria-label");
    return Promise.resolve().then(function () {
      /* Compiled here, not by vega-embed, so that its remarks about sizes stay out of the console. */
      const spec = vegaLite.compile(JSON.parse(source.textContent), { config: config, logger: vega.logger(vega.Error) });
      return vegaEmbed(plot, spec.spec, {
        mode: "vega", renderer: "svg", actions: false, ast: true, hover: false, tooltip: { theme: "custom" }
      });
    }).then(function () {
      plot.setAttribute("aria-label", label);
      plot.dataset.drawn = "true";
      plot.style.minHeight = "0";
    }).catch(function (error) {
      console.error("chart: " + label + ": " + error.message);
      plot.classList.add("failed");
      plot.textContent = "This chart could not be drawn. " + label;
    });
  }
  function drawAll() {
    Array.from(waiting.keys()).forEach(draw);
  }
  const watcher = "IntersectionObserver" in window ? new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) { if (entry.isIntersecting) draw(entry.target); });
  }, { rootMargin: "400px" }) : null;
  document.querySelectorAll(".chart").forEach(function (figure) {
    const plot = figure.querySelector(".plot");
    waiting.set(plot, figure.querySelector("script"));
    if (watcher) watcher.observe(plot);
  });
  /* One after the other, with a breath between them for scrolling and clicks. */
  function drawNext() {
    const next = waiting.keys().next();
    if (next.done) return;
    draw(next.value).finally(function () { setTimeout(drawNext, 30); });
  }
  setTimeout(drawNext, 100);

  /* Paper has no folds. */
  let opened = [];
  window.addEventListener("beforeprint", function () {
    drawAll();
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    opened.forEach(function (details) { details.open = true; });
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (details) { details.open = false; });
  });
})();
