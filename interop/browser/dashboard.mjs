// The dashboard of the example `metrics` in a real browser: Debian's chromium, driven by playwright-core.
//
//   dashboard.mjs --metrics URL --screenshots FOLDER

import { once } from 'node:events';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

import { exit, suite } from '../checks.mjs';
import { checkAccess, checkWidth, launch, openTab } from './chromium.mjs';

const WebSocket = createRequire(new URL('../.work/', import.meta.url))('ws');

const PATIENCE = 10_000; // milliseconds that a page may take for one step
const CHECK_PATIENCE = 60_000; // and that a check may take, of many steps

const { values: given } = parseArgs({ options: { metrics: { type: 'string' }, screenshots: { type: 'string' } } });
const check = suite('dashboard', CHECK_PATIENCE);
const browser = await launch();
const complaints = []; // what the pages' scripts complain of
const clients = [];
let page;

try {
  await check('what clients do is shown within seconds', async () => {
    page = await tab({ colorScheme: 'light', viewport: { width: 1280, height: 900 } });
    await page.waitForSelector('#verdict[data-level="good"]');
    for (let number = 0; number < 20; number += 1) clients.push(await client());
    await page.waitForFunction(() => parseInt(document.querySelector('#numbers dd')?.textContent, 10) > 20);
    for (const socket of clients) for (let number = 0; number < 10; number += 1) socket.send('x'.repeat(100));
    await page.waitForSelector('.card:has-text("Payload") .top:has-text("KiB/s")');
    for (const socket of clients.splice(0, 3)) socket.close(4321);
    await page.waitForSelector('#closes tr:has-text("4000-4999"):has-text("3")');
  });

  await check('what goes wrong stands at the top, in words', async () => {
    for (const socket of clients.splice(0, 8)) socket.terminate();
    await page.waitForSelector('#verdict[data-level="bad"]:has-text("Connections are lost")');
    await page.waitForSelector('#issues li:has-text("Connections break"):has-text("1006")');
    await page.waitForSelector('#closes tr:has-text("1006") td[data-level="warn"]:has-text("8")');
    if (!(await page.title()).startsWith('(1) ')) throw new Error(`the title is ${await page.title()}`);
  });

  await check('one looks at an earlier moment by keyboard, and stops the charts', async () => {
    await page.focus('#look');
    for (let presses = 0; presses < 3; presses += 1) await page.keyboard.press('ArrowLeft');
    await page.waitForSelector('#look[aria-valuetext="3 seconds ago"]');
    await page.waitForSelector('.cursor[visibility="visible"]', { state: 'attached' }); // a line has no width
    await page.keyboard.press('Tab');
    await page.keyboard.press('Space');
    await page.waitForSelector('#pause[aria-pressed="true"]');
    const curve = () => page.locator('.curve').first().getAttribute('d');
    const before = await curve();
    await page.waitForTimeout(1500); // longer than a sample takes
    if (await curve() !== before) throw new Error('the charts go on');
    await page.keyboard.press('Space');
    await page.waitForFunction((before) => document.querySelector('.curve').getAttribute('d') !== before, before);
  });

  await check('a page that is opened later shows what was before, without a fault of access, also at 360 px', async () => {
    for (const [name, colorScheme, viewport] of [
      ['1-dark', 'dark', { width: 1280, height: 900 }],
      ['2-phone', 'light', { width: 360, height: 740 }],
    ]) {
      const later = await tab({ colorScheme, viewport });
      await later.waitForSelector('#closes tr:has-text("1006"):has-text("8")');
      // The scale is that of the 21 connections that were open.
      await later.waitForSelector('.card:has(h2:text-is("Connections")) .top:text-is("50")');
      await later.waitForSelector('#topics .none');
      await checkAccess(later);
      await checkWidth(later);
      await later.screenshot({ path: `${given.screenshots}/dashboard-${name}.png`, fullPage: true });
      await later.context().close();
    }
  });

  await check('a page from elsewhere does not get the numbers', async () => {
    const feed = new WebSocket(`${given.metrics.replace('http', 'ws')}dashboard/feed`, { origin: 'http://elsewhere.example' });
    feed.on('error', () => {});
    const [, response] = await once(feed, 'unexpected-response', { signal: AbortSignal.timeout(PATIENCE) });
    if (response.statusCode !== 403) throw new Error(`it got ${response.statusCode}`);
  });

  await check('no script of the page complained', async () => {
    if (complaints.length) throw new Error(complaints.join('; '));
  });
} finally {
  for (const socket of clients) socket.terminate();
  await browser.close();
}
exit();

async function tab(options) {
  const opened = await openTab(browser, PATIENCE, complaints, options);
  await opened.goto(`${given.metrics}dashboard`);
  await opened.waitForSelector('#live[data-state="live"]');
  return opened;
}

async function client() {
  const socket = new WebSocket(given.metrics.replace('http', 'ws'));
  socket.on('error', () => {});
  await once(socket, 'open');
  return socket;
}
