// The chat page: one WebSocket to the server that sent this page, one JSON object in each text message.
// Whatever comes from others goes into the page by textContent only, never as markup.

import { avatar, clearLog, element, inNextFrame, note, say } from './log.js';

const NAME_LIMIT = 32;
const ROOM_LIMIT = 32;
const TEXT_LIMIT = 2000;
const LOBBY = 'lobby'; // where the server puts those who name no room
const PEOPLE_SHOWN = 200; // of a room that has more
const TALK_LIMIT = 20; // the last people that one wrote to alone, or got something from

// RFC 6455 §7.2.3: the first delay is random, so that a restarted server does not meet everybody at
// once; later ones grow by truncated binary exponential back-off.
const FIRST_DELAY = 5_000;
const LONGEST_DELAY = 60_000;
const JOIN_PATIENCE = 10_000; // from "connect" to "welcome"; then the attempt counts as failed
const SETTLED_AFTER = 10_000; // a connection that held this long starts the back-off afresh

const $ = (id) => document.getElementById(id);

let connection = null; // the WebSocket, while there is one
let inside = false; // the user wants to be in the chat
let me = null; // { id, name } from the last welcome; its name survives a lost connection
let room = null; // where we are, or want to be when we come back; null is where the server puts us
let welcomedAt = 0; // when this connection was welcomed; 0 before that
let attempt = 0; // failed attempts since the last settled connection
let retryAt = 0;
let timer = 0; // the one timer: join patience, or the countdown
let recipient = null; // { id, name, gone }: whom the composer writes to; null is everybody
let unread = 0;
let rooms = []; // { name, people }, as the server listed them last
const people = new Map(); // id -> { id, name, version }, of the others in our room
const talks = new Map(); // id -> { id, name }, of those we talk to alone, in whatever room; the last ones come last
const unconfirmed = []; // what the server has not answered yet, in order: { text, to } sent, { room } to enter

// ---- connection -------------------------------------------------------------------------------

function connect() {
  clearTimeout(timer);
  welcomedAt = 0;
  show('connecting');
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const opened = new WebSocket(`${scheme}://${location.host}/chat`);
  connection = opened;
  timer = setTimeout(() => { hangUp(); lost(); }, JOIN_PATIENCE);

  // An event of a connection that was given up means nothing any more.
  const ours = (handle) => (event) => { if (connection === opened) handle(event); };
  opened.onopen = ours(() => send({ type: 'join', name: $('name').value, room }));
  opened.onmessage = ours((event) => receive(event.data));
  opened.onclose = ours(() => { connection = null; lost(); });
}

function hangUp() {
  const old = connection;
  connection = null;
  clearTimeout(timer);
  old?.close();
}

function lost() {
  clearTimeout(timer);
  if (welcomedAt) {
    note('notice', 'The connection is lost.');
    if (Date.now() - welcomedAt > SETTLED_AFTER) attempt = 0;
    welcomedAt = 0;
  }
  for (const { text } of unconfirmed.splice(0)) if (text) note('error', `Perhaps not delivered: ${text}`);
  retryAt = Date.now() + delay(attempt++);
  show('waiting');
  countDown();
}

function delay(attempt) {
  if (attempt === 0) return Math.random() * FIRST_DELAY;
  const ceiling = Math.min(FIRST_DELAY * 2 ** attempt, LONGEST_DELAY);
  return ceiling * (0.5 + Math.random() / 2);
}

function countDown() {
  // The clock decides, not the number of ticks: a tab in the background ticks slowly.
  const left = retryAt - Date.now();
  if (left <= 0) return connect();
  $('countdown').textContent = `Trying again in ${Math.ceil(left / 1000)}\u00a0s.`;
  timer = setTimeout(countDown, Math.min(left, 250));
}

function reconnectNow() {
  if (inside && !connection) connect();
}

function send(message) {
  connection.send(JSON.stringify(message));
}

// ---- what the server says ---------------------------------------------------------------------

function receive(data) {
  let message;
  try { message = JSON.parse(data); } catch { return; } // not our protocol: ignore it
  // A type that a later server invents is ignored, too.
  if (Object.hasOwn(heard, message?.type)) heard[message.type](message);
}

