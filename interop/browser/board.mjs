// The notice board of the example axum in a real browser: Debian's chromium, driven by playwright-core.
//
//   board.mjs --board URL --screenshots FOLDER

import { parseArgs } from 'node:util';

import { exit, suite } from '../checks.mjs';
import { launch, openTab } from './chromium.mjs';

const PATIENCE = 10_000; // milliseconds that a page may take for one step
const CHECK_PATIENCE = 120_000; // and that a check may take, of many steps

const { values: given } = parseArgs({ options: { board: { type: 'string' }, screenshots: { type: 'string' } } });
const check = suite('board', CHECK_PATIENCE);
const browser = await launch();
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
exit();

function tab(options) {
  return openTab(browser, PATIENCE, complaints, options);
}

function shot(page, name) {
  return page.screenshot({ path: `${given.screenshots}/${name}.png` });
}
