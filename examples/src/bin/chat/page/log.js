// What both the log and the lists of the page are made of, and the one place where they are put into the page: once in
// a frame, however much has arrived. Nothing here reads a position or a size, so a frame has one layout.

const ENTRY_LIMIT = 500; // the log forgets its oldest entries, so that a page left open stays small
const COLOURS = 12; // as many as style.css has; each has a contrast of 4.5:1 on every ground of a name
const NAME_LIMIT = 1000; // names whose colour is remembered
const END = 1e7; // further down than any log is long

const log = document.getElementById('log');
const newest = document.getElementById('newest');
const waiting = []; // entries for the next frame; no more than the log keeps, as a hidden tab has no frames
const tasks = new Set(); // what else the next frame does
const colours = new Map(); // name -> its colour
let frame = 0;
let thread = ''; // of the last entry
let following = true; // the log is scrolled to its end, and stays there
let scrolls = false;

/** Makes an element; children that are strings become text, whatever they contain. */
export function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Calls a function in the next frame: once, however often this is called before. */
export function inNextFrame(task) {
  tasks.add(task);
  frame ||= requestAnimationFrame(paint);
}

/** Adds a line about what happened. */
export function note(kind, text) {
  thread = '';
  append(element('div', { className: `entry ${kind}` }, element('span', {}, `${text} `), clock()));
}

/** Adds a message, to all (`said`) or to one (`told`), `beside` which it says to whom. */
export function say(kind, { from, name, to, text }, mine, ...beside) {
  const time = clock();
  const entry = element('div', { className: `entry ${kind}${mine ? ' mine' : ''}` },
    avatar(name),
    element('div', { className: 'bubble' },
      element('p', { className: 'byline' }, coloured(element('bdi', { className: 'from' }, name), name), ...beside, time),
      element('p', { className: 'text', dir: 'auto' }, text)));
  // Messages of the same person in the same minute hang together under one byline.
  const before = thread;
  thread = [kind, from, to, time.textContent].join(' ');
  if (thread === before) entry.classList.add('follows');
  append(entry, mine);
}

export function clearLog() {
  waiting.length = 0;
  thread = '';
  log.replaceChildren();
  newest.hidden = true;
}

/** Makes the picture of somebody: their first letter on their colour. */
export function avatar(name) {
  const box = coloured(element('span', { className: 'avatar' }, [...name][0].toUpperCase()), name);
  box.setAttribute('aria-hidden', 'true');
  return box;
}

function coloured(made, name) {
  made.dataset.colour = colourOf(name);
  return made;
}

/** A name keeps its colour. A new one gets the colour that the fewest names have, near to that of its letters. */
function colourOf(name) {
  if (colours.has(name)) return colours.get(name);
  const used = new Array(COLOURS).fill(0);
  for (const colour of colours.values()) used[colour] += 1;
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 9973;
  const fewest = Math.min(...used);
  let colour = hash % COLOURS;
  // 5 has no divisor in common with 12: this tries all colours, and those that follow each other are unlike.
  while (used[colour] > fewest) colour = (colour + 5) % COLOURS;
  if (colours.size === NAME_LIMIT) colours.delete(colours.keys().next().value);
  colours.set(name, colour);
  return colour;
}

function append(entry, follow = false) {
  waiting.push(entry);
  if (waiting.length > ENTRY_LIMIT) waiting.shift();
  scrolls ||= follow;
  frame ||= requestAnimationFrame(paint);
}

function paint() {
  frame = 0;
  for (const task of tasks) task();
  tasks.clear();
  if (!waiting.length) return;
  let surplus = log.childElementCount + waiting.length - ENTRY_LIMIT;
  log.append(...waiting.splice(0));
  for (; surplus > 0; surplus -= 1) log.firstElementChild.remove();
  // The byline that it hung under may be gone.
  log.firstElementChild.classList.remove('follows');
  if (following || scrolls) scrollToEnd();
  else newest.hidden = false;
  scrolls = false;
}

function clock() {
  const now = new Date();
  return element('time', { dateTime: now.toISOString() }, FORMAT.format(now));
}

const FORMAT = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit' });

function scrollToEnd() {
  // The browser takes the end for what is behind it; to ask for the height would be one layout more.
  log.scrollTop = END;
}

let lastTop = 0;
log.onscroll = () => {
  // This comes at the start of a frame, before anything changes the page, so that these are known already.
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 48;
  // Only somebody who scrolls up stops following; a log that became smaller does not.
  following = atEnd || (following && log.scrollTop >= lastTop);
  lastTop = log.scrollTop;
  if (following) newest.hidden = true;
};
newest.onclick = () => { scrollToEnd(); log.focus(); };
// The banner, the keyboard of a phone and a long text make the log smaller.
new ResizeObserver(() => { if (following) scrollToEnd(); }).observe(log);
