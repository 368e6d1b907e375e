// Debian's chromium, driven by playwright-core, for all scripts here.

import { createRequire } from 'node:module';

// The packages live in the ignored folder, not beside this file, where `import` would look for them.
const { chromium } = createRequire(new URL('../.work/', import.meta.url))('playwright-core');

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
