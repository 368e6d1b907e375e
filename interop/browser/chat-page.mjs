// How the chat page treats those who use it: people with a keyboard alone, with a screen reader, on a phone, in the dark,
// and in a room where much is said. Debian's chromium, driven by playwright-core; axe-core looks for faults of access.
//
//   chat-page.mjs --chat URL --screenshots FOLDER

import { once } from 'node:events';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

import { exit, suite } from '../checks.mjs';
import { checkAccess, checkWidth, launch, openTab } from './chromium.mjs';

const WebSocket = createRequire(new URL('../.work/', import.meta.url))('ws');

const PATIENCE = 10_000; // milliseconds that a page may take for one step
const CHECK_PATIENCE = 60_000; // and that a check may take, of many steps
const FLOOD = 600; // messages at once; a page keeps 500
const KEPT = 500;
const FLOOD_PATIENCE = 30_000; // the server takes one in 5 ms

const PHONE = { viewport: { width: 360, height: 640 } };

const { values: given } = parseArgs({ options: { chat: { type: 'string' }, screenshots: { type: 'string' } } });
const check = suite('chat-page', CHECK_PATIENCE);
const browser = await launch();
const complaints = []; // what the pages' scripts complain of
const guests = [];

try {
  await check('the way in says where one comes, and has no fault of access', async () => {
    for (const [colorScheme, more] of [['light', {}], ['dark', PHONE]]) {
      const page = await tab({ colorScheme, ...more }, '?room=attic');
      await page.waitForSelector('#door:has-text("attic")');
      await checkAccess(page);
      await checkWidth(page);
      await page.click('#enter');
      await page.waitForSelector('#name-error:not(:empty)');
      await checkAccess(page);
      await page.context().close();
    }
  });

  await check('one can join, talk, write to one, change the room and leave by keyboard alone', async () => {
    const bo = await guest('Bo', 'attic');
    const page = await tab({}, '?room=attic');
    const keys = async (...names) => { for (const name of names) await page.keyboard.press(name); };
    await page.keyboard.type('Ana');
    await keys('Enter');
    await focused(page, 'composer');
    await page.keyboard.type('to all');
    await keys('Enter');
    await bo.hear('said', 'to all');
    // Send is disabled, so Bo is next.
    await keys('Tab', 'Enter');
    await focused(page, 'composer');
    await page.keyboard.type('to one');
    await keys('Enter');
    await bo.hear('told', 'to one');
    await page.waitForSelector('.entry.told.mine:has-text("to one")');
    await keys('Escape');
    await page.waitForSelector('#recipient', { state: 'hidden' });
    // The attic, where we are, comes first in the list, and the lobby is in it.
    await focusByTab(page, '.room:has-text("lobby")');
    await keys('Space');
    await page.waitForSelector('.entry.notice:has-text("“lobby”")');
    await focused(page, 'composer');
    await focusByTab(page, '#leave', 'Shift+Tab');
    await keys('Enter');
    await focused(page, 'name');
    await page.context().close();
  });

  await check('a talk of two goes on when one of them changes the room', async () => {
    const cy = await guest('Cy', 'attic');
    const page = await tab({ colorScheme: 'dark', ...PHONE }, '?name=Ana&room=attic');
    await page.click('.person:has-text("Cy")');
    await write(page, 'before');
    const { from } = await cy.hear('told', 'before');
    cy.send({ type: 'enter', room: 'cellar' });
    await page.waitForSelector('.entry.left:has-text("Cy left")');
    await page.waitForSelector('.room:has-text("cellar")');
    await write(page, 'while Cy is elsewhere');
    await cy.hear('told', 'while Cy is elsewhere');
    await page.click('.room:has-text("lobby")');
    await page.waitForSelector('.entry.notice:has-text("“lobby”")');
    cy.send({ type: 'tell', to: from, text: 'and back' });
    await page.waitForSelector('.entry.told:not(.mine):has-text("and back")');
    await write(page, 'while both are');
    await cy.hear('told', 'while both are');
    await checkAccess(page);
    await checkWidth(page);
    await page.screenshot({ path: `${given.screenshots}/chat-page-1-talk.png` });
    // Cy leaves the chat: the page says so, and keeps what was written.
    await page.fill('#composer', 'nobody reads this');
    cy.close();
    await page.waitForSelector('#recipient.gone:has-text("(left)")');
    await page.waitForSelector('.partner', { state: 'detached' });
    if (await page.inputValue('#composer') !== 'nobody reads this') throw new Error('the text is lost');
    if (await page.isEnabled('#send')) throw new Error('it can be sent to nobody');
    await page.context().close();
  });

  await check(`${FLOOD} messages cost no more layouts than frames, and the page stays small`, async () => {
    const [flood, other] = [await guest('Flood', 'attic'), await guest('Other', 'attic')];
    const page = await tab({}, '?name=Eva&room=attic');
    const metrics = await page.context().newCDPSession(page);
    await metrics.send('Performance.enable');
    const layouts = async () => {
      const all = (await metrics.send('Performance.getMetrics')).metrics;
      return all.find(({ name }) => name === 'LayoutCount').value;
    };
    await page.evaluate(() => {
      window.frameCount = 0;
      const next = () => { window.frameCount += 1; requestAnimationFrame(next); };
      requestAnimationFrame(next);
    });
    const before = await layouts();
    for (let number = 1; number <= FLOOD; number += 1) flood.send({ type: 'say', text: `number ${number}.` });
    // Those who come and go meanwhile change the list of people.
    for (const room of ['cellar', 'attic', 'cellar', 'attic']) other.send({ type: 'enter', room });
    const isLast = (last) => document.querySelector('#log').textContent.includes(last);
    await page.waitForFunction(isLast, `number ${FLOOD}.`, { timeout: FLOOD_PATIENCE });
    const frames = await page.evaluate(() => window.frameCount);
    const cost = await layouts() - before;
    if (cost > frames) throw new Error(`${cost} layouts in ${frames} frames`);
    const kept = await page.locator('#log > *').count();
    if (kept > KEPT) throw new Error(`${kept} entries are in the page`);
    const below = await page.$eval('#log', (log) => log.scrollHeight - log.scrollTop - log.clientHeight);
    if (below > 1) throw new Error(`the end of the log is ${below} px below`);
    await page.context().close();
  });

  await check('a full room has no fault of access, wide in the light and at 360 px in the dark', async () => {
    // With the page's own that is one for each colour.
    const names = ['Dörte', 'Emeka', 'Fatima', 'Göran', 'Hana', 'Ivo', 'Jun', 'Kim', 'Lou', 'Mira', 'Ota'];
    const here = await Promise.all(names.map((name) => guest(name, 'salon')));
    await guest('Pia', 'a room with a name of 32 letters');
    for (const [number, [colorScheme, more]] of [['light', {}], ['dark', PHONE]].entries()) {
      const page = await tab({ colorScheme, ...more }, `?name=Ana${number}&room=salon`);
      await page.waitForSelector('.person:has-text("Ota")');
      // Each colour of a name, on the ground of a message to all and of one to one.
      const ana = await here[0].hear('joined', undefined, `Ana${number}`);
      for (const one of here) one.send({ type: 'say', text: 'x'.repeat(100) });
      for (const one of here) one.send({ type: 'tell', to: ana.id, text: 'psst' });
      await page.waitForFunction((count) => document.querySelectorAll('.told').length === count, names.length);
      const colours = await page.$$eval('.said .from', (all) => new Set(all.map((it) => getComputedStyle(it).color)).size);
      if (colours !== names.length) throw new Error(`${names.length} names have ${colours} colours`);
      await page.waitForSelector('#people-count:visible:has-text("12")');
      await checkAccess(page);
      await checkWidth(page);
      await page.screenshot({ path: `${given.screenshots}/chat-page-${2 + number}-full.png` });
      await page.context().close();
    }
  });

  await check('no script of the page complained', async () => {
    if (complaints.length) throw new Error(complaints.join('; '));
  });
} finally {
  for (const one of guests) one.close();
  await browser.close();
}
exit();

