"use strict";

const element = (id) => document.getElementById(id);
const [where, form, text, send, wall] = ["where", "form", "text", "send", "wall"].map(element);

// The nodes that the page knows, its own first; the next one is tried when a connection ends.
let places = [location.host];
let at = 0;
let attempts = 0;
let socket;

function connect() {
  const place = places[at % places.length];
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${place}/wall`);
  socket.onmessage = (event) => handle(JSON.parse(event.data));
  socket.onclose = () => {
    send.disabled = true;
    where.className = "gone";
    where.textContent = `the node at ${place} is gone; looking for another one …`;
    at += 1;
    attempts += 1;
    // Full jitter, so that not all pages of a node come to the next one at once.
    setTimeout(connect, Math.random() * Math.min(5000, 100 * 2 ** attempts));
  };
}

function handle(message) {
  if (message.node) {
    attempts = 0;
    at = Math.max(0, message.places.indexOf(places[at % places.length]));
    places = message.places.length > 0 ? message.places : places;
    send.disabled = false;
    where.className = "";
    where.textContent = `you are on ${message.node}, linked to ${message.link}`;
    where.title = `cluster id ${message.id}`;
    return;
  }
  const note = document.createElement("li");
  const from = document.createElement("span");
  from.textContent = `from ${message.from}`;
  note.append(from, message.text);
  wall.prepend(note);
}

form.onsubmit = (event) => {
  event.preventDefault();
  if (socket.readyState === WebSocket.OPEN && text.value) {
    socket.send(text.value);
    text.value = "";
  }
};

connect();
