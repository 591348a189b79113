"use strict";
// data: {texts: [{key, several}], numbers: [{key, label, scale, better, log}], table: [key], start: [x, y],
//        marks: {kind: [colour, shape]}, models: {model: colour} or null, rows: [{kind, folder, config: [text],
//        texts: [..], numbers: [..]}], means: [like rows, with spreads: [..] and n, the number of seeds]}
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SHAPES = { // paths around 0, 0 about 10 wide
  circle: "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z", square: "M-4.5,-4.5h9v9h-9Z", triangle: "M0,-5.5L5.5,4.5H-5.5Z",
  plus: "M-1.8,-5.5h3.6v3.7h3.7v3.6h-3.7v3.7h-3.6v-3.7h-3.7v-3.6h3.7Z",
  cross: "M-5.2,-2.7l2.5,-2.5l2.7,2.7l2.7,-2.7l2.5,2.5l-2.7,2.7l2.7,2.7l-2.5,2.5l-2.7,-2.7l-2.7,2.7l-2.5,-2.5l2.7,-2.7Z",
  wedge: "M0,5.5L5.5,-4.5H-5.5Z", diamond: "M0,-6L6,0L0,6L-6,0Z",
  star: "M0,-6.5L1.7,-2.1L6.2,-2L2.6,0.8L3.9,5.3L0,2.7L-3.9,5.3L-2.6,0.8L-6.2,-2L-1.7,-2.1Z",
};
const index = Object.fromEntries(data.numbers.map((column, i) => [column.key, i]));
const text = Object.fromEntries(data.texts.map((column, i) => [column.key, i]));
const searchable = (row, i) => ({ ...row, i, words: [...row.config, ...row.texts, row.folder].join(" ").toLowerCase() });
const single = data.rows.map(searchable), means = data.means.map(searchable);
let rows = single;
const state = { x: data.start[0], y: data.start[1], logx: false, logy: false, sort: null, down: false, chosen: null, all: false };
const LIMIT = 300; // rows of the table until one asks for all: a browser lays out 300 at once, 3,000 it does not
let shown = rows, best = new Set(), places = new Map();

function make(tag, attributes = {}, content = "", space = null) {
  const element = space ? document.createElementNS(space, tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(key, value);
  element.textContent = content;
  return element;
}
const svg = (tag, attributes, content) => make(tag, attributes, content, "http://www.w3.org/2000/svg");
const number = (row, key) => row.numbers[index[key]];
const column = (key) => data.numbers[index[key]];
const spread = (row, key) => row.spreads?.[index[key]] || 0;
const colour = (row) => (data.models ? data.models[row.texts[text.model]] ?? "currentColor" : row.kind === "dense" ? "currentColor" : data.marks[row.kind][0]);

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const DIGITS = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

function write(value, scale = 1) {
  if (value === null || value === undefined) return "–";
  const scaled = value * scale, size = Math.abs(scaled);
  if (size && (size < 1e-3 || size >= 1e7)) return scaled.toExponential(2);
  return (size >= 1000 ? WHOLE : DIGITS).format(scaled);
}

// The points that no other dominates, for two objectives ("min" or "max"), the best in the first one first.
function front(points, goals) {
  const cost = (point, k) => (goals[k] === "min" ? point.at[k] : -point.at[k]);
  const order = [...points].sort((a, b) => cost(a, 0) - cost(b, 0) || cost(a, 1) - cost(b, 1));
  const found = [];
  let last = null;
  for (const point of order) {
    const equal = last && cost(last, 0) === cost(point, 0) && cost(last, 1) === cost(point, 1);
    if (!last || cost(point, 1) < cost(last, 1) || equal) found.push((last = point));
  }
  return found;
}

// At least three round numbers and at most `count`, or five: on a logarithmic axis the first kind that has a good number of them.
function ticks(low, high, log, count) {
  const most = Math.max(5, count);
  if (log) {
    for (const factors of [[1, 2, 5], [1, 3], [1], [1, 1.5, 2, 3, 5, 7]]) {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) found.push(...factors.map((factor) => factor * 10 ** power));
      const inside = found.filter((value) => value >= low && value <= high);
      if (inside.length >= 3 && inside.length <= most) return inside;
      if (factors.length === 1 && inside.length > most) return inside.filter((_, i) => i % Math.ceil(inside.length / most) === 0);
    }
  }
  const unit = 10 ** Math.floor(Math.log10((high - low) / most));
  const even = [1, 2, 2.5, 5, 10].map((factor) => {
    const step = factor * unit, first = Math.ceil(low / step), last = Math.floor((high / step) * (1 + 1e-12));
    return Array.from({ length: last - first + 1 }, (_, k) => (first + k) * step);
  });
  return even.find((found) => found.length <= most);
}

