// Makes the page live: what it shows is fetched again while it is looked at, and a graph tells its values. Without this
// all is there, too.
"use strict";
(() => {
  const REFRESH = 30000;
  const lang = document.documentElement.lang;
  const digits = new Intl.NumberFormat(lang, { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
  const whole = new Intl.NumberFormat(lang, { maximumFractionDigits: 0 });
  const space = lang === "fr" ? "\u202f" : "\u00a0";

  function rate(value) {
    if (value == null) return "–";
    const units = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", "Pbit/s", "Ebit/s"];
    let unit = 0;
    while (value >= 999.5 && unit + 1 < units.length) {
      value /= 1000;
      unit += 1;
    }
    return (unit === 0 ? whole : digits).format(value) + space + units[unit];
  }

  function element(name, text, parent, kind) {
    const made = document.createElement(name);
    if (text != null) made.textContent = text;
    if (kind) made.className = kind;
    if (parent) parent.append(made);
    return made;
  }

  // Values under the pointer, or at the arrow keys' place.
  function live(figure) {
    const plot = figure.querySelector(".plot");
    const svg = plot && plot.querySelector("svg.graph");
    if (!svg || plot.dataset.live) return;
    plot.dataset.live = "1";
    // Browsers show a title as a tooltip of their own.
    const title = svg.querySelector("title");
    const description = svg.querySelector("desc");
    if (title && description) {
      svg.setAttribute("aria-label", `${title.textContent}. ${description.textContent}`);
      svg.removeAttribute("aria-labelledby");
      title.remove();
    }
    plot.tabIndex = 0;
    let series = null;
    let asked = false;
    let place = null;
    let tip = null;
    let cursor = null;

    async function ask() {
      if (asked) return;
      asked = true;
      try {
        const answer = await fetch(figure.dataset.series);
        if (answer.ok) {
          series = await answer.json();
          show();
        }
      } catch {
        asked = false;
      }
    }

    function hide() {
      place = null;
      if (tip) tip.remove();
      if (cursor) cursor.remove();
      tip = cursor = null;
    }

    function show() {
      if (!series || place == null || !series.steps.length) return;
      const from = Date.parse(series.from);
      const to = Date.parse(series.to);
      const time = from + place * (to - from);
      let index = series.steps.findIndex((step) => time < Date.parse(step.to));
      if (index < 0) index = series.steps.length - 1;
      const step = series.steps[index];
      const middle = (Date.parse(step.from) + Date.parse(step.to)) / 2;
      const x = (middle - from) / (to - from);
      if (!cursor) {
        cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
        cursor.setAttribute("class", "cursor");
        cursor.setAttribute("y1", "0");
        cursor.setAttribute("y2", "92%");
        svg.append(cursor);
        tip = element("div", null, plot, "tip");
      }
      for (const end of ["x1", "x2"]) cursor.setAttribute(end, `${x * 100}%`);
      tip.replaceChildren();
      const long = Date.parse(step.to) - Date.parse(step.from) > 7200000;
      const format = { weekday: "short", day: "numeric", month: "short", timeZone: series.zone };
      if (!long) Object.assign(format, { hour: "2-digit", minute: "2-digit" });
      element("b", new Intl.DateTimeFormat(lang === "en" ? "en-GB" : lang, format).format(Date.parse(step.from)), tip);
      if (!step.covered_seconds) {
        element("span", figure.dataset.nothing, tip);
      } else {
        const table = element("table", null, tip);
        const row = (label, directions, chip) => {
          const line = element("tr", null, table);
          const head = element("th", null, line);
          if (chip) head.append(chip);
          head.append(label);
          for (const side of ["in", "out"]) {
            const course = directions[side];
            element("td", rate(course ? course.bits_per_second[index] : null), line);
          }
        };
        const names = element("tr", null, table);
        element("th", null, names);
        element("td", figure.dataset.in, names);
        element("td", figure.dataset.out, names);
        for (const item of figure.querySelectorAll(".legend li")) {
          const layer = series.layers[Number(item.dataset.layer)];
          if (layer) row(item.textContent, layer.directions, item.querySelector("svg").cloneNode(true));
        }
        row(figure.dataset.total, series.total);
      }
      const box = plot.clientWidth;
      const wide = tip.offsetWidth;
      const left = x < 0.5 ? x * box + 12 : x * box - wide - 12;
      tip.style.left = `${Math.max(0, Math.min(box - wide, left))}px`;
    }

    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      place = Math.max(0, Math.min(0.9999, (event.clientX - box.left) / box.width));
      ask();
      show();
    });
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return hide();
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!move) return;
      event.preventDefault();
      const steps = series ? series.steps.length : 100;
      place = Math.max(0, Math.min(0.9999, (place == null ? 0.9999 : place) + move / steps));
      ask();
      show();
    });
  }

  function enliven() {
    for (const figure of document.querySelectorAll("figure.chart[data-series]")) live(figure);
  }

  // The same page once more, of which what is between the head and the foot takes the place of what was there.
  async function refresh() {
    const main = document.querySelector("main[data-refresh]");
    if (!main || document.hidden) return;
    const active = document.activeElement;
    if (document.querySelector(".tip") || (active && active.matches("input, main .plot"))) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = page.querySelector("main[data-refresh]");
      if (!next) return;
      const open = [...main.querySelectorAll("details")].map((details) => details.open);
      [...next.querySelectorAll("details")].forEach((details, i) => (details.open = open[i] || false));
      const at = active && main.contains(active) && active.getAttribute("href");
      main.replaceChildren(...document.adoptNode(next).childNodes);
      if (at) {
        const again = [...main.querySelectorAll("a")].find((link) => link.getAttribute("href") === at);
        if (again) again.focus({ preventScroll: true });
      }
      document.title = page.title;
      enliven();
    } catch {
      // The next time may do.
    }
  }

  enliven();
  let last = Date.now();
  setInterval(() => {
    if (Date.now() - last >= REFRESH && !document.hidden) {
      last = Date.now();
      refresh();
    }
  }, 1000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && Date.now() - last >= REFRESH) {
      last = Date.now();
      refresh();
    }
  });
})();
