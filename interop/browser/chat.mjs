// The chat page in a real browser: Debian's chromium, driven by playwright-core.
//
//   chat.mjs --chat PROGRAM --screenshots FOLDER
//
// It runs the chat server itself, because it has to kill it and to start it again on the same port.
// A draft-76 client (../perl/chat76.pl) joins the same chat.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { exit, suite } from '../checks.mjs';
import { launch, openTab } from './chromium.mjs';

const PATIENCE = 10_000; // milliseconds that a page or a client may take for one step
const CHECK_PATIENCE = 120_000; // and that a check may take, of many steps
const BACK_WITHIN = 30_000; // the page's first delays are up to 5, then 10 s; then it is back

const { values: given } = parseArgs({ options: { chat: { type: 'string' }, screenshots: { type: 'string' } } });
const check = suite('browser', CHECK_PATIENCE);
let server = await serve('127.0.0.1:0');
const url = server.url;
const browser = await launch();
const complaints = []; // what the pages' scripts complain of
let ana;
let bo;
let box;

try {
  await check('two tabs join and see each other', async () => {
    ana = await tab({ colorScheme: 'light' });
    await ana.goto(url);
    await shot(ana, '1-door');
    await ana.fill('#name', 'Ana');
    await ana.click('#enter');
    await state(ana, 'open');
    bo = await tab({ colorScheme: 'dark', viewport: { width: 390, height: 780 } });
    await bo.goto(`${url}?name=Bo`);
    await state(bo, 'open');
    await ana.waitForSelector('.entry.joined:has-text("Bo joined")');
    await ana.waitForSelector('.person:has-text("Bo"):has-text("rfc6455")');
    await bo.waitForSelector('.person:has-text("Ana"):has-text("rfc6455")');
  });

  await check('a name that is taken is refused', async () => {
    const other = await tab({});
    await other.goto(url);
    await other.fill('#name', 'Ana');
    await other.press('#name', 'Enter');
    await other.waitForSelector('#name-error:not(:empty)');
    await state(other, 'closed');
    await other.context().close();
  });

  await check('a message to all reaches both, as text and not as markup', async () => {
    const text = 'Good morning 👋 <b>not bold</b>';
    await write(ana, text);
    for (const page of [ana, bo]) {
      await page.waitForSelector('.entry.said:has-text("Good morning")');
      const shown = await page.locator('.entry.said .text').last().textContent();
      if (shown !== text) throw new Error(`got ${shown}`);
    }
  });

  await check('a draft-76 client joins the same chat and is shown as such, D76-F1', async () => {
    box = hixie();
    box.send({ type: 'join', name: 'Set-top box' });
    const welcome = await box.recv('welcome');
    const here = welcome.here.map((person) => person.name).sort().join();
    if (here !== 'Ana,Bo') throw new Error(`the client sees ${here}`);
    for (const page of [ana, bo]) await page.waitForSelector('.person:has-text("Set-top box"):has-text("draft76")');
  });

  await check('messages go both ways between the draft-76 client and the tabs', async () => {
    box.send({ type: 'say', text: 'Greetings from 2010 ☺' });
    for (const page of [ana, bo]) await page.waitForSelector('.entry.said:has-text("Greetings from 2010 ☺")');
    await box.recv('said', 'Greetings from 2010 ☺');
    await write(ana, 'Welcome, old friend');
    await box.recv('said', 'Welcome, old friend');
  });

  await check('a message to one reaches that one alone', async () => {
    await ana.click('.person:has-text("Bo")');
    await ana.waitForSelector('#recipient:has-text("to Bo")');
    await write(ana, 'psst, Bo');
    await bo.waitForSelector('.entry.told:has-text("psst, Bo")');
    await ana.waitForSelector('.entry.told.mine:has-text("psst, Bo")');
    await ana.click('.person:has-text("Set-top box")');
    await write(ana, 'psst, box');
    await box.recv('told', 'psst, box');
    // Messages come in order: had Bo or the box got what was not theirs, it would be there before this one.
    await ana.press('#composer', 'Escape');
    await write(ana, 'to all again');
    await bo.waitForSelector('.entry.said:has-text("to all again")');
    if (await bo.locator('.entry:has-text("psst, box")').count()) throw new Error('Bo got what was for the box');
    const heard = await box.recv('said', 'to all again');
    if (heard.skipped.some((message) => message.text === 'psst, Bo')) throw new Error('the box got what was for Bo');
    await shot(ana, '2-light');
    await shot(bo, '3-dark-phone');
  });

  await check('the draft-76 client leaves cleanly and is gone from the list, D76-X2', async () => {
    const code = await box.leave();
    if (code !== 0) throw new Error(`it ended with ${code}`);
    for (const page of [ana, bo]) {
      await page.waitForSelector('.entry.left:has-text("Set-top box left")');
      await page.waitForSelector('.person:has-text("Set-top box")', { state: 'detached' });
    }
  });

  await check('two tabs in different rooms do not see each other, then they meet', async () => {
    // By keyboard alone: from the composer over the log back to the room, whose text is then selected.
    await bo.focus('#composer');
    for (const key of ['Shift+Tab', 'Shift+Tab', 'g', 'a', 'r', 'd', 'e', 'n', 'Enter']) await bo.keyboard.press(key);
    await bo.waitForSelector('.entry.notice:has-text("“garden”")');
    await ana.waitForSelector('.entry.left:has-text("Bo left")');
    await absent(ana, '.person:has-text("Bo")');
    await absent(bo, '.person:has-text("Ana")');
    await write(ana, 'only the lobby hears this');
    await ana.waitForSelector('.entry.said.mine:has-text("only the lobby hears this")');
    await write(bo, 'only the garden hears this');
    await bo.waitForSelector('.entry.said.mine:has-text("only the garden hears this")');
    await shot(bo, '4-garden-dark-phone');

    // A bad name is refused where it was typed, and Escape gives up.
    await ana.fill('#where', 'a\u0007b');
    await ana.click('#go');
    await ana.waitForSelector('#where-error:not(:empty)');
    await ana.press('#where', 'Escape');
    if (await ana.inputValue('#where') !== 'lobby') throw new Error('Escape did not bring the room back');
    await ana.fill('#where', 'garden');
    await shot(ana, '5-about-to-move');
    await ana.click('#go');
    await bo.waitForSelector('.entry.joined:has-text("Ana joined")');
    for (const [page, other] of [[ana, 'Bo'], [bo, 'Ana']]) await page.waitForSelector(`.person:has-text("${other}")`);
    // Messages come in order: had one heard the other before, that would be there by now.
    await write(ana, 'here you are');
    await bo.waitForSelector('.entry.said:has-text("here you are")');
    await absent(bo, '.entry:has-text("only the lobby hears this")');
    await absent(ana, '.entry:has-text("only the garden hears this")');
    const focused = await ana.evaluate(() => document.activeElement.id);
    if (focused !== 'composer') throw new Error(`the focus is on ${focused}`);
  });

  await check('the server is killed: the page says so and keeps what was typed', async () => {
    await ana.fill('#composer', 'half a thou');
    await server.kill();
    for (const page of [ana, bo]) await page.waitForSelector('#banner', { state: 'visible' });
    await shot(ana, '6-disconnected');
    await shot(bo, '7-disconnected-dark-phone');
  });

  await check('the server is back on the same port: the page comes back by itself', async () => {
    server = await serve(new URL(url).host);
    for (const page of [ana, bo]) await state(page, 'open', BACK_WITHIN);
    const kept = await ana.inputValue('#composer');
    if (kept !== 'half a thou') throw new Error(`the composer holds ${kept}`);
    const rooms = await Promise.all([ana, bo].map((page) => page.inputValue('#where')));
    if (rooms.join() !== 'garden,garden') throw new Error(`they are back in ${rooms}`);
    await write(ana, 'half a thought is whole now');
    await bo.waitForSelector('.entry.said:has-text("half a thought is whole now")');
    await ana.waitForSelector('.person:has-text("Bo")');
    await shot(ana, '8-back');
  });

  await check('a tab that is closed has left', async () => {
    await bo.context().close();
    await ana.waitForSelector('.entry.left:has-text("Bo left")');
  });

  await check('no script complained', async () => {
    // A browser notes each connection that fails; that the server was away is no fault of the page.
    const real = complaints.filter((complaint) => !complaint.includes('ERR_CONNECTION_REFUSED'));
    if (real.length) throw new Error(real.join('; '));
  });
} finally {
  box?.process.kill();
  await browser.close();
  await server.kill();
}
exit();