// From values to pixels, with 5 % of room at both ends.
function scaleOf(values, log, from, to) {
  const warp = log ? Math.log10 : Number, back = log ? (value) => 10 ** value : Number;
  let low = warp(Math.min(...values)), high = warp(Math.max(...values));
  if (low === high) [low, high] = log ? [low - 0.3, high + 0.3] : [low - (Math.abs(low) * 0.1 || 1), high + (Math.abs(high) * 0.1 || 1)];
  const room = (high - low) * 0.05;
  [low, high] = [low - room, high + room];
  const place = (value) => from + ((warp(value) - low) / (high - low)) * (to - from);
  return { place, low: back(low), high: back(high) };
}

function plot() {
  const chart = $("chart"), width = chart.clientWidth, height = chart.clientHeight;
  chart.replaceChildren();
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  places = new Map();
  best = new Set();
  const [x, y] = [column(state.x), column(state.y)];
  const drawable = (value, log) => value !== null && (!log || value > 0);
  const points = x ? shown.filter((row) => row.kind in data.marks && drawable(number(row, state.x), state.logx) && drawable(number(row, state.y), state.logy))
    .map((row) => ({ row, at: [number(row, state.x) * x.scale, number(row, state.y) * y.scale] })) : [];
  const missing = shown.length - points.length;
  $("count").textContent = `${shown.length} of ${rows.length} rows, ${points.length} points` + (missing ? `; ${missing} not measured on these axes${state.logx || state.logy ? " or not above 0" : ""}` : "");
  if (!points.length) {
    chart.append(svg("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "nothing to draw"));
    $("caption").textContent = "";
    return;
  }
  const [left, right, top, bottom] = [62, width - 14, 12, height - 46];
  const across = scaleOf(points.map((point) => point.at[0]), state.logx, left, right);
  const up = scaleOf(points.map((point) => point.at[1]), state.logy, bottom, top);
  for (const value of ticks(across.low, across.high, state.logx, width / 75)) {
    const at = across.place(value);
    chart.append(svg("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }), svg("text", { x: at, y: bottom + 17, "text-anchor": "middle" }, write(value)));
  }
  for (const value of ticks(up.low, up.high, state.logy, height / 60)) {
    const at = up.place(value);
    chart.append(svg("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }), svg("text", { x: left - 7, y: at + 4, "text-anchor": "end" }, write(value)));
  }
  chart.append(svg("text", { x: (left + right) / 2, y: height - 8, "text-anchor": "middle" }, x.label));
  chart.append(svg("text", { x: 14, y: (top + bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${(top + bottom) / 2})` }, y.label));
  for (const point of points) places.set(point.row.i, [across.place(point.at[0]), up.place(point.at[1])]);
  const goals = [x.better, y.better];
  if (state.x !== state.y && goals[0] && goals[1]) drawFronts(chart, points, goals);
  for (const { row } of [...points].sort((a, b) => (a.row.kind === "dense") - (b.row.kind === "dense"))) {
    const paint = painted(colour(row), row.kind === "dense"), [px, py] = places.get(row.i);
    const reach = (scale, key, at, edge) => Math.abs(scale.place(number(row, key) * column(key).scale + edge * spread(row, key) * column(key).scale) - at);
    const bars = [-1, 1].flatMap((edge) => [[edge * reach(across, state.x, px, edge), 0, state.x], [0, -edge * reach(up, state.y, py, edge), state.y]]);
    for (const [dx, dy, key] of bars) if (spread(row, key) && Number.isFinite(dx + dy)) chart.append(svg("line", { class: "bar", stroke: colour(row), x1: px, y1: py, x2: Math.min(right, Math.max(left, px + dx)), y2: Math.min(bottom, Math.max(top, py + dy)) }));
    chart.append(svg("path", { ...paint, class: `point ${paint.class}`, d: SHAPES[data.marks[row.kind][1]], transform: `translate(${px},${py})`, "data-row": row.i }));
  }
  for (const i of best) chart.append(svg("circle", { class: "ring", cx: places.get(i)[0], cy: places.get(i)[1], r: 9 }));
  $("caption").textContent = `${y.label} against ${x.label}: ${points.length} points` + (best.size ? `, ${best.size} on the Pareto front (line and rings; ◎ in the table)` + (x.tested || y.tested ? ", by the test split: to read, not to choose by" : "") : "; no Pareto front: which way is better is not known for both axes");
}

// The baseline is hollow.
function painted(paint, hollow) {
  return hollow ? { class: "dense", stroke: paint } : { class: "", fill: paint };
}

// A front per data set: accuracies on different test images cannot be compared.
function drawFronts(chart, points, goals) {
  for (const name of new Set(points.map((point) => point.row.texts[text.dataset]))) {
    const found = front(points.filter((point) => point.row.texts[text.dataset] === name), goals);
    found.forEach((point) => best.add(point.row.i));
    const at = found.map((point) => places.get(point.row.i));
    const steps = at.slice(1).map(([px, py]) => `H${px}V${py}`); // what lies beyond a step is dominated
    chart.append(svg("path", { class: "front", d: `M${at[0]}${steps.join("")}` }));
  }
}

function cells() {
  const keys = [...new Set([...data.table, state.x, state.y].filter((key) => key in index))];
  return [...data.texts.filter((item) => item.several || item.key === "name").map((item) => ({ key: item.key, label: item.key === "name" ? "run" : item.key, of: (row) => row.texts[text[item.key]] })),
    ...(rows === means ? [{ key: "n", label: "seeds", scale: 1, of: (row) => row.n }] : []),
    ...keys.map((key) => ({ key, label: column(key).label, scale: column(key).scale, of: (row) => number(row, key) }))];
}

function table() {
  const all = cells(), sorted = all.find((cell) => cell.key === state.sort);
  $("head").replaceChildren(...all.map((cell) => {
    const head = make("th", { scope: "col", class: cell.scale ? "number" : cell.key === "name" ? null : "about", "data-key": cell.key, "aria-sort": cell === sorted ? (state.down ? "descending" : "ascending") : null });
    head.append(make("button", { type: "button" }, cell.label));
    return head;
  }));
  const order = [...shown];
  if (sorted) order.sort((a, b) => compare(sorted.of(a), sorted.of(b), state.down));
  const count = state.all ? order.length : LIMIT;
  $("more").hidden = order.length <= count;
  $("more").textContent = `Show all ${order.length} rows`;
  $("body").replaceChildren(...order.slice(0, count).map((row) => {
    const line = make("tr", { tabindex: "0", "data-row": row.i, class: [best.has(row.i) ? "best" : "", state.chosen === row.i ? "chosen" : ""].join(" ").trim() || null });
    line.append(...all.map((cell) => cell.scale ? make("td", { class: "number" }, said(row, cell)) : make("td", { class: cell.key === "name" ? null : "about" }, cell.of(row) ?? "–")));
    line.firstChild.append(make("span", { class: "kind" }, row.kind));
    return line;
  }));
}

// A number as text, with its standard deviation over the seeds.
function said(row, cell) {
  const deviation = cell.key in index ? spread(row, cell.key) : 0;
  return write(cell.of(row), cell.scale) + (deviation ? ` ± ${write(Number(deviation.toPrecision(2)), cell.scale)}` : "");
}

function compare(a, b, down) { // what was not measured is last, whichever way
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
  return down ? -order : order;
}

function choose(i, scroll) {
  state.chosen = i;
  document.querySelectorAll(".chosen").forEach((element) => (element.tagName === "TR" ? element.classList.remove("chosen") : element.remove()));
  if (i === null) return;
  const find = () => $("body").querySelector(`[data-row="${i}"]`);
  if (!find() && scroll) showAll();
  const line = find();
  line?.classList.add("chosen");
  if (scroll) line?.scrollIntoView({ block: "nearest" });
  if (places.has(i)) $("chart").append(svg("circle", { class: "chosen", cx: places.get(i)[0], cy: places.get(i)[1], r: 12 }));
}

function showAll() {
  state.all = true;
  table();
}

function tip(i, px, py) {
  const box = $("tip"), row = rows[i];
  box.hidden = i === null;
  if (i === null) return;
  const list = make("dl");
  for (const cell of cells().filter((cell) => cell.scale)) list.append(make("dt", {}, cell.label), make("dd", {}, said(row, cell)));
  box.replaceChildren(make("strong", {}, `${row.kind} · ${row.texts[text.name]}`), make("p", {}, row.config.join("  ")), make("p", {}, row.folder), list);
  box.style.left = `${Math.max(4, Math.min(px + 14, innerWidth - box.offsetWidth - 8))}px`;
  box.style.top = `${Math.max(4, Math.min(py + 14, innerHeight - box.offsetHeight - 8))}px`;
}

function update() {
  const words = $("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const selects = [...$("filters").querySelectorAll("select")].filter((select) => select.value);
  shown = rows.filter((row) => words.every((word) => row.words.includes(word)) && selects.every((select) => row.texts[text[select.dataset.key]] === select.value));
  plot();
  table();
  choose(shown.some((row) => row.i === state.chosen) ? state.chosen : null, false);
}

function explain(name, path, paint) {
  const item = make("li"), icon = svg("svg", { viewBox: "-8 -8 16 16", "aria-hidden": "true" });
  icon.append(svg("path", { d: path, ...paint }));
  item.append(icon, ` ${name}`);
  $("legend").append(item);
}

function start() {
  for (const name of ["x", "y"]) {
    $(name).append(...data.numbers.map((item) => make("option", { value: item.key }, item.label)));
    $(name).value = state[name];
    $(name).addEventListener("change", () => { state[name] = $(name).value; if (name === "x") state.logx = $("logx").checked = column(state.x).log; update(); });
    $(`log${name}`).addEventListener("change", () => { state[`log${name}`] = $(`log${name}`).checked; update(); });
  }
  state.logx = $("logx").checked = Boolean(column(state.x)?.log);
  for (const item of data.texts.filter((item) => item.several && item.key !== "name")) {
    const select = make("select", { "data-key": item.key }), label = make("label", {}, `${item.key} `);
    const values = [...new Set(rows.map((row) => row.texts[text[item.key]]).filter((value) => value !== null))].sort();
    select.append(make("option", { value: "" }, "all"), ...values.map((value) => make("option", { value }, value)));
    label.append(select);
    $("filters").append(label);
  }
  for (const [model, paint] of Object.entries(data.models ?? {})) explain(model, SHAPES.circle, painted(paint, false));
  for (const [kind, [paint, shape]] of Object.entries(data.marks)) explain(kind, SHAPES[shape], painted(data.models || kind === "dense" ? "currentColor" : paint, kind === "dense"));
  if (means.some((row) => row.n > 1)) {
    rows = means;
    $("seeds").hidden = false;
    $("mean").addEventListener("change", () => { rows = $("mean").checked ? means : single; state.chosen = null; update(); });
  }
  const rowOf = (event) => { const found = event.target.closest?.("[data-row]"); return found ? Number(found.dataset.row) : null; };
  $("text").addEventListener("input", update);
  $("filters").addEventListener("change", (event) => event.target.id === "text" || update());
  $("more").addEventListener("click", showAll);
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("head").addEventListener("click", (event) => {
    const key = event.target.closest("th")?.dataset.key;
    if (!key) return;
    state.down = state.sort === key ? !state.down : false;
    state.sort = key;
    table();
    $("head").querySelector(`[data-key="${CSS.escape(key)}"] button`).focus();
  });
  $("chart").addEventListener("pointermove", (event) => tip(rowOf(event), event.clientX, event.clientY));
  $("chart").addEventListener("pointerleave", () => tip(null));
  $("chart").addEventListener("click", (event) => choose(rowOf(event), true));
  $("body").addEventListener("click", (event) => choose(rowOf(event), false));
  $("body").addEventListener("keydown", (event) => {
    const line = event.target.closest("tr");
    if (event.key === "Enter" || event.key === " ") choose(rowOf(event), false);
    else if (event.key === "ArrowDown") line.nextElementSibling?.focus();
    else if (event.key === "ArrowUp") line.previousElementSibling?.focus();
    else return;
    event.preventDefault();
  });
  new ResizeObserver(() => { plot(); choose(state.chosen, false); }).observe($("plot"));
  update();
}

start();
