// WebSockets in HTTP/2 (RFC 8441) in a real browser: Debian's chromium, driven by playwright-core. It uses HTTP/2 for a
// WebSocket only if it has a session to the host already, and that session's SETTINGS allow it.
//
//   http2.mjs --echo PROGRAM --tls FOLDER
//
// FOLDER has cert.pem and key.pem. The server itself says in which version of HTTP its connections came.

import { spawn, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { exit, suite } from '../checks.mjs';
import { launch, openTab } from './chromium.mjs';

const PATIENCE = 10_000; // milliseconds that a page or the server may take for one step
const CHECK_PATIENCE = 60_000; // and that a check may take, of many steps
const SOCKETS = 5;

const { values: given } = parseArgs({ options: { echo: { type: 'string' }, tls: { type: 'string' } } });
const check = suite('http2-browser', CHECK_PATIENCE);
const [cert, key] = ['cert.pem', 'key.pem'].map((name) => `${given.tls}/${name}`);
const publicKey = execFileSync('openssl', ['pkey', '-in', key, '-pubout', '-outform', 'DER']);
const pin = createHash('sha256').update(publicKey).digest('base64');
const browser = await launch([`--ignore-certificate-errors-spki-list=${pin}`]);

try {
  for (const [options, expected] of [[['--http2'], 'HTTP/2'], [[], 'HTTP/1.1']]) {
    await check(`${SOCKETS} sockets of a page are opened in ${expected}`, async () => {
      const server = await serve(options);
      try {
        const page = await openTab(browser, PATIENCE, []);
        // The page says only that this is a WebSocket server; what counts is the session that it came in.
        await page.goto(server.url.replace('wss', 'https'));
        const answers = await page.evaluate(talk, [server.url, SOCKETS, PATIENCE]);
        const wrong = answers.filter((answer) => answer !== 'hi, clean 1000');
        if (answers.length !== SOCKETS || wrong.length) throw new Error(`the page says ${answers.join('; ')}`);
        const seen = server.lines.filter((line) => /: open/.test(line) || /connection/.test(line));
        const ids = new Set(seen.filter((line) => line.includes('rfc6455 over HTTP/2')).map((line) => /connection (\d+\.\d+)/.exec(line)?.[1]));
        const want = expected === 'HTTP/2' ? SOCKETS : 0;
        if (ids.size !== want) throw new Error(`the server says HTTP/2 of ${ids.size} connections: ${server.lines.slice(-9).join(' | ')}`);
      } finally {
        server.process.kill('SIGKILL');
      }
    });
  }
} finally {
  await browser.close();
}
exit();

/** Starts an echo server, and collects what it says. */
async function serve(options) {
  // setpriv: the server ends with this script even if nobody is left to kill it.
  const command = ['--pdeathsig', 'KILL', given.echo, '--listen', '127.0.0.1:0', '--cert', cert, '--key', key, '--debug'];
  const server = spawn('setpriv', [...command, ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines = [];
  createInterface({ input: server.stderr }).on('line', (line) => lines.push(line));
  const first = await createInterface({ input: server.stdout })[Symbol.asyncIterator]().next();
  const found = /^listening on (wss:\/\/127\.0\.0\.1:\d+\/)$/.exec(first.value);
  if (!found) throw new Error('the first line of the echo server is another');
  return { process: server, url: found[1], lines };
}

/** Runs in the page: opens sockets one after the other, and returns how each went. */
async function talk([url, count, patience]) {
  const answers = [];
  for (let index = 0; index < count; index += 1) {
    answers.push(await new Promise((resolve) => {
      setTimeout(() => resolve('nothing happens'), patience);
      const socket = new WebSocket(url);
      let said = 'nothing';
      socket.onopen = () => socket.send('hi');
      socket.onmessage = (event) => { said = event.data; socket.close(1000); };
      socket.onclose = (event) => resolve(`${said}, ${event.wasClean ? 'clean' : 'not clean'} ${event.code}`);
    }));
  }
  return answers;
}