async function serve(address) {
  // setpriv: the server ends with this script even if nobody is left to kill it.
  const command = ['--pdeathsig', 'KILL', given.chat, '--listen', address];
  const child = spawn('setpriv', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const [line] = await Promise.race([
    once(lines, 'line', { signal: AbortSignal.timeout(PATIENCE) }),
    ended.then(() => { throw new Error('the chat server ended before it listened'); }),
  ]);
  const found = /^listening on (http:\/\/127\.0\.0\.1:\d+\/)$/.exec(line);
  if (!found) throw new Error(`the first line of the chat server is ${line}`);
  return {
    url: found[1],
    // Without a farewell: as when the machine fails.
    kill: async () => { child.kill('SIGKILL'); await ended; },
  };
}

function tab(options) {
  return openTab(browser, PATIENCE, complaints, options);
}

function state(page, name, timeout = PATIENCE) {
  return page.waitForSelector(`#status[data-state="${name}"]`, { timeout });
}

function absent(page, selector) {
  return page.waitForSelector(selector, { state: 'detached' });
}

async function write(page, text) {
  await page.fill('#composer', text);
  await page.click('#send');
}

function shot(page, name) {
  return page.screenshot({ path: `${given.screenshots}/${name}.png` });
}

/** A draft-76 client in a process of its own; each line is one message. */
function hixie() {
  const script = fileURLToPath(new URL('../perl/chat76.pl', import.meta.url));
  const child = spawn('perl', [script, `${url.replace('http:', 'ws:')}chat`], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => {}); // it has died; recv says so
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    process: child,
    send: (message) => child.stdin.write(`${JSON.stringify(message)}\n`),
    /** Reads up to the message of this type (and text); what came before it is in `skipped`. */
    async recv(type, text) {
      const skipped = [];
      const deadline = AbortSignal.timeout(PATIENCE);
      const late = once(deadline, 'abort').then(() => { throw new Error(`no ${type} came`); });
      for (;;) {
        const { value, done } = await Promise.race([lines.next(), late]);
        if (done) throw new Error('the draft-76 client ended');
        const message = JSON.parse(value);
        if (message.type === type && (text === undefined || message.text === text)) return { ...message, skipped };
        skipped.push(message);
      }
    },
    async leave() {
      child.stdin.end();
      const [code] = await ended;
      return code;
    },
  };
}