const heard = {
  welcome(message) {
    const moved = welcomedAt > 0; // else we have just come in
    const again = me !== null;
    const { id, name, here } = message;
    // The ids of a server end with it, and so do talks with those who were on it.
    if (again && nodeOf(id) !== nodeOf(me.id)) loseNode(nodeOf(me.id));
    me = { id, name };
    room = message.room;
    people.clear();
    for (const person of here) people.set(person.id, person);
    if (moved) {
      confirmed((it) => it.room !== undefined);
    } else {
      clearTimeout(timer);
      welcomedAt = Date.now();
      send({ type: 'rooms' });
    }
    // A name is for one: who has it now is another one, or has come back under another id.
    for (const person of here) forgetNamesakes(person);
    show('open');
    showRoom();
    inNextFrame(showPeople);
    showRecipient();
    note('notice', `You are ${again && !moved ? 'back ' : ''}in the room “${room}”, as ${name}.`);
    if (!here.length && (moved || !again)) note('notice', 'Nobody else is here yet. What you write is seen by those who are here when you send it.');
    if (moved || !again) $('composer').focus();
  },
  joined(person) {
    if (person.id === me?.id) return;
    people.set(person.id, person);
    forgetNamesakes(person);
    inNextFrame(showPeople);
    inNextFrame(showRecipient);
    note('joined', `${person.name} joined`);
  },
  left({ id, name }) {
    people.delete(id);
    // They may be in another room, where a message to one reaches them. Who leaves the chat is `gone`, too.
    inNextFrame(showPeople);
    inNextFrame(showRecipient);
    note('left', `${name} left`);
  },
  gone({ id }) {
    if (talks.has(id) || recipient?.id === id) lose(id);
  },
  said(message) {
    heardFrom('said', message);
  },
  told(message) {
    const mine = message.from === me?.id;
    const other = mine ? { id: message.to, name: nameOf(message.to) } : { id: message.from, name: message.name };
    talkWith(other);
    heardFrom('told', message, ...only(mine, other));
  },
  rooms(message) {
    rooms = message.rooms;
    inNextFrame(showRooms);
  },
  error({ text }) {
    if (welcomedAt) {
      // It answers what we sent last but one or more: answers come in the order of the questions.
      const failed = unconfirmed.shift();
      if (failed?.room !== undefined) return refuseRoom(text);
      // The server names whom it did not find.
      if (failed?.to && text.includes(failed.to)) lose(failed.to);
      if (failed && !$('composer').value) setComposer(failed.text);
      note('error', text);
    } else if (me) {
      // We were in already and cannot come back: our old connection may not be noticed as dead yet.
      note('error', text);
      hangUp();
      lost();
    } else {
      leave();
      $('name-error').textContent = text;
    }
  },
};

function heardFrom(kind, message, ...beside) {
  const mine = message.from === me?.id;
  if (mine) confirmed((it) => it.text === message.text);
  else if (document.hidden) { unread += 1; document.title = `(${unread}) Chat`; }
  say(kind, message, mine, ...beside);
}

function confirmed(matches) {
  const index = unconfirmed.findIndex(matches);
  if (index >= 0) unconfirmed.splice(index, 1);
}

// ---- what the user does -----------------------------------------------------------------------

function enter() {
  const name = $('name').value.trim();
  $('name').value = name;
  const fault = nameFault(name, NAME_LIMIT);
  $('name-error').textContent = fault;
  if (fault) return $('name').focus();
  try { localStorage.setItem('name', name); } catch { /* private mode: then it is not remembered */ }
  inside = true;
  attempt = 0;
  connect();
}

function nameFault(name, limit) {
  return !name ? 'Please enter a name.'
    : [...name].length > limit ? `A name has at most ${limit} characters.`
    : /\p{Cc}/u.test(name) ? 'A name cannot contain control characters.'
    : '';
}

function leave() {
  inside = false;
  me = null;
  room = null;
  $('door-room').textContent = LOBBY;
  welcomedAt = 0;
  recipient = null;
  unconfirmed.length = 0;
  hangUp();
  people.clear();
  talks.clear();
  rooms = [];
  clearLog();
  showRecipient();
  show('closed');
  $('name').focus();
}

function move() {
  const wanted = $('where').value.trim();
  if (!welcomedAt) return;
  if (wanted === room) { showRoom(); return focusComposer(); }
  const fault = nameFault(wanted, ROOM_LIMIT);
  if (fault) return refuseRoom(fault);
  send({ type: 'enter', room: wanted });
  unconfirmed.push({ room: wanted });
}

/** Goes to a room that is in the list. */
function goTo(name) {
  $('where').value = name;
  move();
}

function refuseRoom(why) {
  $('where-error').textContent = why;
  $('where').focus();
}

function submit() {
  const text = $('composer').value.trim();
  if (!text || !welcomedAt || recipient?.gone) return;
  send(recipient ? { type: 'tell', to: recipient.id, text } : { type: 'say', text });
  unconfirmed.push({ text, to: recipient?.id });
  setComposer('');
  focusComposer();
}

