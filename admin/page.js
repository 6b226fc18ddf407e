"use strict";

// The page shows what /events sends each second, and a part of /conns when it is asked to.
const $ = (id) => document.getElementById(id);
const seconds = 300; // that a chart shows
const pageSize = 50; // connections of the table

function element(name, text, attributes = {}) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
}

function short(n, unit = "") {
  let at = 0;
  const steps = ["", "k", "M", "G", "T"];
  for (; Math.abs(n) >= 1000 && at < steps.length - 1; at++) n /= 1000;
  return n.toFixed(n < 10 && at > 0 ? 1 : 0) + " " + steps[at] + unit;
}

function time(ns) {
  for (const [of, unit] of [[86400e9, "d"], [3600e9, "h"], [60e9, "min"], [1e9, "s"], [1e6, "ms"]])
    if (ns >= of) return (ns / of).toFixed(ns / of < 10 ? 1 : 0) + " " + unit;
  return (ns / 1e3).toFixed(0) + " µs";
}

// A chart has one or two lines, and the newest value of each as text.
class Chart {
  constructor(title, names, value, text) {
    Object.assign(this, { value, text, lines: names.map(() => []) });
    const figure = element("figure"), caption = element("figcaption");
    this.said = element("b");
    caption.append(element("span", title), this.said);
    const ns = "http://www.w3.org/2000/svg";
    this.svg = document.createElementNS(ns, "svg");
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.paths = names.map((name) => {
      const path = document.createElementNS(ns, "path");
      const tip = document.createElementNS(ns, "title");
      tip.textContent = name;
      path.append(tip);
      this.svg.append(path);
      return path;
    });
    figure.append(caption, this.svg);
    $("charts").append(figure);
  }
  add(now, before) {
    const values = this.value(now, before);
    values.forEach((v, i) => {
      this.lines[i].push(v);
      if (this.lines[i].length > seconds) this.lines[i].shift();
    });
    const most = Math.max(1e-9, ...this.lines.flat());
    const span = Math.max(60, this.lines[0].length); // so that the first minutes are no sliver
    this.svg.setAttribute("viewBox", `0 0 ${span - 1} 100`);
    this.lines.forEach((line, i) => {
      const from = span - line.length;
      this.paths[i].setAttribute("d", line.map((v, x) => `${x ? "L" : "M"}${from + x} ${98 - 96 * v / most}`).join(""));
    });
    this.said.textContent = values.map(this.text).join(" · ");
  }
}

const rate = (of) => (now, before) => of.map((f) => (now.stats[f] - before.stats[f]) / now.passed);
const charts = [
  new Chart("Received · sent, bytes a second", ["received", "sent"], rate(["BytesIn", "BytesOut"]), (v) => short(v, "B")),
  new Chart("Receives · sends a second", ["receives", "sends"], rate(["Receives", "Sends"]), (v) => short(v)),
  new Chart("Connections", ["open"], (now) => [now.stats.Accepted + now.stats.Dialed - now.stats.Closed], (v) => String(v)),
  new Chart("Accepted · gone a second", ["accepted", "gone"], rate(["Accepted", "Closed"]), (v) => short(v)),
  new Chart("A round of a loop: median · 99 %", ["median", "99 %"], (now) => [now.rounds.median_ns, now.rounds.p99_ns], time),
  new Chart("Waits to be sent · not consumed", ["outbound", "inbound"], (now) => [now.stats.Pending, now.stats.Kept], (v) => short(v, "B")),
];

// rows fills a table. What is in the first columns is text, the rest are numbers.
function rows(table, list, text = 1) {
  table.replaceChildren(...list.map((cells) => {
    const tr = element("tr");
    cells.forEach((cell, i) => {
      const td = cell instanceof Node ? element("td") : element("td", cell);
      if (cell instanceof Node) td.append(cell);
      if (i >= text) td.className = "n";
      tr.append(td);
    });
    return tr;
  }));
}

function bar(of, most) {
  const p = element("progress", undefined, { max: "1" });
  p.value = most ? of / most : 0;
  return p;
}

