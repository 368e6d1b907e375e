// The dashboard: samples of a server's counters come over its own WebSocket, once a second, and are drawn. What they
// contain is described in ../sample.rs. Names from the server go into the page as text only.

import { Chart, SPAN, element } from './charts.js';

const RETRY = 2_000; // milliseconds between two attempts to connect; the page is for a few people
const STALE = 3; // seconds without a sample, behind which the numbers are not those of now
const MINUTE = 60; // seconds: what is wrong is looked for in the last minute, and what is rare in all five

// From where on a value is worth a look.
const MANY = 5; // closes or refusals in a minute
const BROKEN_PART = 0.2; // of the closes without a closing handshake
const REFUSED_PART = 0.1; // of the upgrades
const LOST_PART = 0.2; // of the connections within a minute
const LONG_QUEUE = 1 << 20; // bytes, for LONG seconds
const LONG = 15;
const QUIET = 8; // seconds without a change, behind which a node's counters stand still
const SAID = 4; // how often a node has to say something for its rates, which are means of about 15 s
const SLOW = 1_000; // milliseconds of a ping of 95 %

const $ = (id) => document.getElementById(id);

let samples = []; // the last five minutes, oldest first, each with its time in seconds
let points = []; // what is drawn: a point for each two samples
let survey = null;
const heard = new Map(); // id of a node -> what it said of itself lately, the oldest first: { at, published, received }
let arrivedAt = 0; // of the last sample, by the clock of this page
let looking = 0; // seconds before now
let paused = null; // { points, now, clock } of the moment that is kept
let drawing = 0;

// ---- the feed ---------------------------------------------------------------------------------

function connect() {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const socket = new WebSocket(`${scheme}://${location.host}/dashboard/feed`);
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === 'history') { samples = []; points = []; survey = null; heard.clear(); message.samples.forEach(add); }
    if (message.type === 'now') {
      add(message.sample);
      if (message.survey) take(message.survey);
    }
    arrivedAt = performance.now();
    show();
  };
  socket.onclose = () => { setTimeout(connect, RETRY); show(); };
}

function add(sample) {
  const time = sample.at / 1000;
  const before = samples.at(-1);
  // The newest of the history can come again.
  if (before && time <= before.time) return;
  samples.push({ ...sample, time });
  if (before) points.push(point(before, samples.at(-1)));
  while (samples[0].time < time - SPAN) samples.shift();
  while (points.length && points[0].time < time - SPAN) points.shift();
}

/** Takes a survey; it comes with each sample and is made anew less often. */
function take(next) {
  survey = next;
  const nodes = next.cluster?.nodes ?? [];
  for (const { id, published, received } of nodes) {
    const said = heard.get(id) ?? [];
    heard.set(id, said);
    const last = said.at(-1);
    const at = performance.now() / 1000;
    // A node says something new each five seconds; a silent one has no rate.
    if (!last || last.published !== published || last.received !== received || at - last.at > QUIET) {
      said.push({ at, published, received });
      if (said.length > SAID) said.shift();
    }
  }
  for (const id of heard.keys()) if (!nodes.some((node) => node.id === id)) heard.delete(id);
}

function nodeRate(id, key) {
  const said = heard.get(id);
  const [first, last] = [said[0], said.at(-1)];
  return first === last ? '–' : perSecond((last[key] - first[key]) / (last.at - first.at));
}

/** Makes rates of counters. */
function point(before, now) {
  const seconds = now.time - before.time;
  const rate = (of) => (of(now) - of(before)) / seconds;
  return {
    time: now.time,
    open: sum(now.open),
    drafts: sum(now.open) - (now.open.rfc6455 ?? 0),
    opening: now.opening,
    opened: rate((it) => it.opened),
    closed: rate((it) => sum(it.closes)),
    refused: rate((it) => sum(it.rejections)),
    messagesIn: rate((it) => it.received[0]),
    messagesOut: rate((it) => it.sent[0]),
    bytesIn: rate((it) => it.received[1]),
    bytesOut: rate((it) => it.sent[1]),
    queued: now.queued,
    dropped: rate((it) => it.dropped),
    slow: rate((it) => it.slow),
    latency: now.latency,
  };
}

function sum(table) {
  return Object.values(table).reduce((total, count) => total + count, 0);
}

/** How much a counter has grown in the last seconds. */
function grown(seconds, of) {
  const now = samples.at(-1);
  const since = samples.find(({ time }) => time >= now.time - seconds);
  return of(now) - of(since);
}

// ---- what is wrong ----------------------------------------------------------------------------

