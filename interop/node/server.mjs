// The server that npm's `ws` has, for our client. What it has to do is written in ../python/servers.py.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

// The packages live in the ignored folder, not beside this file, where `import` would look for them.
const { WebSocketServer } = createRequire(new URL('../.work/', import.meta.url))('ws');

const SUBPROTOCOLS = ['chat.v2', 'chat.v1'];
const REFUSAL = 'you may not\n';
const REFUSAL_HEADERS = { 'WWW-Authenticate': 'Basic realm="here"', 'X-Reason': 'none' };
const WILLING = {};
const FRUGAL = {
  serverNoContextTakeover: true, clientNoContextTakeover: true, serverMaxWindowBits: 9, clientMaxWindowBits: 9,
};

const { values: given } = parseArgs({ options: { cert: { type: 'string' }, key: { type: 'string' } } });

const secure = (version) => createSecureServer({
  cert: readFileSync(given.cert), key: readFileSync(given.key), minVersion: version, maxVersion: version,
});
const setups = {
  plain: [createServer(), false],
  deflate: [createServer(), WILLING],
  frugal: [createServer(), FRUGAL],
  tls12: [secure('TLSv1.2'), WILLING],
  tls13: [secure('TLSv1.3'), WILLING],
};

const ports = {};
for (const [name, [server, perMessageDeflate]] of Object.entries(setups)) {
  const sockets = new WebSocketServer({ server, perMessageDeflate, verifyClient, handleProtocols, closeTimeout: 5000 });
  sockets.on('connection', handle);
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  ports[name] = server.address().port;
}
console.log(JSON.stringify(ports));
// It ends with whoever started it.
process.stdin.on('end', () => process.exit(0)).resume();

/** What was seen of one connection. */
function report(request) {
  return {
    path: request.url, headers: request.headers, messages: [], pongs: [], closed: null, extensions: null,
  };
}

function parse(request) {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  return { what: pathname.slice(1), query: Object.fromEntries(searchParams) };
}

function verifyClient({ req: request }, decide) {
  const { what } = parse(request);
  if (what === 'refuse') decide(false, 401, REFUSAL, REFUSAL_HEADERS);
  else if (what === 'moved') decide(false, 302, 'elsewhere\n', { Location: '/echo' });
  else return decide(true);
  return console.log(JSON.stringify(report(request)));
}

function handleProtocols(offered, request) {
  return parse(request).query.choose ?? SUBPROTOCOLS.find((name) => offered.has(name)) ?? false;
}

function handle(connection, request) {
  const seen = report(request);
  const deflate = connection._extensions['permessage-deflate'];
  if (deflate) seen.extensions = deflate.params;
  connection.on('message', (payload, isBinary) => {
    const digest = createHash('sha1').update(payload).digest('hex');
    seen.messages.push([isBinary ? 'binary' : 'text', payload.length, digest]);
    connection.send(payload, { binary: isBinary });
  });
  connection.on('pong', (payload) => seen.pongs.push(payload.toString('hex')));
  connection.on('error', () => {}); // what the client sees of it is what counts
  connection.on('close', (code, reason) => {
    seen.closed = [code, reason.toString()];
    console.log(JSON.stringify(seen));
  });
  act(connection, parse(request)).catch((error) => {
    console.error(error);
    connection.terminate();
  });
}

async function act(connection, { what, query }) {
  if (what === 'fragments') {
    connection.send('frag', { fin: false });
    connection.send('', { fin: false });
    connection.send('ment', { fin: false });
    connection.send('ed €', { fin: true });
    for (const byte of [0xe2, 0x82]) connection.send(Buffer.of(byte), { binary: false, fin: false });
    connection.send(Buffer.of(0xac), { fin: true });
    for (const n of [0, 1, 2]) {
      connection.send(Buffer.alloc(40_000, n), { fin: false });
      connection.ping(`between ${n}`);
    }
    connection.send(Buffer.alloc(0), { fin: true });
  } else if (what === 'pings') {
    for (const payload of ['', 'ping', 'x'.repeat(125)]) {
      connection.ping(payload);
      await new Promise((resolve) => { connection.once('pong', resolve); });
    }
    connection.send('all answered');
  } else if (what === 'close') {
    // Without a code the close frame is empty.
    if (query.code) connection.close(Number(query.code), query.reason);
    else connection.close();
  } else if (what === 'farewell') {
    for (let n = 0; n < 100; n += 1) connection.send(`message ${n}`);
    connection.close(4000, 'that is all');
  } else if (what === 'flood') {
    for (let n = 0; n < 100; n += 1) connection.send(Buffer.alloc(65_536));
  } else if (what === 'cut') {
    connection.terminate();
  } else if (what === 'large') {
    const count = Number(query.fragments);
    for (let n = 1; n <= count; n += 1) connection.send('x'.repeat(Number(query.size)), { fin: n === count });
  }
}
