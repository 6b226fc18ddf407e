"use strict";

// What others say and are called comes into the page by textContent alone, as text.
const $ = (id) => document.getElementById(id);
const maxText = 4096; // bytes, as the server has it
const maxShown = 500; // messages
const maxConnecting = 10_000; // ms
const maxSilence = 60_000; // ms; a server says all 25 s that it is alive

let socket; // the WebSocket; undefined: nobody is inside
let me, room;
let since = 0; // the last message that was shown, of those that are kept
let tries = 0; // connects in vain since the last that succeeded
let been = false; // inside, so that messages may be missing when it is again
let moving = false; // the server has said that it goes, and timer is set
let timer; // for the next connect
let silence; // a timer: nothing was heard of the socket for too long
let unkept = false; // what is said is not kept now
let server = location.origin, servers = [server]; // where to connect now, and where else
let names = new Set(), count = 0;
let unread = 0;

function element(name, text, kind) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  if (kind) e.className = kind;
  return e;
}

// The door.

const address = new URLSearchParams(location.search);
try {
  $("name").value = sessionStorage.getItem("name") || "";
} catch { /* it may not be allowed */ }
if (address.has("room")) $("room").value = address.get("room");

$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  me = $("name").value.trim();
  room = $("room").value.trim();
  const bad = [me, room].some((s) => !s || [...s].length > 32 || /[^\P{C}]|[^\P{Z} ]/u.test(s));
  $("refused").textContent = bad ? "A name has from 1 to 32 characters, all of which can be seen." : "";
  if (bad) return;
  try {
    sessionStorage.setItem("name", me);
  } catch { /* then it is typed again */ }
  history.replaceState(null, "", "?" + new URLSearchParams({ room }));
  $("title").textContent = room;
  $("door").hidden = true;
  $("inside").hidden = false;
  since = tries = unread = 0;
  been = moving = unkept = false;
  retitle();
  connect();
  $("text").focus();
});

$("leave").addEventListener("click", () => {
  const s = socket;
  socket = undefined;
  clearTimeout(timer);
  clearTimeout(silence);
  s.close(1000);
  $("said").replaceChildren();
  here([], 0);
  document.title = "Chat";
  $("inside").hidden = true;
  $("door").hidden = false;
  $("name").focus();
});

// The connection. One that ends is tried again, at the next server if there are several: soon at first, then less and
// less often, and each page at a time of its own, so that a server that comes back, or those that are left, are not
// met by all at once.

function connect() {
  clearTimeout(timer);
  moving = false;
  state(false, "connecting …");
  const url = new URL("ws", server === location.origin ? location.href : server);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams({ room, name: me, since });
  const s = socket = new WebSocket(url);
  waitFor(s, maxConnecting);
  s.onopen = () => {
    if (s !== socket) return;
    waitFor(s, maxSilence);
    state(true, "connected");
  };
  s.onmessage = (event) => {
    if (s !== socket) return;
    waitFor(s, maxSilence);
    show(JSON.parse(event.data));
  };
  s.onclose = (event) => {
    if (s === socket) ended(event.code === 1013 ? event.reason : "");
  };
}

// waitFor gives a socket up of which nothing is heard in time: a server that dies, or a network that is gone, need not
// say so. The browser may wait long for the end of such a socket, so nothing here waits for that.
function waitFor(s, time) {
  clearTimeout(silence);
  silence = setTimeout(() => {
    s.onopen = s.onmessage = s.onclose = null;
    s.close();
    ended("nothing is heard of the server");
  }, time);
}

// ended is called when the socket is of no use any more.
function ended(why) {
  clearTimeout(silence);
  if (moving) {
    state(false, "not connected, moving soon");
    return;
  }
  const wait = Math.min(30_000, 1000 * 2 ** tries) * (0.5 + Math.random() / 2);
  tries++;
  next();
  state(false, `${why ? why + "; " : ""}not connected, trying again in ${Math.ceil(wait / 1000)} s`);
  timer = setTimeout(connect, wait);
}

// next chooses another server, if there is one.
function next() {
  const others = servers.filter((s) => s !== server);
  if (others.length) server = others[Math.floor(Math.random() * others.length)];
}

// move goes to another server after a random part of a time. The one that says so serves until then.
function move(within) {
  moving = true;
  clearTimeout(timer);
  timer = setTimeout(() => {
    const s = socket;
    next();
    connect();
    s.close(1000);
  }, within * Math.random());
}

window.addEventListener("online", () => {
  if (socket && socket.readyState > WebSocket.OPEN) connect();
});

