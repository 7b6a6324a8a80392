"use strict";
// The page's own script: 3-D views that replace the still drawings, a table that sorts and filters.
(() => {
  const cells = JSON.parse(document.getElementById("cells").textContent);
  const elements = JSON.parse(document.getElementById("elements").textContent);
  const ON_FACE = 0.02; // as in crystal.py
  const MOST_VIEWS = 6; // browsers allow few WebGL contexts at a time
  const STICK = 0.1;
  const coarse = window.matchMedia("(pointer: coarse)").matches;

  // ---- from a cell to atoms ----------------------------------------------------------------------------------------

  const position = (cell, frac) =>
    [0, 1, 2].map((k) => frac[0] * cell[0][k] + frac[1] * cell[1][k] + frac[2] * cell[2][k]);

  function shifts(value, repeat) {
    const first = value > 1 - ON_FACE ? -1 : 0;
    const last = value < ON_FACE ? repeat : repeat - 1;
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  }

  /** Atoms of repeat³ cells as 3Dmol atoms: those on faces repeated, bonds between those drawn. */
  function atomsOf(data, repeat) {
    const atoms = [];
    const index = new Map();
    data.frac.forEach((frac, i) => {
      for (const a of shifts(frac[0], repeat)) for (const b of shifts(frac[1], repeat)) for (const c of shifts(frac[2], repeat)) {
        const [x, y, z] = position(data.cell, [frac[0] + a, frac[1] + b, frac[2] + c]);
        index.set(`${i} ${a} ${b} ${c}`, atoms.length);
        atoms.push({ elem: data.symbols[i], x, y, z, bonds: [], bondOrder: [], site: [i, a, b, c], frac, serial: atoms.length });
      }
    });
    for (const [i, j, da, db, dc] of data.bonds) {
      for (const atom of atoms) {
        const [site, a, b, c] = atom.site;
        const other = site === i ? index.get(`${j} ${a + da} ${b + db} ${c + dc}`) : undefined;
        if (other === undefined) continue;
        atom.bonds.push(other);
        atom.bondOrder.push(1);
        atoms[other].bonds.push(atom.serial);
        atoms[other].bondOrder.push(1);
      }
    }
    return atoms;
  }

  function cellEdges(cell, repeat) {
    const point = (f) => {
      const [x, y, z] = position(cell, f);
      return { x, y, z };
    };
    const edges = [];
    const counts = Array.from({ length: repeat + 1 }, (_, i) => i);
    for (const axis of [0, 1, 2]) for (const p of counts) for (const q of counts) {
      const start = [p, p, p], end = [p, p, p];
      const [u, v] = [(axis + 1) % 3, (axis + 2) % 3];
      start[axis] = 0; end[axis] = repeat;
      start[u] = end[u] = p; start[v] = end[v] = q;
      edges.push([point(start), point(end)]);
    }
    return edges;
  }

  // ---- 3-D views ---------------------------------------------------------------------------------------------------

  const live = new Map(); // figure -> viewer, oldest first

  function chosen(figure) {
    const button = figure.querySelector(".controls [aria-pressed=true]");
    return { data: cells[Number(figure.dataset.index)][button.dataset.cell], repeat: Number(button.dataset.repeat) };
  }

  function draw(figure, viewer) {
    const { data, repeat } = chosen(figure);
    viewer.removeAllModels();
    viewer.removeAllShapes();
    viewer.removeAllLabels();
    const model = viewer.addModel();
    model.addAtoms(atomsOf(data, repeat));
    for (const symbol of new Set(data.symbols)) {
      const { color, radius } = elements[symbol];
      viewer.setStyle({ elem: symbol }, { sphere: { radius, color }, stick: { radius: STICK, color } });
    }
    for (const [start, end] of data.periodic === false ? [] : cellEdges(data.cell, repeat)) viewer.addCylinder({ start, end, radius: 0.025, color: "#8a94a3" });
    viewer.setHoverable({}, true, (atom) => {
      const text = `${atom.elem} (${atom.frac.map((f) => f.toFixed(3)).join(", ")})`;
      atom.label = viewer.addLabel(text, { position: atom, backgroundColor: "#1b2430", fontColor: "#fff", fontSize: 12, inFront: true });
    }, (atom) => {
      if (atom.label) viewer.removeLabel(atom.label);
      delete atom.label;
    });
    viewer.zoomTo();
    fit(figure, viewer, atomsOf(data, repeat));
    viewer.render();
  }

  /** Zooms until the drawing fills the view; 3Dmol's own zoom leaves small crystals in wide views. */
  function fit(figure, viewer, atoms) {
    const margin = 1.7; // Å, for the spheres and a little air
    const span = (axis) => Math.max(...atoms.map((atom) => atom[axis])) - Math.min(...atoms.map((atom) => atom[axis])) + 2 * margin;
    const origin = viewer.modelToScreen({ x: 0, y: 0, z: 0 });
    const unit = viewer.modelToScreen({ x: 1, y: 0, z: 0 }).x - origin.x; // pixels per Å
    const { clientWidth, clientHeight } = figure.querySelector(".stage");
    viewer.zoom(Math.min(clientWidth / span("x"), clientHeight / span("y")) / Math.abs(unit));
  }

  function start(figure) {
    if (live.has(figure) || typeof $3Dmol === "undefined") return;
    while (live.size >= MOST_VIEWS) stop(live.keys().next().value);
    const stage = figure.querySelector(".stage");
    const box = document.createElement("div");
    box.className = "webgl";
    stage.append(box);
    let viewer = null;
    try {
      viewer = $3Dmol.createViewer(box, { backgroundAlpha: 0, antialias: true, orthographic: true, disableFog: true });
    } catch (error) {
      console.info("no 3-D view:", error);
    }
    if (!viewer || !box.querySelector("canvas")) { // no WebGL: the still drawing stays
      box.remove();
      return;
    }
    live.set(figure, viewer);
    draw(figure, viewer);
    figure.classList.add("live");
  }

  function stop(figure) {
    const box = figure.querySelector(".webgl");
    const canvas = box.querySelector("canvas");
    const context = canvas.getContext("webgl2") || canvas.getContext("webgl");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    box.remove();
    live.delete(figure);
    figure.classList.remove("live");
  }

  function press(figure, button) {
    for (const other of figure.querySelectorAll(".controls button")) other.setAttribute("aria-pressed", String(other === button));
    if (live.has(figure)) draw(figure, live.get(figure));
    else start(figure);
  }

  const KEYS = {
    ArrowLeft: (v) => v.rotate(-15, "vy"), ArrowRight: (v) => v.rotate(15, "vy"),
    ArrowUp: (v) => v.rotate(-15, "vx"), ArrowDown: (v) => v.rotate(15, "vx"),
    "+": (v) => v.zoom(1.15), "=": (v) => v.zoom(1.15), "-": (v) => v.zoom(1 / 1.15),
  };

  function onKey(event, figure) {
    if (event.key !== "0" && !(event.key in KEYS)) return;
    event.preventDefault();
    start(figure);
    const viewer = live.get(figure);
    if (!viewer) return;
    if (event.key === "0") {
      viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]);
      draw(figure, viewer);
    } else {
      KEYS[event.key](viewer);
      viewer.render();
    }
  }

  const figures = [...document.querySelectorAll(".view")];
  for (const figure of figures) {
    const stage = figure.querySelector(".stage");
    for (const button of figure.querySelectorAll(".controls button")) button.addEventListener("click", () => press(figure, button));
    stage.addEventListener("keydown", (event) => onKey(event, figure));
    stage.addEventListener("click", () => start(figure));
    // The wheel scrolls the page unless the view has been chosen by a click or the keyboard.
    stage.addEventListener("wheel", (event) => {
      if (document.activeElement !== stage && !event.ctrlKey) event.stopImmediatePropagation();
    }, { capture: true, passive: true });
  }
  if (!coarse && "IntersectionObserver" in window) {
    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries) if (entry.isIntersecting) start(entry.target);
    }, { threshold: 0.25 });
    figures.forEach((figure) => observer.observe(figure));
  }

  // ---- the table ---------------------------------------------------------------------------------------------------

  const table = document.getElementById("table");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const collator = new Intl.Collator("en", { numeric: true });

  function compare(column, numeric, sign) {
    return (first, second) => {
      const [a, b] = [first.cells[column].dataset.key, second.cells[column].dataset.key];
      if (a === "" || b === "") return (a === "") - (b === ""); // missing values last, in both directions
      return sign * (numeric ? Number(a) - Number(b) : collator.compare(a, b));
    };
  }

  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const numeric = rows.every((row) => Number.isFinite(Number(row.cells[column].dataset.key)));
      body.append(...rows.sort(compare(column, numeric, sign)));
    });
  });

  const find = document.getElementById("find");
  const switches = [...document.querySelectorAll(".filter input[type=checkbox]")];
  const count = document.getElementById("count");

  /** A word finds a row by its text; an element symbol finds the formulas that contain the element. */
  function matches(row, word) {
    const name = row.querySelector("td.formula")?.textContent ?? "";
    if (/^[A-Z][a-z]?$/.test(word)) return new RegExp(`${word}(?![a-z])`).test(name);
    return row.textContent.toLowerCase().includes(word.toLowerCase());
  }

  function filter() {
    const words = find.value.split(/\s+/).filter(Boolean);
    const wanted = switches.filter((box) => box.checked).map((box) => box.value);
    let shown = 0;
    for (const row of rows) {
      const marks = row.dataset.marks.split(" ");
      row.hidden = !(wanted.every((mark) => marks.includes(mark)) && words.every((word) => matches(row, word)));
      shown += !row.hidden;
    }
    count.textContent = shown === rows.length ? `${shown} candidates` : `${shown} of ${rows.length} candidates`;
  }
  find.addEventListener("input", filter);
  switches.forEach((box) => box.addEventListener("change", filter));
  document.querySelector(".filter").addEventListener("submit", (event) => event.preventDefault());
})();
