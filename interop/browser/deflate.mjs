// Compression with a real browser: Debian's chromium, driven by playwright-core, against the echo servers.
//
//   deflate.mjs --deflate URL          the echo server with --deflate
//               --deflate-context URL  with --server-context-takeover and --deflate-threshold 0, too
//               --deflate-window URL   with these and windows of 9 bits, too
//               --echo URL             as it is by default

import { parseArgs } from 'node:util';

import { exit, suite } from '../checks.mjs';
import { launch } from './chromium.mjs';

const PATIENCE = 20_000; // milliseconds that one check may take
const SIZES = [0, 1, 1023, 1024, 65_535, 65_536, 900_000];
const SERVERS = ['deflate', 'deflate-context', 'deflate-window', 'echo'];

const { values: urls } = parseArgs({
  options: Object.fromEntries(SERVERS.map((name) => [name, { type: 'string' }])),
});
const check = suite('browser rfc6455', PATIENCE);
const browser = await launch();

try {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  for (const server of SERVERS) {
    const expected = server === 'echo' ? '' : 'permessage-deflate';
    await check(`${server}: extensions are [${expected}], and texts come back, P-S5, P-M4 to P-M7`, async () => {
      // A page of the same host, its readable 426: others may not speak to this machine.
      await page.goto(urls[server].replace('ws:', 'http:'));
      const seen = await page.evaluate(exchange, { url: urls[server], sizes: SIZES });
      if (!seen.extensions.startsWith(expected) || !expected !== !seen.extensions) {
        throw new Error(`the extensions are [${seen.extensions}]`);
      }
      if (seen.wrong.length) throw new Error(`wrong: ${seen.wrong}`);
      if (seen.code !== 1000 || !seen.clean) throw new Error(`it ended with ${seen.code}`);
    });
  }
} finally {
  await browser.close();
}

exit();

/** Runs in the page: sends each text twice, as text and as bytes, and says what came back and how it ended. */
async function exchange({ url, sizes }) {
  const socket = new WebSocket(url);
  socket.binaryType = 'arraybuffer';
  const arrived = [];
  let wake = () => {};
  socket.onmessage = ({ data }) => { arrived.push(data); wake(); };
  const closed = new Promise((resolve) => { socket.onclose = resolve; });
  await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = () => reject(new Error('no connection')); });
  const recv = async () => {
    while (!arrived.length) {
      await Promise.race([new Promise((resolve) => { wake = resolve; }), closed]);
      if (!arrived.length && socket.readyState !== WebSocket.OPEN) throw new Error('it closed early');
    }
    return arrived.shift();
  };
  const wrong = [];
  for (const size of sizes) {
    const text = Array.from({ length: size / 2 + 1 }, (_, n) => n * 7).join(' ').slice(0, size);
    for (let round = 0; round < 2; round += 1) {
      socket.send(text);
      if (await recv() !== text) wrong.push(`text of ${size}`);
      socket.send(new TextEncoder().encode(text));
      if (new TextDecoder().decode(await recv()) !== text) wrong.push(`bytes of ${size}`);
    }
  }
  socket.close(1000);
  const { code, wasClean } = await closed;
  return { extensions: socket.extensions, wrong, code, clean: wasClean };
}
