"use strict";

const $ = (id) => document.getElementById(id);

// A stream of events that ends is opened again by the browser itself.
new EventSource("clock").onmessage = (event) => {
  $("clock").textContent = new Date(event.data).toLocaleTimeString();
};

// A WebSocket is not.
let socket;
function connect() {
  const url = new URL("ws", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  socket = new WebSocket(url);
  socket.onopen = () => state(true, "connected to /ws");
  socket.onmessage = (event) => { $("heard").textContent = `“${event.data}” came back`; };
  socket.onclose = () => {
    state(false, "not connected, trying again soon");
    setTimeout(connect, 1000 + 2000 * Math.random());
  };
}

function state(on, text) {
  $("send").disabled = !on;
  $("link").textContent = text;
}

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket.readyState === WebSocket.OPEN) socket.send($("text").value);
});

connect();