/** Returns what an operator should know first, the worst first: { level, title, detail, number? }. */
function issues() {
  const found = [];
  const tell = (level, title, detail, number) => found.push({ level, title, detail, number });
  const age = (performance.now() - arrivedAt) / 1000;
  if (age > STALE) tell('bad', 'No data', `The server has sent nothing for ${Math.round(age)} s. All numbers are old.`);
  const now = samples.at(-1);
  const inMinute = (of) => grown(MINUTE, of);
  const code = (...codes) => (it) => codes.reduce((total, each) => total + (it.closes[each] ?? 0), 0);

  const most = Math.max(...points.filter(({ time }) => time >= now.time - MINUTE).map(({ open }) => open), 0);
  const open = sum(now.open);
  if (most - open >= MANY && open < most * (1 - LOST_PART)) tell('bad', 'Connections are lost', `${count(most)} were open within the last minute, ${count(open)} are now.`, 'open');
  const panics = grown(SPAN, (it) => it.panics);
  if (panics) tell('bad', 'A handler panics', `${count(panics)} times in the last five minutes; the log has the messages.`);
  const dropped = inMinute((it) => it.dropped);
  if (dropped) tell('bad', 'Messages are dropped', `${count(dropped)} in the last minute, because peers read too slowly.`, 'dropped');
  const failed = inMinute(code('1011'));
  if (failed) tell('bad', 'Connections end by a failure', `${count(failed)} with 1011 in the last minute.`);
  const slow = inMinute((it) => it.slow);
  if (slow) tell('warn', 'Slow peers are closed', `${count(slow)} in the last minute had a full send queue.`, 'queued');
  const lately = points.filter(({ time }) => time > now.time - LONG);
  const least = Math.min(...lately.map(({ queued }) => queued));
  if (lately.length && least >= LONG_QUEUE) tell('warn', 'Bytes wait to be written', `At least ${bytes(least)} for ${LONG} s: peers or the network take less than is sent.`, 'queued');
  const [closed, broken] = [inMinute((it) => sum(it.closes)), inMinute(code('1006'))];
  if (broken >= MANY && broken > closed * BROKEN_PART) tell('warn', 'Connections break', `${count(broken)} of ${count(closed)} that ended in the last minute had no closing handshake (1006).`);
  const rude = inMinute(code('1002', '1003', '1007', '1008', '1009', '1010'));
  if (rude >= MANY) tell('warn', 'Rules are broken', `${count(rude)} connections in the last minute; see the closes by code.`);
  const [refused, opened] = [inMinute((it) => sum(it.rejections)), inMinute((it) => it.opened)];
  if (refused >= MANY && refused > (refused + opened) * REFUSED_PART) tell('warn', 'Upgrades are refused', `${count(refused)} in the last minute, beside ${count(opened)} that were opened; mostly: ${mostly()}.`);
  if (now.latency?.p95 > SLOW) tell('warn', 'Pings take long', `5 % of the connections need more than ${millis(now.latency.p95)}.`, 'latency');
  clusterIssues(tell);
  return found.sort((a, b) => LEVELS.indexOf(b.level) - LEVELS.indexOf(a.level));
}

function clusterIssues(tell) {
  const cluster = survey?.cluster;
  if (cluster && cluster.state !== 'up') tell('bad', 'No link to the other nodes', `${cluster.state} for ${duration(cluster.since)}${cluster.error ? `: ${cluster.error}` : ''}`);
  if (!samples.at(-1).cluster) return;
  // A node that was linked later than the page was opened has older samples without a cluster.
  const lost = (of) => grown(MINUTE, (it) => (it.cluster ? of(it.cluster) : 0));
  const [missed, dropped] = [lost((it) => it.missed), lost((it) => it.dropped)];
  if (missed) tell('bad', 'Messages of other nodes were missed', `${count(missed)} in the last minute.`);
  if (dropped) tell('bad', 'Messages for other nodes were dropped', `${count(dropped)} in the last minute.`);
}

function mostly() {
  const reasons = Object.keys(samples.at(-1).rejections);
  const by = (reason) => grown(MINUTE, (it) => it.rejections[reason] ?? 0);
  return reasons.sort((a, b) => by(b) - by(a))[0];
}

const LEVELS = ['good', 'warn', 'bad'];

// ---- showing it -------------------------------------------------------------------------------

function show() {
  drawing ||= requestAnimationFrame(() => { drawing = 0; if (samples.length) paint(); });
}

function paint() {
  const stale = (performance.now() - arrivedAt) / 1000 > STALE;
  $('live').dataset.state = stale ? 'lost' : 'live';
  text($('live'), stale ? '✕ No data' : paused ? '❚❚ Charts paused' : '● Live');
  const found = issues();
  showIssues(found);
  showNumbers(found);
  showCharts(paused ?? { points, now: samples.at(-1).time, clock: Date.now() });
  showTable($('closes'), (it) => it.closes, CODES);
  showTable($('rejections'), (it) => it.rejections, REASONS);
  showSurvey();
}

