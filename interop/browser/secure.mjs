// The chat page over https and wss in a real browser: Debian's chromium, driven by playwright-core.
//
//   secure.mjs --chat PROGRAM --tls FOLDER --screenshots FOLDER
//
// FOLDER has cert.pem and key.pem. The browser trusts that key, and no other that it would not trust anyway.

import { spawn, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { exit, suite } from '../checks.mjs';
import { launch, openTab } from './chromium.mjs';

const PATIENCE = 10_000; // milliseconds that a page or the server may take for one step
const CHECK_PATIENCE = 120_000; // and that a check may take, of many steps

const { values: given } = parseArgs({
  options: { chat: { type: 'string' }, tls: { type: 'string' }, screenshots: { type: 'string' } },
});
const check = suite('secure-browser', CHECK_PATIENCE);
const [cert, key] = ['cert.pem', 'key.pem'].map((name) => `${given.tls}/${name}`);

// setpriv: the server ends with this script even if nobody is left to kill it.
const command = ['--pdeathsig', 'KILL', given.chat, '--listen', '127.0.0.1:0', '--cert', cert, '--key', key];
const server = spawn('setpriv', command, { stdio: ['ignore', 'pipe', 'inherit'] });
const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
const found = /^listening on (https:\/\/127\.0\.0\.1:\d+\/)$/.exec(await line());
if (!found) throw new Error('the first line of the chat server is another');
const url = found[1];

const publicKey = execFileSync('openssl', ['pkey', '-in', key, '-pubout', '-outform', 'DER']);
const pin = createHash('sha256').update(publicKey).digest('base64');
const complaints = []; // what the pages' scripts complain of
let browser = await launch();

try {
  await check('a certificate that nobody knows is not trusted', async () => {
    const page = await openTab(browser, PATIENCE, complaints);
    const went = await page.goto(url).then(() => 'the page is shown', (error) => error.message);
    if (!went.includes('ERR_CERT_AUTHORITY_INVALID')) throw new Error(went);
    complaints.length = 0;
  });
  await browser.close();
  browser = await launch([`--ignore-certificate-errors-spki-list=${pin}`]);
  let ana;
  await check('two tabs talk over wss', async () => {
    ana = await openTab(browser, PATIENCE, complaints);
    const sockets = [];
    ana.on('websocket', (socket) => sockets.push(socket.url()));
    await ana.goto(`${url}?name=Ana`);
    await state(ana, 'open');
    if (sockets[0] !== `${url.replace('https', 'wss')}chat`) throw new Error(`opened ${sockets}`);
    const bo = await openTab(browser, PATIENCE, complaints);
    await bo.goto(`${url}?name=Bo`);
    await state(bo, 'open');
    await bo.fill('#composer', 'hello over TLS');
    await bo.click('#send');
    await ana.waitForSelector('.entry:has-text("hello over TLS")');
    await ana.screenshot({ path: `${given.screenshots}/secure.png` });
  });
  await check('the certificate is read again, and who is there stays', async () => {
    server.kill('SIGHUP');
    const said = await line();
    if (said !== 'the certificate was read again') throw new Error(said);
    await ana.fill('#composer', 'still here');
    await ana.click('#send');
    await ana.waitForSelector('.entry:has-text("still here")');
    const late = await openTab(browser, PATIENCE, complaints);
    await late.goto(`${url}?name=Cy`);
    await state(late, 'open');
  });
  await check('the scripts complain of nothing', async () => {
    if (complaints.length) throw new Error(complaints.join('; '));
  });
} finally {
  await browser.close();
  server.kill('SIGKILL');
}
exit();

async function line() {
  const late = once(AbortSignal.timeout(PATIENCE), 'abort').then(() => { throw new Error('no line came'); });
  const { value, done } = await Promise.race([lines.next(), late]);
  if (done) throw new Error('the chat server ended');
  return value;
}

function state(page, name) {
  return page.waitForSelector(`#status[data-state="${name}"]`);
}
