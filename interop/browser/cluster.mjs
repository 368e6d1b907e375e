// The example cluster in a real browser: two tabs on two nodes, each a process of its own, and one of them is killed.
//
//   cluster.mjs --cluster PROGRAM --screenshots FOLDER
//
// The program starts a redis-server of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { exit, suite } from '../checks.mjs';
import { checkAccess, checkWidth, launch, openTab } from './chromium.mjs';

const PATIENCE = 10_000; // milliseconds that a page may take for one step
const CHECK_PATIENCE = 90_000; // and that a check may take, of many steps
const LEASE = 15_000; // after which the people of a dead node are gone, and
const SEEN_WITHIN = 3_000; // for the next look of the other node, and the page
const MESSAGES = 300; // of each tab, one in PAUSE milliseconds, while a node is killed
const PAUSE = 15;
const AWAY = 1500; // milliseconds that the tab of the killed node is away, at least
const MISSED = 20; // messages that it gets after that, at least

const { values: given } = parseArgs({ options: { cluster: { type: 'string' }, screenshots: { type: 'string' } } });
const check = suite('cluster', CHECK_PATIENCE);
const cluster = await start();
const [first, second] = cluster.nodes;
const browser = await launch();
const complaints = []; // what the pages' scripts complain of
let ana;
let bo;
let killed; // when the node was

try {
  await check('two tabs on two nodes see the nodes, and who is on which', async () => {
    ana = await tab(first, 'Ana', { colorScheme: 'light' });
    bo = await tab(second, 'Bo', { colorScheme: 'dark' });
    for (const page of [ana, bo]) {
      await page.waitForSelector(person('node 1', 'Ana'));
      await page.waitForSelector(person('node 2', 'Bo'));
      await page.waitForSelector('.node:has-text("node 2"):has-text("1 connection")');
    }
  });

  await check('the dashboard of a node has both nodes, without a fault of access', async () => {
    const page = await openTab(browser, PATIENCE, complaints, { colorScheme: 'dark', viewport: { width: 360, height: 740 } });
    await page.goto(`${second.url}dashboard`);
    await page.waitForSelector('#nodes tr:has-text("node 2"):has-text("this one")');
    await page.waitForSelector('#nodes tr:has-text("node 1"):not(:has-text("this one"))');
    await page.waitForSelector('#topics tr:has-text("chat")');
    await checkAccess(page);
    await checkWidth(page);
    await shot(page, 'cluster-0-dashboard');
    await page.context().close();
  });

  await check('what is written on one node is on the other, as text and not as markup', async () => {
    await write(ana, 'Good morning <b>from node 1</b>');
    await bo.waitForSelector('.said:not(.mine):has-text("<b>from node 1</b>"):has-text("node 1")');
    await write(bo, 'And from the other one');
    await ana.waitForSelector('.said:not(.mine):has-text("And from the other one")');
    await shot(ana, 'cluster-1-two-nodes');
  });

  await check('a node is killed while both write: its tab is back on the other node and has missed nothing', async () => {
    const written = Promise.all([ana, bo].map((page, place) => page.evaluate(async ([author, count, pause]) => {
      for (let number = 0; number < count; number += 1) {
        document.getElementById('text').value = `${author} ${number}`;
        document.getElementById('composer').requestSubmit();
        await new Promise((resolve) => { setTimeout(resolve, pause); });
      }
    }, [['Ana', 'Bo'][place], MESSAGES, PAUSE])));
    await ana.waitForSelector('.said:has-text("Bo 60")');
    // The page waits for so long until it connects again, and misses what is said meanwhile.
    await bo.evaluate((time) => { wait = time; Math.random = () => 1; }, AWAY);
    process.kill(second.pid, 'SIGKILL');
    killed = Date.now();
    await bo.waitForSelector('#status[data-state="open"]:has-text("on node 1")');
    await written;
    const expected = 2 + 2 * MESSAGES;
    for (const page of [ana, bo]) {
      await page.waitForFunction((count) => document.querySelectorAll('.said:not(.pending)').length >= count, expected);
    }
    const [atAna, atBo] = await Promise.all([ana, bo].map(said));
    if (atAna.join() !== atBo.join()) throw new Error(`the tabs differ: ${difference(atAna, atBo)}`);
    for (const author of ['Ana', 'Bo']) {
      const got = atBo.filter((words) => words.startsWith(`${author} `));
      const all = Array.from({ length: MESSAGES }, (_, number) => `${author} ${number}`);
      if (got.join() !== all.join()) throw new Error(`of ${author}: ${difference(all, got)}`);
    }
    if (atBo.length !== expected) throw new Error(`${atBo.length} messages, not ${expected}`);
    if (await bo.locator('.gap').count()) throw new Error('the tab shows a gap');
    const note = await bo.locator('.note:has-text("node 2 was gone; back on node 1")').textContent();
    const missed = Number(note.split(': ').at(-1));
    if (!(missed >= MISSED)) throw new Error(`the tab was not away for long: ${note}`);
    await bo.locator('.note').scrollIntoViewIfNeeded();
    await shot(bo, 'cluster-2-back-on-the-other-node');
  });

  await check('the other tab sees the person on the new node, and no longer on the dead one', async () => {
    await ana.waitForSelector(person('node 1', 'Bo'));
    await shot(ana, 'cluster-3-the-lease-of-the-dead-node');
    const left = Math.max(1, killed + LEASE + SEEN_WITHIN - Date.now());
    await ana.waitForSelector(person('node 2', 'Bo'), { state: 'detached', timeout: left });
    await ana.waitForSelector('.node:has-text("node 2")', { state: 'detached' });
    await ana.waitForSelector('.node:has-text("node 1"):has-text("2 connections")');
    await write(bo, 'Here I am again');
    await ana.waitForSelector('.said:has-text("Here I am again"):has-text("node 1")');
    await shot(ana, 'cluster-4-the-dead-node-is-gone');
  });

  await check('a page with a position that the log does not have shows a gap', async () => {
    await bo.evaluate('last = "7-7"; socket.close()');
    await bo.waitForSelector('.gap:has-text("Messages may be missing")');
    await bo.waitForSelector('#status[data-state="open"]');
    await write(bo, 'After the gap');
    for (const page of [ana, bo]) await page.waitForSelector('.said:not(.pending):has-text("After the gap")');
    // The log was sent anew from its beginning, and is shown once.
    const [atAna, atBo] = await Promise.all([ana, bo].map(said));
    if (atAna.join() !== atBo.join()) throw new Error(`the tabs differ: ${difference(atAna, atBo)}`);
    await shot(bo, 'cluster-5-gap');
  });

  await check('no script of the page complained', async () => {
    const others = complaints.filter((complaint) => !/WebSocket connection to .* failed/.test(complaint));
    if (others.length > 0) throw new Error(others.join('; '));
  });

  await check('the command ends by SIGINT, and its nodes and its engine with it', async () => {
    cluster.process.kill('SIGINT');
    const [code] = await cluster.ended;
    if (code !== 0) throw new Error(`it ended with ${code}`);
    for (const port of [first.port, cluster.enginePort]) {
      if (!await refused(port)) throw new Error(`something listens on ${port}`);
    }
  });
} finally {
  await browser.close();
  cluster.process.kill('SIGKILL');
}
exit();

