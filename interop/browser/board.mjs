// The notice board of the example axum in a real browser: Debian's chromium, driven by playwright-core.
//
//   board.mjs --board URL --screenshots FOLDER

import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

// The packages live in the ignored folder, not beside this file, where `import` would look for them.
const { chromium } = createRequire(new URL('../.work/', import.meta.url))('playwright-core');

const PATIENCE = 10_000; // milliseconds that a page may take for one step

const { values: given } = parseArgs({ options: { board: { type: 'string' }, screenshots: { type: 'string' } } });
let failed = false;
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  // No sandbox, for it cannot be had as root; and no talk with anybody but the server under test.
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--no-proxy-server',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const complaints = []; // what the pages' scripts complain of
let wide;
let narrow;

try {
  await check('two tabs of the board see each other', async () => {
    wide = await tab({ colorScheme: 'light' });
    narrow = await tab({ colorScheme: 'dark', viewport: { width: 390, height: 780 } });
    for (const page of [wide, narrow]) {
      await page.goto(given.board);
      await page.waitForSelector('#status[data-state="open"]');
    }
    await wide.waitForSelector('#status-text:has-text("are looking")');
  });

  await check('a note is on both, by the socket and by REST', async () => {
    await wide.fill('#text', 'Tea at four, by the WebSocket');
    await wide.click('button[value="socket"]');
    await narrow.waitForSelector('#notes li:has-text("Tea at four")');
    await narrow.fill('#text', 'Lost: one umbrella <b>black</b>, by POST 👋');
    await narrow.click('button[value="rest"]');
    await wide.waitForSelector('#notes li:has-text("<b>black</b>")');
    await wide.fill('#text', '   ');
    await wide.click('button[value="socket"]');
    await wide.waitForSelector('#refusal:has-text("a note says something")');
    await wide.fill('#text', 'Refused, then written anew');
    await wide.press('#text', 'Enter');
    await narrow.waitForSelector('#notes li:has-text("written anew")');
    await shot(wide, 'board-1-light');
    await shot(narrow, 'board-2-dark-narrow');
  });

  await check('a note that is taken down goes from both', async () => {
    await wide.click('#notes li:has-text("Tea at four") button');
    await narrow.waitForSelector('#notes li:has-text("Tea at four")', { state: 'detached' });
    await wide.waitForSelector('#notes li:has-text("Tea at four")', { state: 'detached' });
  });

  await check('a tab that is closed is not counted any more', async () => {
    await narrow.context().close();
    await wide.waitForSelector('#status-text:has-text("Only you")');
  });

  await check('no script of the page complained', async () => {
    if (complaints.length > 0) throw new Error(complaints.join('; '));
  });
} finally {
  await browser.close();
}
process.exit(failed ? 1 : 0);

async function tab(options) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 700 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
  return page;
}

function shot(page, name) {
  return page.screenshot({ path: `${given.screenshots}/${name}.png` });
}

async function check(name, body) {
  try {
    await body();
    console.log(`ok - board: ${name}`);
  } catch (error) {
    console.log(`not ok - board: ${name}: ${String(error.message).split('\n')[0]}`);
    failed = true;
  }
}