function showCharts({ points, now, clock }) {
  const later = points.findIndex(({ time }) => time >= now + looking);
  const looked = looking && later >= 0 ? later : points.length - 1;
  text($('looked'), looking || paused ? new Date(clock + looking * 1000).toLocaleTimeString() : 'now');
  for (const chart of charts) chart.draw(points, now, looked);
}

/** To write what is there already would be work for the browser, and news for a screen reader. */
function text(place, words) {
  if (place.textContent !== words) place.textContent = words;
}

function showIssues(found) {
  const level = found[0]?.level ?? 'good';
  const title = { good: '✓ Nothing looks wrong', warn: 'Worth a look', bad: 'Something is wrong' }[level];
  $('verdict').dataset.level = level;
  text($('verdict-title'), title);
  text($('verdict-aloud'), [title, ...found.map((it) => it.title)].join('. '));
  const bad = found.filter((it) => it.level === 'bad').length;
  document.title = `${bad ? `(${bad}) ` : ''}Dashboard`;
  $('issues').replaceChildren(...found.map(({ level, title, detail }) => {
    const item = element('li', {}, element('b', {}, `${title}.`), ` ${detail}`);
    item.dataset.level = level;
    return item;
  }));
}

function showNumbers(found) {
  const now = points.at(-1);
  if (!now) return;
  const latency = samples.at(-1).latency;
  const rows = [
    ['open', 'Connections', count(now.open), `${count(now.opening)} opening`],
    ['in', 'Messages in', perSecond(now.messagesIn), `${bytes(now.bytesIn)}/s`],
    ['out', 'Messages out', perSecond(now.messagesOut), `${bytes(now.bytesOut)}/s`],
    ['queued', 'Wait to be written', bytes(now.queued), `most ${bytes(Math.max(...points.map((it) => it.queued)))}`],
    ['dropped', 'Dropped in 5 min', count(grown(SPAN, (it) => it.dropped)), `${count(grown(SPAN, (it) => it.slow))} slow closed`],
    ['latency', 'Ping, median', latency ? millis(latency.median) : '–', latency ? `95 %: ${millis(latency.p95)}` : 'no pong yet'],
  ];
  $('numbers').replaceChildren(...rows.map(([key, title, value, more]) => {
    const box = element('div', {}, element('dt', {}, title), element('dd', {}, value, ' ', element('small', {}, more)));
    const level = found.find((it) => it.number === key)?.level;
    if (level) box.dataset.level = level;
    return box;
  }));
}

function showTable(place, of, meanings) {
  const known = Object.entries(of(samples.at(-1)));
  const rows = known.map(([key, total]) => [key, grown(SPAN, (it) => of(it)[key] ?? 0), total]);
  rows.sort((a, b) => b[1] - a[1] || b[2] - a[2]);
  place.replaceChildren(...rows.map(([key, lately, total]) => {
    const [meaning, level] = meanings[key] ?? ['', ''];
    const recent = cell(count(lately), 'num');
    if (lately && level) recent.dataset.level = level;
    return element('tr', {}, cell(key), cell(meaning), recent, cell(count(total), 'num'));
  }));
  if (!rows.length) place.append(none(4, 'none so far'));
}

function cell(content, className = '') {
  return element('td', { className }, content);
}

function none(columns, why) {
  return element('tr', {}, element('td', { className: 'none', colSpan: columns }, why));
}

function showSurvey() {
  const { topics, cluster } = survey ?? {};
  if (topics) {
    text($('topics-count'), topics.of < topics.count ? `of ${count(topics.of)}, there are ${count(topics.count)}` : topics.count ? `of ${count(topics.count)}` : '');
    $('topics').replaceChildren(...topics.largest.map(([len, name]) => element('tr', {}, cell(element('bdi', {}, name)), cell(count(len), 'num'))));
    if (!topics.largest.length) $('topics').append(none(2, 'no topic has members'));
  }
  $('cluster').hidden = !cluster;
  if (!cluster) return;
  const more = cluster.count > (cluster.nodes?.length ?? 0) ? `, ${cluster.count} in all` : '';
  text($('cluster-state'), `${cluster.state}${more}${cluster.complete === false ? ', the list may lack some' : ''}`);
  $('nodes').replaceChildren(...(cluster.nodes ?? []).map((node) => {
    const losses = ['missed', 'dropped'].map((key) => {
      const made = cell(count(node[key]), 'num');
      if (node[key]) made.dataset.level = 'bad';
      return made;
    });
    return element('tr', {},
      cell(element('bdi', {}, `${node.name || node.id}${node.own ? ' (this one)' : ''}`)), cell(count(node.connections), 'num'),
      cell(nodeRate(node.id, 'published'), 'num'), cell(nodeRate(node.id, 'received'), 'num'), ...losses,
      cell(bytes(node.queued + node.inbound), 'num'), cell(node.lag === null ? '–' : millis(node.lag), 'num'));
  }));
}

