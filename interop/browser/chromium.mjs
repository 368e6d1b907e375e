// Debian's chromium, driven by playwright-core, for all scripts here.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

// The packages live in the ignored folder, not beside this file, where `import` would look for them.
const require = createRequire(new URL('../.work/', import.meta.url));
const { chromium } = require('playwright-core');

/** Starts a browser, with more arguments if there are any. */
export function launch(more = []) {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    // No sandbox, for it cannot be had as root; and no talk with anybody but the server under test.
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--no-proxy-server',
      '--disable-background-networking', '--disable-component-update', '--disable-sync', ...more],
  });
}

/** Opens a tab, which waits `patience` milliseconds for each step; what its scripts complain of goes into the list. */
export async function openTab(browser, patience, complaints, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 760 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
  return page;
}

/** Fails if axe-core finds a fault in what a tab shows now: the rules of WCAG 2.2 AA, and its own of good practice. */
export async function checkAccess(page) {
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  // Not as an element of the page, whose policy allows no scripts but its own.
  axe ??= await readFile(require.resolve('axe-core/axe.min.js'), 'utf8');
  const { violations, passes } = await page.evaluate(`${axe}; axe.run({ runOnly: ${JSON.stringify(tags)} })`);
  if (!passes.length) throw new Error('axe has looked at nothing');
  if (!violations.length) return;
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).slice(0, 3)}`);
  throw new Error(told.join('; '));
}

let axe; // its program

/** Fails if a tab can be scrolled sideways, or shows less than its whole width. */
export async function checkWidth(page) {
  const [content, shown] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  if (content > shown) throw new Error(`the page is ${content} px wide, and ${shown} px are there`);
}