/** Starts the command with two nodes, and reads where they are. */
async function start() {
  const child = spawn(given.cluster, ['--nodes', '2'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const nodes = [];
  let enginePort;
  // The lines of the nodes come in any order.
  const deadline = AbortSignal.timeout(PATIENCE);
  const lines = createInterface({ input: child.stdout, signal: deadline });
  for await (const line of lines) {
    const engine = /^redis-server at redis:\/\/127\.0\.0\.1:(\d+)$/.exec(line);
    if (engine) enginePort = Number(engine[1]);
    const found = /^node (\d): (http:\/\/127\.0\.0\.1:(\d+)\/) \(process (\d+)\)$/.exec(line);
    if (found) nodes[Number(found[1]) - 1] = { url: found[2], port: Number(found[3]), pid: Number(found[4]) };
    if (nodes.filter(Boolean).length === 2) break;
  }
  child.stdout.resume(); // so that what it says later does not block it
  if (nodes.filter(Boolean).length < 2 || !enginePort) throw new Error('the nodes or the engine are not there');
  return { process: child, ended, nodes, enginePort };
}

async function tab(node, name, options) {
  const page = await openTab(browser, PATIENCE, complaints, options);
  await page.goto(`${node.url}?name=${name}`);
  await page.waitForSelector('#status[data-state="open"]');
  return page;
}

function person(node, name) {
  return `.node:has-text("${node}") .person:has-text("${name}")`;
}

async function write(page, words) {
  await page.fill('#text', words);
  await page.press('#text', 'Enter');
}

function said(page) {
  return page.locator('.said:not(.pending) .words').allTextContents();
}

/** Names the first place where two lists differ. */
function difference(expected, got) {
  const place = expected.findIndex((words, index) => words !== got[index]);
  return `${expected.length} and ${got.length}; at ${place} ${expected[place]} and ${got[place]}`;
}

/** Returns whether nothing listens on a port, or will within the patience. */
async function refused(port) {
  for (let waited = 0; waited < PATIENCE; waited += 50) {
    const socket = connect(port, '127.0.0.1');
    const isOpen = await once(socket, 'connect').then(() => true, () => false);
    socket.destroy();
    if (!isOpen) return true;
    await sleep(50);
  }
  return false;
}

function shot(page, name) {
  return page.screenshot({ path: `${given.screenshots}/${name}.png` });
}
