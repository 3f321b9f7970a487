// What pages do beyond links and forms, all of which work without it: they stay current, copy, show times in the
// reader's zone, and draw their tables. It stores nothing, and asks nobody but the server that it came from.
"use strict";

const root = new URL("../", document.currentScript.src);
const LATER = 1000; // ms between two looks at what has changed
const SILENCE = 15000; // ms after which to look although nothing was told: some numbers change by themselves
const PATIENCE = 6000; // ms for which a connection may be away before it is said

// Times: the server writes UTC, and the reader sees the own zone.
const zone = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" });
const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const two = (number) => String(number).padStart(2, "0");
const dayOf = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;

function localize(within) {
  for (const each of within.querySelectorAll("time:not([data-day])")) {
    const date = new Date(each.dateTime);
    const text = date.toLocaleTimeString("en-GB", clock);
    each.title = each.dateTime;
    each.textContent = "date" in each.dataset ? `${dayOf(date)} ${text}` : text;
  }
  const name = zone.formatToParts(new Date()).find((part) => part.type === "timeZoneName").value;
  for (const each of within.querySelectorAll("[data-zone]")) each.textContent = name;
}

// Copying.
function offerCopies(within) {
  for (const button of within.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  const text = button.textContent;
  button.textContent = button.dataset.done;
  setTimeout(() => { button.textContent = text; }, 2000);
});

// Charts: each shows the columns of a table that have a series, over the times of its first column.
const charts = new Map();
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const COLOURS = { well: "--well-mark", refused: "--wait-mark", bad: "--bad-mark", act: "--act" };

function columns(table) {
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...table.tBodies[0].rows];
  const shown = heads.map((head, index) => ({ head, index })).filter(({ head }) => head.dataset.series);
  const times = rows.map((row) => Date.parse(row.cells[0].querySelector("time").dateTime) / 1000);
  const values = shown.map(({ index }) => rows.map((row) => Number(row.cells[index].dataset.value)));
  return { name: heads[0].textContent, heads: shown.map(({ head }) => head), data: [times, ...values] };
}

// Each series stands on those before it. What is shown when one points at it is its own value.
function stacked([times, ...series]) {
  const sums = times.map(() => 0);
  return [times, ...series.map((values) => values.map((value, index) => (sums[index] += value)))];
}

function draw(plot) {
  const { name, heads, data } = columns(document.querySelector(`#${plot.dataset.plot} table`));
  const old = charts.get(plot);
  const shape = heads.map((head) => head.textContent).join("\n");
  if (old && old.shape === shape) {
    old.own = data;
    old.chart.setData(reversed(stacked(data)));
    return;
  }
  if (old) old.chart.destroy();
  plot.hidden = false;
  const state = { shape, own: data };
  const bars = uPlot.paths.bars({ size: [0.7, 40], align: 0 });
  const series = heads.map((head, index) => {
    const fill = colour(COLOURS[head.dataset.series] || `--series-${head.dataset.series}`);
    const value = (chart, shown, number, place) => (place === null ? "–" : state.own[index + 1][place].toLocaleString(undefined, { maximumFractionDigits: 4 }));
    return { label: head.textContent, stroke: fill, fill, width: 0, paths: bars, points: { show: false }, value };
  });
  const step = data[0].length > 1 ? data[0][1] - data[0][0] : 60;
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const options = {
    width: plot.clientWidth - 22, height: 190, cursor: { y: false, drag: { x: false, y: false } },
    legend: { live: true }, scales: { x: { range: (chart, low, high) => [low - step / 2, high + step / 2] }, y: { range: (chart, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [{ ...axis, grid: { show: false }, size: 26, space: 62, values: (chart, times) => times.map((time) => label(plot, time)) }, { ...axis, size: 46 }],
    series: [{ label: name, value: (chart, time) => (time === null ? "–" : label(plot, time)) }, ...series.reverse()],
  };
  state.chart = new uPlot(options, reversed(stacked(data)), plot);
  charts.set(plot, state);
}

const reversed = ([times, ...series]) => [times, ...series.reverse()]; // the highest first, so that all are seen
const label = (plot, time) => {
  const date = new Date(time * 1000);
  if (plot.dataset.step === "day") return date.toISOString().slice(5, 10);
  return `${two(date.getHours())}:${two(date.getMinutes())}`;
};

function drawAll(anew) {
  if (!window.uPlot) return;
  for (const plot of document.querySelectorAll("[data-plot]")) {
    if (anew && charts.has(plot)) {
      charts.get(plot).chart.destroy();
      charts.delete(plot);
    }
    draw(plot);
  }
}

// Staying current: events say that something has changed, and the server renders what is to be seen of it.
const live = [...document.querySelectorAll("[data-live]")];
const known = new Map(live.map((each) => [each.id, each.innerHTML]));
let looking = null;

async function look() {
  looking = null;
  const address = new URL(location.href);
  address.searchParams.set("part", "live");
  const answer = await fetch(address, { headers: { accept: "text/html" } }).catch(() => null);
  if (!answer || !answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const fresh of page.querySelectorAll("[data-live]")) replace(fresh);
}

function replace(fresh) {
  const old = document.getElementById(fresh.id);
  const selection = getSelection();
  if (!old || known.get(fresh.id) === fresh.innerHTML) return; // nothing moves without a reason
  if (!selection.isCollapsed && selection.containsNode(old, true)) return; // somebody is about to copy from it
  known.set(fresh.id, fresh.innerHTML);
  const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  old.replaceChildren(...fresh.childNodes);
  localize(old);
  offerCopies(old);
  if (focused) old.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  for (const plot of document.querySelectorAll(`[data-plot="${fresh.id}"]`)) if (window.uPlot) draw(plot);
}

function lookSoon() {
  looking ??= setTimeout(look, LATER);
}

let source = null;
let away = null;

function say(on) {
  clearTimeout(away);
  away = null;
  const state = document.getElementById("live");
  const text = on ? state.dataset.on : state.dataset.off;
  if (state.textContent === text) return;
  state.className = `live ${on ? "on" : "off"}`;
  state.textContent = text;
}

function listen() {
  source = new EventSource(new URL("api/events", root));
  for (const name of ["request", "problem", "circuit", "reloaded", "dropped"]) source.addEventListener(name, lookSoon);
  let opened = false;
  source.onopen = () => {
    say(true);
    if (opened) lookSoon(); // something may have happened in between
    opened = true;
  };
  source.onerror = () => { away ??= setTimeout(say, PATIENCE, false); }; // a stream ends each minute, and begins anew
}

if (live.length && document.getElementById("live")) {
  listen();
  setInterval(() => { if (source) lookSoon(); }, SILENCE);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source.close();
      source = null;
    } else if (!source) {
      listen();
      lookSoon();
    }
  });
}

localize(document);
offerCopies(document);
drawAll(false);
addEventListener("resize", () => drawAll(true));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(true));
