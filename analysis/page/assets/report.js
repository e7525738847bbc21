// Draws each figure when it comes into view, in the reader's theme; fills the table of all trials.
"use strict";
(function () {
  const parse = (id) => JSON.parse(document.getElementById(id).textContent);
  const templates = parse("templates");
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const theme = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const shown = new Map();

  const named = (axis) => Boolean(axis.title && axis.title.text);

  // A title that the panel at the left bears already is left out.
  const repeated = (axis, left) => (named(axis) && axis.title.text !== left.title.text ? axis.title : { text: "" });

  // Panels that are too narrow side by side go below each other.
  function stacked(layout, width) {
    const meta = layout.meta;
    if (!meta || !layout.xaxis) return layout;
    const columns = Math.max(1, Math.min(meta.columns, Math.floor(width / meta.narrowest)));
    if (columns === meta.columns) return layout;
    const names = Object.keys(layout).filter((name) => /^xaxis\d*$/.test(name));
    const rows = Math.ceil(names.length / columns);
    const height = Math.max(190, layout.height / meta.rows);
    const gap = (meta.between || 64) / (height * rows);
    const side = meta.beside ? meta.beside / width : 0.06;
    names.forEach((name, place) => {
      const column = place % columns;
      const row = Math.floor(place / columns);
      const yName = name.replace("x", "y");
      const top = 1 - row * (1 / rows);
      layout[name] = Object.assign({}, layout[name], {
        domain: [column / columns + (column ? side : 0), (column + 1) / columns],
      });
      layout[yName] = Object.assign({}, layout[yName], {
        domain: [top - 1 / rows + (row < rows - 1 ? gap : 0), top - (row ? gap / 4 : 0)],
        title: column ? repeated(layout[yName], layout.yaxis) : named(layout[yName]) ? layout[yName].title : layout.yaxis.title,
        showticklabels: layout[yName].ticks === "" && layout[yName].showticklabels === false ? false : true,
      });
    });
    layout.height = height * rows;
    return layout;
  }

  function draw(plot) {
    const figure = shown.get(plot) || parse("data-" + plot.id);
    shown.set(plot, figure);
    const width = plot.parentElement.clientWidth;
    // A finger scrolls the page; a mouse draws a box to look closer.
    const drag = window.matchMedia("(pointer: coarse)").matches ? false : "zoom";
    const own = { template: templates[theme()], autosize: true, dragmode: drag };
    const layout = stacked(Object.assign({}, figure.layout, own), width);
    plot.style.height = layout.height + "px";
    const single = layout.meta && layout.meta.columns === 1 && !root.classList.contains("paper");
    plot.style.minWidth = single ? Math.min(layout.meta.narrowest, 1000) + "px" : "";
    const config = { displayModeBar: false, responsive: true };
    if (layout.meta && layout.meta.parallel) layout.dragmode = "select";
    const first = !plot.data;
    const drawn = Plotly.react(plot, figure.data, layout, config);
    if (first && layout.meta && layout.meta.parallel) drawn.then(() => brushable(plot, layout.meta.parallel));
    return drawn;
  }

  // Parallel coordinates: a box across axes keeps the lines that pass through it; boxes add up.
  function brushable(plot, axes) {
    const ranges = new Map();
    const lines = plot.data.map((_, place) => place).filter((place) => plot.data[place].mode === "lines");
    const whole = lines.map((place) => Array.from(plot._fullData[place].y));
    function keep(y) {
      const kept = y.slice();
      for (let start = 0; start < y.length; start += axes + 1) {
        const passes = [...ranges].every(([axis, [low, high]]) => y[start + axis] >= low && y[start + axis] <= high);
        if (!passes) kept.fill(NaN, start, start + axes);
      }
      return kept;
    }
    const show = () => Plotly.restyle(plot, { y: whole.map(keep) }, lines);
    plot.on("plotly_selected", (event) => {
      if (!event || !event.range) return;
      const [left, right] = event.range.x.slice().sort((a, b) => a - b);
      for (let axis = Math.max(0, Math.ceil(left)); axis <= Math.min(axes - 1, right); axis++) {
        ranges.set(axis, event.range.y.slice().sort((a, b) => a - b));
      }
      show();
    });
    plot.on("plotly_deselect", () => {
      ranges.clear();
      show();
    });
  }

  const redraw = () => Promise.all([...shown.keys()].map(draw));
  const plots = [...document.querySelectorAll(".plot")];
  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        seen.unobserve(entry.target);
        draw(entry.target);
      }
    },
    { rootMargin: "400px" }
  );
  plots.forEach((plot) => seen.observe(plot));

  // Paper is white and of one width, and shows every figure and what a click would open.
  let before;
  window.addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    root.dataset.theme = "light";
    root.classList.add("paper");
    document.querySelectorAll("details:not([open])").forEach((part) => part.setAttribute("open", "paper"));
    // One table wider than the page would make the browser shrink all of it.
    document.querySelectorAll(".scroll").forEach((box) => {
      box.firstElementChild.style.zoom = Math.min(1, box.clientWidth / box.scrollWidth);
    });
    plots.forEach(draw);
  });
  window.addEventListener("afterprint", () => {
    if (before) root.dataset.theme = before;
    else delete root.dataset.theme;
    root.classList.remove("paper");
    document.querySelectorAll("details[open=paper]").forEach((part) => part.removeAttribute("open"));
    document.querySelectorAll(".scroll").forEach((box) => (box.firstElementChild.style.zoom = ""));
    redraw();
  });

  function remember(value) {
    try {
      localStorage.setItem("theme", value);
    } catch (error) {
      // A page opened from a file may have no storage; the theme then lasts as long as the page.
    }
  }

  dark.addEventListener("change", redraw);
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    remember(root.dataset.theme);
    redraw();
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-save]");
    if (!button) return;
    const plot = document.getElementById(button.dataset.plot);
    Promise.resolve(shown.has(plot) ? plot : draw(plot)).then(() =>
      Plotly.downloadImage(plot, {
        format: button.dataset.save,
        filename: plot.id,
        width: Math.max(plot.clientWidth, 600),
        height: plot.clientHeight,
        scale: button.dataset.save === "png" ? 2 : 1,
      })
    );
  });

  // All trials: sorted by a click on a heading, filtered by words, fifty at a time.
  const PAGE = 50;
  for (const box of document.querySelectorAll("[data-trials]")) {
    const table = parse(box.dataset.trials);
    const head = box.querySelector("thead tr");
    const body = box.querySelector("tbody");
    const filter = box.querySelector("input");
    const count = box.querySelector("output");
    const [back, next] = box.querySelectorAll("button[data-step]");
    const state = { column: -1, down: false, start: 0 };
    const numbers = table.columns.map((_, place) => table.kinds[place] === "number");

    function order() {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      const text = (row) => row.map((cell, place) => table.columns[place] + "=" + cell).join(" ").toLowerCase();
      const rows = table.rows.filter((row) => !words.length || words.every((word) => text(row).includes(word)));
      if (state.column < 0) return rows;
      const sign = state.down ? -1 : 1;
      const empty = (cell) => cell === null || cell === "";
      return rows.sort((a, b) => {
        const [x, y] = [a[state.column], b[state.column]];
        if (empty(x) || empty(y)) return empty(x) - empty(y);
        return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
      });
    }

    const format = (cell) => {
      if (cell === null || cell === "") return "–";
      if (typeof cell !== "number") return String(cell);
      if (Number.isInteger(cell)) return cell.toLocaleString("en");
      return Math.abs(cell) < 1e-3 ? cell.toExponential(2) : cell.toPrecision(4);
    };

    function fill() {
      const rows = order();
      state.start = Math.max(0, Math.min(state.start, Math.floor((rows.length - 1) / PAGE) * PAGE));
      const part = rows.slice(state.start, state.start + PAGE);
      body.replaceChildren(
        ...part.map((row) => {
          const line = document.createElement("tr");
          row.forEach((cell, place) => {
            const data = document.createElement("td");
            data.textContent = table.kinds[place] === "trial" ? String(cell).padStart(4, "0") : format(cell);
            if (numbers[place]) data.className = "number";
            line.append(data);
          });
          return line;
        })
      );
      const last = state.start + part.length;
      count.textContent = rows.length
        ? `${state.start + 1} to ${last} of ${rows.length.toLocaleString("en")}`
        : "no trial matches";
      back.disabled = state.start === 0;
      next.disabled = last >= rows.length;
    }

    table.columns.forEach((name, place) => {
      const cell = document.createElement("th");
      if (numbers[place]) cell.className = "number";
      cell.scope = "col";
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = table.labels[place];
      button.addEventListener("click", () => {
        state.down = state.column === place && !state.down;
        state.column = place;
        state.start = 0;
        [...head.children].forEach((other) => other.removeAttribute("aria-sort"));
        cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
        fill();
      });
      cell.append(button);
      head.append(cell);
    });
    filter.addEventListener("input", () => {
      state.start = 0;
      fill();
    });
    back.addEventListener("click", () => ((state.start -= PAGE), fill()));
    next.addEventListener("click", () => ((state.start += PAGE), fill()));
    fill();
  }
})();