/** To focus what has the focus already would cost a layout. */
function focusComposer() {
  if (document.activeElement !== $('composer')) $('composer').focus();
}

function writeTo(person) {
  recipient = person && { id: person.id, name: person.name, gone: false };
  if (person) talkWith(person);
  showRecipient();
  inNextFrame(showPeople);
  focusComposer();
}

/** Remembers a talk with one, so that it goes on when either of us changes the room. */
function talkWith({ id, name }) {
  if (id === me.id) return;
  talks.delete(id);
  talks.set(id, { id, name });
  if (talks.size > TALK_LIMIT) talks.delete(talks.keys().next().value);
  inNextFrame(showPeople);
}

/** Forgets somebody who is not in the chat any more. */
function lose(id) {
  talks.delete(id);
  if (recipient?.id === id) recipient.gone = true;
  inNextFrame(showPeople);
  showRecipient();
}

function loseNode(node) {
  for (const { id } of [...talks.values(), recipient ?? { id: '' }]) if (nodeOf(id) === node) lose(id);
}

/** An id is that of a server, and of a connection there. */
function nodeOf(id) {
  return id.split('-')[0];
}

function forgetNamesakes(person) {
  for (const { id, name } of [...talks.values(), recipient ?? {}]) {
    if (name === person.name && id !== person.id) lose(id);
  }
}

function nameOf(id) {
  const known = people.get(id) ?? talks.get(id) ?? [me, recipient].find((person) => person?.id === id);
  return known?.name ?? 'somebody';
}

function setComposer(text) {
  $('composer').value = text;
  composerChanged();
}

function composerChanged() {
  const composer = $('composer');
  if (!SIZES_ITSELF) inNextFrame(sizeComposer);
  const open = welcomedAt > 0;
  const left = TEXT_LIMIT - composer.value.length;
  whereChanged();
  $('send').disabled = !open || Boolean(recipient?.gone) || !composer.value.trim();
  $('compose-hint').textContent =
    inside && !open ? (composer.value ? 'Not connected: what you wrote is kept.' : '')
    : recipient?.gone ? goneHint()
    : left <= 200 ? `${left} characters left`
    : '';
}

const SIZES_ITSELF = CSS.supports('field-sizing', 'content');

function sizeComposer() {
  const composer = $('composer');
  composer.style.height = 'auto';
  composer.style.height = `${composer.scrollHeight + 2}px`;
}

function whereChanged() {
  const wanted = $('where').value.trim();
  $('go').disabled = !welcomedAt || !wanted || wanted === room;
}

function goneHint() {
  // The page does not choose the namesake itself: it may be somebody else.
  const namesake = [...people.values()].some((person) => person.name === recipient.name);
  return namesake ? `${recipient.name} is here again: choose them once more.` : `${recipient.name} is not here any more.`;
}

// ---- showing it -------------------------------------------------------------------------------

const STATES = {
  connecting: 'Connecting…',
  open: 'Connected',
  waiting: 'Disconnected',
  closed: 'Not connected',
};

function show(state) {
  $('status').dataset.state = state;
  $('status-text').textContent = STATES[state];
  // While it tries again the banner stays, so that the page does not jump at every attempt.
  const again = state === 'connecting' && attempt > 0;
  $('banner').hidden = state !== 'waiting' && !again;
  $('banner-text').textContent = me ? 'The connection is lost.' : 'The server does not answer.';
  $('countdown').textContent = again ? 'Connecting…' : '';
  $('reconnect').disabled = again;
  $('door').hidden = me !== null;
  $('room').hidden = me === null;
  $('room').classList.toggle('offline', state !== 'open');
  $('leave').hidden = !inside;
  $('leave').textContent = me ? 'Leave' : 'Cancel';
  $('name').disabled = inside;
  $('enter').disabled = inside;
  $('enter').textContent = inside ? 'Joining…' : 'Join the chat';
  composerChanged();
}

function showRoom() {
  $('where').value = room;
  $('where-error').textContent = '';
  whereChanged();
  inNextFrame(showRooms);
}

function showRooms() {
  if (!me) return;
  const counts = new Map(rooms.map(({ name, people }) => [name, people]));
  // Where we are is known here first, and the lobby is always a way back.
  if (!counts.has(LOBBY)) counts.set(LOBBY, 0);
  counts.set(room, people.size + 1);
  $('room').classList.toggle('alone', counts.size === 1);
  replace($('rooms'), [...counts].map(([name, count]) => roomButton(name, count)));
}