async function tab(options, query) {
  const page = await openTab(browser, PATIENCE, complaints, options);
  await page.goto(given.chat + query);
  if (query.includes('name=')) await page.waitForSelector('#status[data-state="open"]');
  return page;
}

/** Somebody without a page. */
async function guest(name, room) {
  const socket = new WebSocket(`${given.chat.replace('http', 'ws')}chat`);
  await once(socket, 'open');
  const heard = [];
  const made = {
    send: (message) => socket.send(JSON.stringify(message)),
    close: () => socket.terminate(),
    /** Waits for a message, which may have come already. */
    async hear(type, text, from) {
      const deadline = AbortSignal.timeout(PATIENCE);
      for (;;) {
        const found = heard.find((it) => it.type === type && (!text || it.text === text) && (!from || it.name === from));
        if (found) return found;
        await once(socket, 'message', { signal: deadline });
      }
    },
  };
  socket.on('message', (data) => heard.push(JSON.parse(data)));
  socket.on('error', () => {});
  guests.push(made);
  made.send({ type: 'join', name, room });
  await made.hear('welcome');
  return made;
}

async function write(page, text) {
  await page.fill('#composer', text);
  await page.click('#send');
}

function focused(page, id) {
  return page.waitForFunction((id) => document.activeElement.id === id, id);
}

/** Presses Tab until an element has the focus, at most as often as there are stops. */
async function focusByTab(page, selector, key = 'Tab') {
  for (let presses = 0; presses < 20; presses += 1) {
    await page.keyboard.press(key);
    if (await page.locator(selector).evaluate((it) => it === document.activeElement)) return;
  }
  throw new Error(`${key} does not come to ${selector}`);
}
