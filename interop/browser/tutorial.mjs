// The pages of the tutorial in a real browser: Debian's chromium, driven by playwright-core.
//
//   tutorial.mjs --echo PROGRAM --rooms PROGRAM --screenshots FOLDER

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { exit, suite } from '../checks.mjs';
import { launch, openTab } from './chromium.mjs';

const PATIENCE = 10_000; // milliseconds that a page or a program may take for one step
const CHECK_PATIENCE = 60_000; // and that a check may take, of many steps

const { values: given } = parseArgs({
  options: { echo: { type: 'string' }, rooms: { type: 'string' }, screenshots: { type: 'string' } },
});
const check = suite('tutorial', CHECK_PATIENCE);
const browser = await launch();
const complaints = []; // what the pages' scripts complain of
const programs = [];

try {
  await check('part 1: what is sent comes back, and the page tells the end', async () => {
    const server = await start(given.echo);
    const page = await open(server.url);
    for (const text of ['hello', '<b>how</b> are you?']) {
      await page.fill('input', text);
      await page.press('input', 'Enter');
      await page.waitForSelector(`li.received:has-text("← ${text}")`);
    }
    await shot(page, 'tutorial-1-echo');
    await server.kill();
    await page.waitForSelector('#state:has-text("closed with 1006")');
  });

  await check('part 2: two people see each other come, talk and go', async () => {
    const server = await start(given.rooms);
    const ana = await open(server.url);
    await ana.waitForSelector('#state:has-text("Please log in.")');
    await logIn(ana, 'ana', 'walnut');
    await ana.waitForSelector('#state:has-text("wrong name or password")');
    await logIn(ana, 'ana', 'tulip');
    const bo = await open(server.url);
    await logIn(bo, 'bo', 'walnut');
    for (const page of [ana, bo]) await page.waitForSelector('#state:has-text("In lobby: ana, bo")');
    await say(ana, 'Is anybody here?');
    await say(bo, '<b>I am.</b>');
    for (const page of [ana, bo]) await page.waitForSelector('li:has-text("bo: <b>I am.</b>")');
    await shot(ana, 'tutorial-2-rooms');
    // A page that is loaded anew needs no login.
    await bo.reload();
    await bo.waitForSelector('#state:has-text("In lobby: ana, bo")');
    await bo.context().close();
    await ana.waitForSelector('#state:text-is("In lobby: ana")');
  });

  await check('part 2: a page comes back to a server that was started again, and asks for a login', async () => {
    let server = await start(given.rooms);
    const page = await open(server.url);
    await logIn(page, 'ana', 'tulip');
    await page.waitForSelector('#state:text-is("In lobby: ana")');
    await server.kill();
    await page.waitForSelector('#state:has-text("The connection is lost")');
    server = await start(given.rooms, new URL(server.url).host);
    // The sessions were in its memory.
    await page.waitForSelector('#state:has-text("Please log in.")');
    await logIn(page, 'ana', 'tulip');
    await page.waitForSelector('#state:text-is("In lobby: ana")');
  });
} finally {
  await browser.close();
  for (const program of programs) program.kill('SIGKILL');
}
exit();

/** Starts a program; it says where it listens. */
async function start(path, addr = '127.0.0.1:0') {
  // setpriv: the program ends with this script even if nobody is left to kill it.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', path, addr], { stdio: ['ignore', 'pipe', 'inherit'] });
  programs.push(child);
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const [line] = await Promise.race([
    once(lines, 'line', { signal: AbortSignal.timeout(PATIENCE) }),
    ended.then(() => { throw new Error(`${path} ended before it listened`); }),
  ]);
  const url = line.replace('listening on ', '');
  return { url, kill: async () => { child.kill('SIGKILL'); await ended; } };
}

async function open(url) {
  const page = await openTab(browser, PATIENCE, complaints, { viewport: { width: 720, height: 340 } });
  await page.goto(url);
  return page;
}

async function logIn(page, name, password) {
  await page.fill('#name', name);
  await page.fill('#password', password);
  await page.press('#password', 'Enter');
}

async function say(page, text) {
  await page.fill('#text', text);
  await page.press('#text', 'Enter');
}

function shot(page, name) {
  return page.screenshot({ path: `${given.screenshots}/${name}.png` });
}