function state(on, text) {
  $("link").className = on ? "on" : "";
  $("link").textContent = text;
  $("send").disabled = !on;
  $("names").parentElement.className = on ? "" : "away"; // who is here is not known
}

// What the server tells.

function show(event) {
  switch (event.type) {
    case "message":
      since = event.seq ?? since;
      message(event);
      break;
    case "hello":
      if (been && (!event.history || unkept)) missing();
      been = true;
      unkept = false; // it is told again where it is so
      servers = [...new Set([location.origin, ...event.origins])];
      break;
    case "here":
      tries = 0; // inside
      here(event.names, event.count);
      break;
    case "presence":
      for (const name of event.joined ?? []) {
        names.add(name);
        note(name, "came");
      }
      for (const name of event.left ?? []) {
        names.delete(name);
        note(name, "left");
      }
      here(names, event.count);
      break;
    case "gap":
    case "lost":
      missing();
      break;
    case "unkept":
      unkept = true;
      add(element("li", "What is said now is not kept for those who come back.", "note"));
      break;
    case "kept":
      unkept = false;
      add(element("li", "What is said now is kept again.", "note"));
      break;
    case "move":
      move(event.within);
      break;
  }
}

function missing() {
  add(element("li", "Messages may be missing here.", "note"));
}

function here(list, n) {
  names = new Set(list);
  count = n;
  $("count").textContent = n ? `· ${n}` : "";
  const sorted = [...names].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  $("names").replaceChildren(...sorted.map((name) => {
    const li = element("li", name, name === me ? "me" : "");
    li.dir = "auto";
    li.title = name;
    return li;
  }));
  const more = Math.max(0, n - names.size);
  $("more").hidden = more === 0;
  $("more").textContent = `and ${more} more`;
}

function hue(name) {
  let h = 0;
  for (const c of name) h = (h * 31 + c.codePointAt(0)) % 360;
  return h;
}

function message({ from, text, time }) {
  const at = new Date(time);
  const last = $("said").lastElementChild;
  const goesOn = last && last.dataset.from === from && time - last.dataset.time < 5 * 60_000;
  const li = element("li", undefined, "message" + (goesOn ? "" : " first") + (from === me ? " mine" : ""));
  li.dataset.from = from;
  li.dataset.time = time;
  if (!goesOn) {
    const head = element("div", undefined, "from"), name = element("b"), when = element("time");
    name.append(element("bdi", from));
    name.style.setProperty("--hue", hue(from));
    when.dateTime = at.toISOString();
    when.textContent = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    head.append(name, when);
    li.append(head);
  }
  const body = element("div", text, "text");
  body.dir = "auto";
  li.append(body);
  add(li);
  if (document.hidden && from !== me) {
    unread++;
    retitle();
  }
}

// note tells that somebody came or left; several in one line.
function note(name, did) {
  let li = $("said").lastElementChild;
  if (!li || li.dataset.did !== did) {
    li = element("li", undefined, "note");
    li.dataset.did = did;
    li.names = [];
    add(li);
  }
  li.names.push(name);
  const shown = li.names.slice(-5), more = li.names.length - shown.length;
  li.replaceChildren(more ? `${more} more, ` : "", ...shown.flatMap((n, i) => [i ? ", " : "", element("bdi", n)]), ` ${did}`);
}

// add shows something at the end, which stays in view if it was.
function add(li) {
  const list = $("said");
  const follows = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(li);
  while (list.childElementCount > maxShown) list.firstElementChild.remove();
  if (follows || li.classList.contains("mine")) list.scrollTop = list.scrollHeight;
  else $("newest").hidden = false;
}

$("said").addEventListener("scroll", () => {
  const list = $("said");
  if (list.scrollHeight - list.scrollTop - list.clientHeight < 40) $("newest").hidden = true;
});
$("newest").addEventListener("click", () => { $("said").scrollTop = $("said").scrollHeight; });

function retitle() {
  document.title = (unread ? `(${unread}) ` : "") + room + " – Chat";
}
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && socket) {
    unread = 0;
    retitle();
  }
});

// What is typed. It stays there while it cannot be sent.

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  const bytes = new TextEncoder().encode(text).length;
  $("trouble").textContent = bytes > maxText ? `A message has up to ${maxText} bytes; this has ${bytes}.` : "";
  if (!text || bytes > maxText || socket.readyState !== WebSocket.OPEN) return;
  socket.send(text);
  $("text").value = "";
});

$("text").addEventListener("input", () => { $("trouble").textContent = ""; });

$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("say").requestSubmit();
  }
});
