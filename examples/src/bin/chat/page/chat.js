// The chat page: one WebSocket to the server that sent this page, one JSON object in each text message.
// Whatever comes from others goes into the page by textContent only, never as markup.
'use strict';

const NAME_LIMIT = 32;
const ROOM_LIMIT = 32;
const TEXT_LIMIT = 2000;
const ENTRY_LIMIT = 500; // the log forgets its oldest entries, so that a page left open stays small

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
let following = true; // the log is scrolled to its end, and stays there
const people = new Map(); // id -> { id, name, version }, of the others in our room
const unconfirmed = []; // what the server has not answered yet, in order: { text } sent, { room } to enter

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
    me = { id, name };
    room = message.room;
    people.clear();
    for (const person of here) people.set(person.id, person);
    if (moved) {
      confirmed((it) => it.room !== undefined);
      // Whoever we write to may stay in another room: a message to one goes everywhere.
      if (recipient && people.has(recipient.id)) recipient.gone = false;
    } else {
      clearTimeout(timer);
      welcomedAt = Date.now();
      // Ids belong to one run of the server: after a restart an old id may be somebody else's.
      if (recipient) recipient.gone = people.get(recipient.id)?.name !== recipient.name;
    }
    show('open');
    showRoom();
    showPeople();
    showRecipient();
    note('notice', `You are ${again && !moved ? 'back ' : ''}in the room “${room}”, as ${name}.`);
    if (moved || !again) $('composer').focus();
  },
  joined(person) {
    if (person.id === me?.id) return;
    people.set(person.id, person);
    if (recipient?.id === person.id) { recipient.gone = false; showRecipient(); }
    showPeople();
    composerChanged();
    note('joined', `${person.name} joined`);
  },
  left({ id, name }) {
    people.delete(id);
    if (recipient?.id === id) { recipient.gone = true; showRecipient(); }
    showPeople();
    note('left', `${name} left`);
  },
  said(message) {
    if (message.from === me?.id) confirmed((it) => it.text === message.text);
    say('said', message);
  },
  told(message) {
    if (message.from === me?.id) confirmed((it) => it.text === message.text);
    say('told', message);
  },
  error({ text }) {
    if (welcomedAt) {
      // It answers what we sent last but one or more: answers come in the order of the questions.
      const failed = unconfirmed.shift();
      if (failed?.room !== undefined) return refuseRoom(text);
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
  welcomedAt = 0;
  recipient = null;
  unconfirmed.length = 0;
  hangUp();
  people.clear();
  $('log').replaceChildren();
  $('newest').hidden = true;
  showRecipient();
  show('closed');
  $('name').focus();
}

function move() {
  const wanted = $('where').value.trim();
  if (!welcomedAt) return;
  if (wanted === room) { showRoom(); return $('composer').focus(); }
  const fault = nameFault(wanted, ROOM_LIMIT);
  if (fault) return refuseRoom(fault);
  send({ type: 'enter', room: wanted });
  unconfirmed.push({ room: wanted });
}

function refuseRoom(why) {
  $('where-error').textContent = why;
  $('where').focus();
}

function submit() {
  const text = $('composer').value.trim();
  if (!text || !welcomedAt || recipient?.gone) return;
  send(recipient ? { type: 'tell', to: recipient.id, text } : { type: 'say', text });
  unconfirmed.push({ text });
  setComposer('');
  $('composer').focus();
}

function writeTo(person) {
  recipient = person && { id: person.id, name: person.name, gone: false };
  showRecipient();
  showPeople();
  $('composer').focus();
}

function setComposer(text) {
  $('composer').value = text;
  composerChanged();
}

function composerChanged() {
  const composer = $('composer');
  if (!CSS.supports('field-sizing', 'content')) {
    composer.style.height = 'auto';
    composer.style.height = `${composer.scrollHeight + 2}px`;
  }
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
}

function showPeople() {
  const sorted = [...people.values()].sort((a, b) => a.name.localeCompare(b.name));
  const focused = document.activeElement?.dataset?.id;
  $('people').replaceChildren(...[self(), ...sorted.map(personButton)].map((it) => element('li', {}, it)));
  $('people-count').textContent = String(people.size + 1);
  $('people-hint').textContent = people.size
    ? 'Choose somebody to write to them alone.'
    : 'Nobody else is here yet. Open this page once more, in another tab or on another device.';
  // The list is made anew; whoever walked it by keyboard stays where they were.
  if (focused) $('people').querySelector(`button[data-id="${CSS.escape(focused)}"]`)?.focus();
}

function self() {
  const box = element('div', { className: 'person self' },
    avatar(me.name), element('bdi', { className: 'who' }, me.name), element('span', { className: 'badge' }, 'you'));
  box.dataset.id = me.id;
  return box;
}

function personButton(person) {
  const chosen = recipient?.id === person.id && !recipient.gone;
  const draft = person.version.startsWith('draft') ? ' draft' : '';
  const button = element('button', { type: 'button', className: 'person', title: `Write to ${person.name} alone` },
    avatar(person.name), element('bdi', { className: 'who' }, person.name),
    element('span', { className: `badge${draft}`, title: 'Version of the WebSocket protocol' }, person.version));
  button.dataset.id = person.id;
  button.setAttribute('aria-pressed', String(chosen));
  button.onclick = () => writeTo(chosen ? null : person);
  return button;
}

function showRecipient() {
  $('recipient').hidden = !recipient;
  $('recipient').classList.toggle('gone', Boolean(recipient?.gone));
  $('compose').classList.toggle('to-one', Boolean(recipient));
  $('recipient-text').replaceChildren(
    ...(recipient ? ['to ', element('bdi', {}, recipient.name), recipient.gone ? ' (left)' : ''] : []));
  $('composer').placeholder = recipient ? `Write to ${recipient.name} alone` : 'Write to all in this room';
  composerChanged();
}

/** Adds a line about what happened. */
function note(kind, text) {
  append(element('div', { className: `entry ${kind}` }, element('span', {}, `${text} `), clock()));
}

/** Adds a message, to all (`said`) or to one (`told`). */
function say(kind, { from, name, to, text }) {
  const mine = from === me.id;
  const time = clock();
  const entry = element('div', { className: `entry ${kind}${mine ? ' mine' : ''}` },
    avatar(name),
    element('div', { className: 'bubble' },
      element('p', { className: 'byline' },
        element('bdi', { className: 'from' }, name),
        ...(kind === 'told' ? [only(mine, to)] : []),
        time),
      element('p', { className: 'text', dir: 'auto' }, text)));
  // Messages of the same person in the same minute hang together under one byline.
  entry.dataset.thread = [kind, from, to, time.textContent].join(' ');
  if ($('log').lastElementChild?.dataset.thread === entry.dataset.thread) entry.classList.add('follows');
  append(entry, mine);
  if (!mine && document.hidden) { unread += 1; document.title = `(${unread}) Chat`; }
}

function only(mine, to) {
  const known = people.get(to) ?? [me, recipient].find((person) => person?.id === to);
  const name = mine ? (known?.name ?? 'somebody') : 'you';
  return element('span', { className: 'only' }, 'only to ', element('bdi', {}, name));
}

function append(entry, follow = false) {
  const log = $('log');
  log.append(entry);
  while (log.childElementCount > ENTRY_LIMIT) log.firstElementChild.remove();
  if (following || follow) scrollToEnd();
  else $('newest').hidden = false;
}

function scrollToEnd() {
  $('log').scrollTop = $('log').scrollHeight;
}

function clock() {
  const now = new Date();
  return element('time', { dateTime: now.toISOString() },
    now.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
}

function avatar(name) {
  const box = element('span', { className: 'avatar' }, [...name][0].toUpperCase());
  box.setAttribute('aria-hidden', 'true');
  let hue = 0;
  for (const character of name) hue = (hue * 31 + character.codePointAt(0)) % 360;
  box.style.setProperty('--hue', hue);
  return box;
}

/** Makes an element; children that are strings become text, whatever they contain. */
function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
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
  $('newest').onclick = scrollToEnd;
  $('composer').oninput = composerChanged;
  $('composer').onkeydown = (event) => {
    // Enter that ends the choice of a character (Chinese, Japanese, …) is not Enter.
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit(); }
    if (event.key === 'Escape' && recipient) writeTo(null);
  };
  let lastTop = 0;
  $('log').onscroll = () => {
    const log = $('log');
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 48;
    // Only somebody who scrolls up stops following; a log that became smaller does not.
    following = atEnd || (following && log.scrollTop >= lastTop);
    lastTop = log.scrollTop;
    if (following) $('newest').hidden = true;
  };
  // The banner, the keyboard of a phone and a long text make the log smaller.
  new ResizeObserver(() => { if (following) scrollToEnd(); }).observe($('log'));
  addEventListener('online', reconnectNow);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) { unread = 0; document.title = 'Chat'; }
  });

  const query = new URLSearchParams(location.search);
  room = query.get('room');
  let name = query.get('name');
  const asked = name !== null; // `/?name=Ana&room=garden` goes straight in
  try { name ??= localStorage.getItem('name'); } catch { /* private mode */ }
  $('name').value = name ?? '';
  show('closed');
  if (asked) enter();
}

start();