let before;
function show(now) {
  $("engine").textContent = `${now.backend}, ${now.loops} loops ${now.detail}`;
  $("auth").hidden = !now.actions;
  if (before) {
    now.passed = Math.max(0.1, (Date.parse(now.time) - Date.parse(before.time)) / 1000);
    charts.forEach((c) => c.add(now, before));
  }
  before = now;
  const s = now.stats;
  rows($("memory"), [
    ["to be sent", bar(s.Pending, s.MaxPending), `${short(s.Pending, "B")} of ${short(s.MaxPending, "B")}`],
    ["not consumed", bar(s.Kept, s.MaxKept), `${short(s.Kept, "B")} of ${short(s.MaxKept, "B")}`],
  ]);
  const took = (name, t) => [name, String(t.count), time(t.median_ns), time(t.p99_ns), time(t.most_ns)];
  rows($("took"), [["", "number", "median", "99 %", "longest"], took("rounds", now.rounds), took("callbacks", now.calls)]);
  const causes = Object.entries(now.causes).filter(([, n]) => n).sort((a, b) => b[1] - a[1]).map(([c, n]) => [c, String(n)]);
  rows($("causes"), causes.length ? causes : [["none yet"]]);
  servers(now.servers || [], now.actions);
  rows($("trouble"), [["panics", s.Panics], ["slow callbacks", s.SlowCallbacks], ["accept errors", s.AcceptErrors], ["descriptors or memory ran out", s.Starved],
    ["writes refused", s.Limited.Writes], ["TLS handshakes failed", Object.entries(s.Handshakes).reduce((n, [k, v]) => k === "Done" ? n : n + v, 0)]].map(([k, v]) => [k, String(v)]));
}

// The table of servers is made anew only when it changes, so that a click meets its button.
let shown = "";
function servers(list, actions) {
  const text = JSON.stringify([list, actions]);
  if (text === shown) return;
  shown = text;
  rows($("servers"), list.map((v) => {
    const cells = [v.name, v.address || "does not listen", v.max_conns ? `${v.conns} of ${v.max_conns}` : String(v.conns)];
    if (actions) {
      const all = element("span", undefined, { class: "actions" });
      for (const what of ["pause", "resume", "drain"]) all.append(button(what, `servers/${encodeURIComponent(v.name)}/${what}`, what === "drain" && `Drain ${v.name}?`));
      cells.push(all);
    }
    return cells;
  }), 2);
}

function button(text, path, question) {
  const b = element("button", text, { type: "button" });
  b.onclick = async () => {
    if (question && !confirm(question)) return;
    const r = await fetch(path, { method: "POST", headers: { Authorization: "Bearer " + $("token").value } });
    $("said").textContent = r.ok ? `${text}: done` : await r.text();
    if (r.ok) list();
  };
  return b;
}

// The table of connections.
const columns = [["id", "ID"], ["remote", "Peer"], ["", "Here"], ["state", "State"], ["bytes_in", "In"], ["bytes_out", "Out"], ["pending", "Pending"], ["age_ns", "Age"], ["idle_ns", "Idle"]];
const texts = 4; // the first ones are no numbers to compare
let from = 0, sort = "-bytes_in";

async function list() {
  const q = new URLSearchParams({ search: $("search").value, sort, from, limit: pageSize });
  const r = await fetch("conns?" + q);
  if (!r.ok) {
    $("said").textContent = await r.text();
    return;
  }
  const total = Number(r.headers.get("Total-Count")), conns = await r.json();
  $("range").textContent = conns.length ? `${from + 1}–${from + conns.length} of ${total}` : `none of ${total}`;
  $("back").disabled = from === 0;
  $("forth").disabled = from + conns.length >= total;
  const head = element("tr");
  for (const [i, [field, name]] of columns.entries()) {
    const arrow = sort === field ? " ▲" : sort === "-" + field ? " ▼" : "";
    const th = element("th", name + arrow, field ? { "data-sort": field } : {});
    if (i >= texts) th.className = "n";
    if (field) th.onclick = () => { sort = sort === "-" + field ? field : "-" + field; from = 0; list(); };
    head.append(th);
  }
  $("conns").tHead.replaceChildren(head);
  rows($("conns").tBodies[0], conns.map((c) => {
    const cells = [String(c.id), c.remote, c.local, c.state, short(c.bytes_in, "B"), short(c.bytes_out, "B"), short(c.pending, "B"), time(c.age_ns), time(c.idle_ns)];
    if (before && before.actions) cells.push(button("close", `conns/${c.id}/close`), button("abort", `conns/${c.id}/abort`));
    return cells;
  }), texts);
}

$("find").onsubmit = (e) => { e.preventDefault(); from = 0; list(); };
$("back").onclick = () => { from = Math.max(0, from - pageSize); list(); };
$("forth").onclick = () => { from += pageSize; list(); };

const events = new EventSource("events");
events.onmessage = (e) => {
  const first = !before;
  $("link").textContent = "live";
  $("link").className = "on";
  show(JSON.parse(e.data));
  if (first) list();
};
events.onerror = () => {
  $("link").textContent = "no answer";
  $("link").className = "off";
};
