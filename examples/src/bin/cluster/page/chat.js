// The page: it shows the log of the chat, keeps the last position, and goes to another node when its own is gone.
"use strict";

const byId = (id) => document.getElementById(id);
const [status, door, nameField, room, log, composer, text, nodes, incomplete] =
  ["status", "door", "name", "room", "log", "composer", "text", "nodes", "incomplete"].map(byId);

const LONGEST_WAIT = 3000; // milliseconds
const REFUSED = 1008; // the close code for what another node would refuse, too

let name;
let socket;
let places = [location.host]; // the nodes that the page knows, its own first
let wait = 100;
let own; // this connection, as the cluster knows it
let node; // the node that the page is on, or was on
let last; // the position of the last message that the page has
let since = 0; // how many messages came while the page caught up
const pending = new Map(); // what was written and is not in the log yet, by its id
const seen = new Set(); // the ids of what the page shows

function connect() {
  const place = places[0];
  const connection = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${place}/chat`);
  socket = connection;
  since = 0;
  connection.onopen = () => send({ type: "join", name, after: last });
  connection.onmessage = ({ data }) => handle(JSON.parse(data));
  connection.onclose = ({ code, reason }) => {
    if (code === REFUSED) {
      show("gone", reason);
      return;
    }
    show("gone", `${own ? node : place} is gone; looking for another node …`);
    own = undefined;
    // The next one; this one is the last that is tried again.
    places.push(places.shift());
    // Jitter, so that the pages of a node do not come to the next one all at once.
    setTimeout(connect, Math.random() * wait);
    wait = Math.min(2 * wait, LONGEST_WAIT);
  };
}

function handle(message) {
  switch (message.type) {
    case "start":
      last = message.position;
      break;
    case "said":
      last = message.position;
      said(message.entry);
      break;
    case "gap":
      last = message.position;
      line("gap", message.missed === null
        ? "Messages may be missing here: the log began anew."
        : `${message.missed} messages are missing here: the log no longer has them.`);
      break;
    case "here":
      arrive(message);
      break;
    case "cluster":
      overview(message);
      break;
    case "failed": {
      const words = pending.get(message.id)?.text;
      settle(message.id);
      line("failed", `“${words}” is not sent: ${message.why}`);
      break;
    }
  }
}

/** The page has all that it missed. */
function arrive(here) {
  if (node) line("note", `${node} was gone; back on ${here.node}. Messages in between: ${since}`);
  ({ id: own, node } = here);
  wait = 100;
  show("open", `${name}, you are on ${node}`);
  paint(status, node);
  // What is not in the log did not reach it. If it does so late, it is there twice, and shown once.
  for (const entry of pending.values()) send({ type: "say", id: entry.id, text: entry.text });
}

function said(entry) {
  settle(entry.id);
  if (seen.has(entry.id)) return;
  seen.add(entry.id);
  since += 1;
  log.append(bubble(entry));
  toEnd();
}

function bubble({ id, name: author, node: at, text: words }) {
  const item = element("li", "said");
  item.classList.toggle("mine", id.startsWith(page));
  const from = element("div", "from", author);
  from.append(element("small", "", at));
  item.append(from, element("div", "words", words));
  paint(item, at);
  return item;
}

const page = `${crypto.getRandomValues(new Uint32Array(2)).join(".")}-`;
let written = 0;

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const entry = { id: `${page}${written++}`, name, node: "not sent yet", text: text.value };
  entry.item = bubble(entry);
  entry.item.classList.add("pending");
  pending.set(entry.id, entry);
  log.append(entry.item);
  toEnd();
  text.value = "";
  if (own) send({ type: "say", id: entry.id, text: entry.text });
});

/** Takes a message away that waits: it is in the log now, or will never be. */
function settle(id) {
  pending.get(id)?.item.remove();
  pending.delete(id);
}

/** Shows the nodes, and who is on which. */
function overview({ nodes: all, complete }) {
  incomplete.hidden = complete;
  nodes.replaceChildren(...all.map(card));
  const others = all.map(({ addr }) => addr).filter((addr) => addr && addr !== places[0]);
  if (others.length > 0) places = [places[0], ...others];
}

function card({ name: label, addr, connections, people }) {
  const item = element("li", "node");
  item.classList.toggle("own", label === node);
  const title = element("div", "title", label);
  title.append(element("span", "", connections === 1 ? "1 connection" : `${connections} connections`));
  const link = element("a", "", addr);
  link.href = `//${addr}/`;
  const list = element("div", "people");
  for (const person of people) {
    const chip = element("span", "person", person.name);
    chip.classList.toggle("you", person.id === own);
    list.append(chip);
  }
  item.append(title, link, list);
  paint(item, label);
  return item;
}

function show(state, words) {
  status.dataset.state = state;
  status.textContent = words;
}

function line(kind, words) {
  log.append(element("li", kind, words));
  toEnd();
}

/** What waits stays below what is in the log. */
function toEnd() {
  for (const { item } of pending.values()) log.append(item);
  log.scrollTop = log.scrollHeight;
}

/** Gives an element the hue of a node. */
function paint(item, label) {
  item.dataset.node = label;
  item.style.setProperty("--hue", String((Number(label.replace(/\D/g, "")) * 137 + 70) % 360));
}

function element(kind, className, words = "") {
  const made = document.createElement(kind);
  made.className = className;
  made.textContent = words;
  return made;
}

function send(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function enter() {
  name = nameField.value.trim();
  if (!name) return;
  door.hidden = true;
  room.hidden = false;
  text.focus();
  show("connecting", "connecting …");
  connect();
}

door.addEventListener("submit", (event) => {
  event.preventDefault();
  enter();
});

nameField.value = new URLSearchParams(location.search).get("name") ?? "";
enter();