function roomButton(name, count) {
  const button = element('button', { type: 'button', className: 'room' },
    element('bdi', { className: 'who' }, name),
    element('span', { className: 'count' }, String(count), element('span', { className: 'unseen' }, ' here')));
  button.dataset.key = name;
  if (name === room) button.setAttribute('aria-current', 'true');
  button.onclick = () => goTo(name);
  return button;
}

function showPeople() {
  if (!me) return;
  const sorted = [...people.values()].sort((a, b) => COLLATOR.compare(a.name, b.name));
  const elsewhere = [...talks.values()].filter(({ id }) => !people.has(id));
  const rows = [self(), ...elsewhere.map(personButton), ...sorted.slice(0, PEOPLE_SHOWN).map(personButton)];
  replace($('people'), rows);
  const more = sorted.length - PEOPLE_SHOWN;
  $('people-count').textContent = String(people.size + 1);
  $('people-hint').textContent =
    more > 0 ? `And ${more} more.`
    : people.size ? 'Choose somebody to write to them alone.'
    : 'Nobody else is here yet. Open this page once more, in another tab or on another device.';
  showRooms();
}

const COLLATOR = new Intl.Collator();

/** Makes a list anew; whoever walks it by keyboard stays where they are. */
function replace(list, rows) {
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  list.replaceChildren(...rows.map((row) => element('li', {}, row)));
  if (focused !== undefined) list.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function self() {
  const box = element('div', { className: 'person self' },
    avatar(me.name), element('bdi', { className: 'who' }, me.name), element('span', { className: 'badge' }, 'you'));
  return box;
}

function personButton(person) {
  const chosen = recipient?.id === person.id && !recipient.gone;
  const here = people.has(person.id);
  const details = here ? `connected by ${person.version}` : 'not in this room';
  const button = element('button', { type: 'button', className: here ? 'person' : 'partner' },
    avatar(person.name),
    element('span', { className: 'who' },
      element('bdi', {}, person.name), element('span', { className: 'details' }, details)));
  button.title = `Write to ${person.name} alone`;
  button.dataset.key = person.id;
  button.setAttribute('aria-pressed', String(chosen));
  button.onclick = () => writeTo(chosen ? null : person);
  return button;
}

function showRecipient() {
  const where = !recipient || people.has(recipient.id) ? '' : recipient.gone ? ' (left)' : ', not in this room';
  $('recipient').hidden = !recipient;
  $('recipient').classList.toggle('gone', Boolean(recipient?.gone));
  $('compose').classList.toggle('to-one', Boolean(recipient));
  $('recipient-text').replaceChildren(...(recipient ? ['Only to ', element('bdi', {}, recipient.name), where] : []));
  $('composer').placeholder = recipient ? `Write to ${recipient.name} alone` : 'Write to all in this room';
  composerChanged();
}

/** Says whom a message is for, with a button for the mouse: by keyboard there is the list of people. */
function only(mine, other) {
  if (mine) return [element('span', { className: 'only' }, 'only to ', element('bdi', {}, other.name))];
  const reply = element('button', { type: 'button', className: 'reply', tabIndex: -1 }, 'Reply');
  reply.onclick = () => writeTo(other);
  return [element('span', { className: 'only' }, 'only to you'), reply];
}

// ---- wiring -----------------------------------------------------------------------------------

function start() {
  $('door').onsubmit = (event) => { event.preventDefault(); enter(); };
  $('compose').onsubmit = (event) => { event.preventDefault(); submit(); };
  $('move').onsubmit = (event) => { event.preventDefault(); move(); };
  $('where').oninput = () => { $('where-error').textContent = ''; whereChanged(); };
  $('where').onkeydown = (event) => {
    if (event.key === 'Escape' && !event.isComposing) { showRoom(); $('composer').focus(); }
  };
  $('leave').onclick = leave;
  $('reconnect').onclick = reconnectNow;
  $('to-all').onclick = () => writeTo(null);
  $('composer').oninput = composerChanged;
  $('composer').onkeydown = (event) => {
    // Enter that ends the choice of a character (Chinese, Japanese, …) is not Enter.
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit(); }
    if (event.key === 'Escape' && recipient) writeTo(null);
  };
  addEventListener('online', reconnectNow);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) { unread = 0; document.title = 'Chat'; }
  });

  const query = new URLSearchParams(location.search);
  room = query.get('room');
  $('door-room').textContent = room ?? LOBBY;
  let name = query.get('name');
  const asked = name !== null; // `/?name=Ana&room=garden` goes straight in
  try { name ??= localStorage.getItem('name'); } catch { /* private mode */ }
  $('name').value = name ?? '';
  show('closed');
  if (asked) enter();
}

start();