// ---- units ------------------------------------------------------------------------------------

function digits(value) {
  return value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 1 : 0 });
}

function count(value) {
  return value < 100_000 ? Math.round(value).toLocaleString('en') : scaled(value, 1000, ['', ' k', ' M', ' G']);
}

function perSecond(value) {
  return `${value < 100_000 ? digits(value) : scaled(value, 1000, ['', ' k', ' M', ' G'])}/s`;
}

function bytes(value) {
  return scaled(value, 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB']);
}

function scaled(value, step, units) {
  let unit = 0;
  while (value >= step && unit < units.length - 1) { value /= step; unit += 1; }
  return `${digits(value)}${units[unit]}`;
}

function millis(value) {
  return value >= 1000 ? `${digits(value / 1000)} s` : `${value < 1 ? value.toPrecision(1) : digits(value)} ms`;
}

function duration(milliseconds) {
  return milliseconds < 120_000 ? `${Math.round(milliseconds / 1000)} s` : `${Math.round(milliseconds / 60_000)} min`;
}

// RFC 6455 §7.4.1, and the registry.
const CODES = {
  1000: ['done', ''], 1001: ['going away', ''], 1002: ['broke the protocol', 'warn'], 1003: ['cannot take the data', 'warn'],
  1005: ['no code', ''], 1006: ['no closing handshake', 'warn'], 1007: ['text is no UTF-8', 'warn'], 1008: ['policy', 'warn'],
  1009: ['message too big', 'warn'], 1010: ['extension missing', 'warn'], 1011: ['failure of the server', 'bad'],
  1012: ['restart', ''], 1013: ['try again later', 'warn'], 1014: ['bad gateway', 'warn'], 1015: ['TLS failed', 'warn'],
  '3000-3999': ['of libraries', ''], '4000-4999': ['of the application', ''], other: ['not defined', 'warn'],
};

const REASONS = {
  malformed: ['broke a rule of HTTP or of its version', 'warn'], too_large: ['the head was too long', 'warn'],
  version: ['version not enabled or unclear', 'warn'], origin: ['origin not allowed', 'warn'], host: ['host not allowed', 'warn'],
  subprotocol: ['insists on another subprotocol', 'warn'], timeout: ['the handshake took too long', 'warn'],
  disconnected: ['the stream ended early', 'warn'], application: ['refused by the application', ''],
  unavailable: ['closed, or too many connections', 'bad'], no_upgrade: ['the HTTP server kept the stream', 'warn'],
  tls: ['TLS failed', 'warn'], proxy_protocol: ['no usable PROXY header', 'warn'], address: ['too many from one address', 'warn'],
};

// ---- wiring -----------------------------------------------------------------------------------

function look(seconds) {
  looking = seconds;
  $('look').value = seconds;
  $('look').setAttribute('aria-valuetext', seconds ? `${-seconds} seconds ago` : 'now');
  show();
}

const charts = [
  ['Connections', count, [['open', 'a', (it) => it.open], ['of drafts', 'c', (it) => it.drafts], ['opening', 'b', (it) => it.opening]]],
  ['Messages', perSecond, [['in', 'a', (it) => it.messagesIn], ['out', 'b', (it) => it.messagesOut]]],
  ['Payload', (value) => `${bytes(value)}/s`, [['in', 'a', (it) => it.bytesIn], ['out', 'b', (it) => it.bytesOut]]],
  ['Wait to be written', bytes, [['all send queues', 'a', (it) => it.queued]]],
  ['Losses', perSecond, [['messages dropped', 'd', (it) => it.dropped], ['slow peers closed', 'b', (it) => it.slow]]],
  ['Coming and going', perSecond, [['opened', 'a', (it) => it.opened], ['closed', 'b', (it) => it.closed], ['refused', 'd', (it) => it.refused]]],
  // Pings of up to 1000 connections.
  ['Ping until pong', millis, [['median', 'a', (it) => it.latency?.median ?? null], ['95 %', 'b', (it) => it.latency?.p95 ?? null], ['longest', 'd', (it) => it.latency?.longest ?? null]]],
].map(([title, format, curves]) => {
  const step = format(1024).includes('KiB') ? 1024 : 1000;
  return new Chart($('tables'), title, format, step, curves.map(([label, series, of]) => ({ label, series, of })), look);
});

text($('host'), location.host);
$('look').oninput = () => look(Number($('look').value));
$('pause').onclick = () => {
  // The charts stand still; what is wrong, the numbers and the tables go on.
  paused = paused ? null : { points: [...points], now: samples.at(-1)?.time ?? 0, clock: Date.now() };
  $('pause').setAttribute('aria-pressed', String(Boolean(paused)));
  show();
};
setInterval(show, 1000); // so that the page says when nothing comes any more
connect();
