// The notice board's page: what the WebSocket tells is shown, what is written goes by it or by REST.
"use strict";

const byId = (id) => document.getElementById(id);
const [status, statusText, notes, empty, form, text, refusal] =
  ["status", "status-text", "notes", "empty", "draft", "text", "refusal"].map(byId);

const FIRST_WAIT = 500;
const LONGEST_WAIT = 10_000;

let socket;
let wait = FIRST_WAIT;

function connect() {
  const url = new URL("/live", location);
  url.protocol = url.protocol.replace("http", "ws");
  socket = new WebSocket(url);
  socket.addEventListener("open", () => {
    wait = FIRST_WAIT;
  });
  socket.addEventListener("message", ({ data }) => handle(JSON.parse(data)));
  socket.addEventListener("close", () => {
    show("closed", "Not connected; trying again");
    setTimeout(connect, wait);
    wait = Math.min(2 * wait, LONGEST_WAIT);
  });
}

function handle(event) {
  switch (event.event) {
    case "board":
      notes.replaceChildren();
      event.notes.forEach(add);
      break;
    case "pinned":
      add(event.note);
      break;
    case "unpinned":
      byId(`note-${event.id}`)?.remove();
      break;
    case "watching":
      show("open", event.count === 1 ? "Only you are looking" : `${event.count} are looking`);
      break;
    case "refused":
      refuse(event.why);
      break;
  }
  empty.hidden = notes.childElementCount > 0;
}

function add({ id, text }) {
  const note = document.createElement("li");
  note.id = `note-${id}`;
  note.textContent = text;
  const remove = document.createElement("button");
  remove.type = "button";
  remove.textContent = "×";
  remove.setAttribute("aria-label", `Take down: ${text}`);
  remove.addEventListener("click", () => fetch(`/api/notes/${id}`, { method: "DELETE" }));
  note.append(remove);
  notes.prepend(note);
}

function show(state, words) {
  status.dataset.state = state;
  statusText.textContent = words;
}

function refuse(why) {
  refusal.textContent = why;
  refusal.hidden = !why;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  refuse("");
  const draft = JSON.stringify({ text: text.value });
  if (event.submitter?.value === "rest") {
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch("/api/notes", { method: "POST", headers, body: draft });
    if (!answer.ok) return refuse(await answer.text());
  } else if (socket.readyState === WebSocket.OPEN) {
    socket.send(draft);
  } else {
    return refuse("There is no connection; Pin by POST may still work");
  }
  text.value = "";
  text.focus();
});

connect();
