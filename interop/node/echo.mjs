// RFC 6455 against the echo server. The client is npm's `ws`.
//
//   echo.mjs --echo URL       the server as it is by default
//            --strict URL     with --origin http://good.example --subprotocol echo.v1
//            --broadcast URL  with --broadcast: each message goes to everybody
//            --deflate URL    with --deflate
//            --deflate-context URL    with --server-context-takeover and --deflate-threshold 0, too
//            --deflate-window URL     with these and windows of 9 bits, too
//            --deflate-broadcast URL  with --broadcast, --deflate and --server-context-takeover
//
// The broadcast check lets a draft-75 and a draft-76 client listen, too (../perl/chat76.pl).

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { exit, suite } from '../checks.mjs';

// The packages live in the ignored folder, not beside this file, where `import` would look for them.
const { WebSocket } = createRequire(new URL('../.work/', import.meta.url))('ws');

const PATIENCE = 20_000; // milliseconds that one check may take
const SIZES = [0, 125, 126, 65_535, 65_536, 1_000_000];
const GOOD_ORIGIN = 'http://good.example';

const { values: urls } = parseArgs({
  options: Object.fromEntries([
    'echo', 'strict', 'broadcast', 'deflate', 'deflate-context', 'deflate-window', 'deflate-broadcast',
  ].map((name) => [name, { type: 'string' }])),
});
const check = suite('node rfc6455', PATIENCE);

/** A connection whose messages can be awaited one after the other. */
class Client {
  #arrived = [];
  #waiting = [];
  #error = null;

  constructor(url, { protocols = [], ...options } = {}) {
    this.connection = new WebSocket(url, protocols, { perMessageDeflate: false, ...options });
    this.connection.once('upgrade', (answer) => { this.answer = answer; });
    this.connection.on('message', (payload, isBinary) => {
      this.#arrived.push(isBinary ? payload : payload.toString());
      this.#wake();
    });
    this.connection.on('error', (error) => { this.#error = error; this.#wake(); });
    this.closed = new Promise((resolve) => {
      this.connection.on('close', (code, reason) => {
        resolve({ code, reason: reason.toString() });
        this.#error ??= new Error(`closed with ${code} ${reason}`);
        this.#wake();
      });
    });
  }

  static async open(url, options) {
    const client = new Client(url, options);
    await new Promise((resolve, reject) => {
      client.connection.once('open', resolve).once('error', reject);
    });
    return client;
  }

  send(message, options = {}) {
    this.connection.send(message, options);
  }

  recv() {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#wake();
    });
  }

  async expect(message) {
    const echo = await this.recv();
    // A string was a text message, a Buffer a binary one.
    const same = Buffer.isBuffer(message) ? Buffer.isBuffer(echo) && message.equals(echo) : message === echo;
    if (!same) throw new Error(`got ${brief(echo)}, not ${brief(message)}`);
  }

  async echoes(message) {
    this.send(message);
    await this.expect(message);
  }

  async close(...codeAndReason) {
    this.connection.close(...codeAndReason);
    return this.closed;
  }

  #wake() {
    while (this.#waiting.length && this.#arrived.length) this.#waiting.shift().resolve(this.#arrived.shift());
    if (this.#error) for (const { reject } of this.#waiting.splice(0)) reject(this.#error);
  }
}

for (const size of SIZES) {
  await check(`a text message of ${size} bytes`, async () => {
    const client = await Client.open(urls.echo);
    await client.echoes(textOf(size));
    await client.close();
  });
  await check(`a binary message of ${size} bytes`, async () => {
    const client = await Client.open(urls.echo);
    await client.echoes(Buffer.from(textOf(size)));
    await client.close();
  });
}

await check('emoji and CJK', async () => {
  const client = await Client.open(urls.echo);
  await client.echoes('👋🏽 你好 こんにちは');
  await client.close();
});

await check('200 pipelined messages are answered in order', async () => {
  const client = await Client.open(urls.echo);
  for (let n = 0; n < 200; n += 1) client.send(`message ${n}`);
  for (let n = 0; n < 200; n += 1) await client.expect(`message ${n}`);
  await client.close();
});

await check('a message in fragments, with a ping between them, R-F9', async () => {
  const client = await Client.open(urls.echo);
  client.send('frag', { fin: false });
  await ponged(client, 'between');
  client.send('', { fin: false });
  client.send('ment', { fin: true });
  await client.expect('fragment');
  await client.close();
});

await check('each ping gets its pong, R-F13', async () => {
  const client = await Client.open(urls.echo);
  await ponged(client, '');
  await ponged(client, 'x'.repeat(125));
  await client.close();
});

await check('our close code comes back, R-X2', async () => {
  const client = await Client.open(urls.echo);
  const { code } = await client.close(4001, 'that is all');
  if (code !== 4001) throw new Error(`got ${code}`);
});

await check('an empty close frame gets an empty one, R-X2, R-X7', async () => {
  const client = await Client.open(urls.echo);
  const { code } = await client.close();
  if (code !== 1005) throw new Error(`got ${code}`);
});

await check('version 8 works like 13, §4 row 2', async () => {
  const client = await Client.open(urls.echo, { protocolVersion: 8, origin: GOOD_ORIGIN });
  await client.echoes('hello');
  await client.close();
});

await check('the offered compression is declined, R-R6, P-S6', async () => {
  const client = await Client.open(urls.echo, { perMessageDeflate: true });
  if (client.connection.extensions !== '') throw new Error(`got ${client.connection.extensions}`);
  await client.echoes(textOf(10_000));
  await client.close();
});

// What clients offer, and what of it the answer must have.
const OFFERS = {
  'nothing in particular': [{}, []],
  'no context of the server': [{ serverNoContextTakeover: true }, ['server_no_context_takeover']],
  'no context of the client': [{ clientNoContextTakeover: true }, ['client_no_context_takeover']],
  'a window of 10 bits for the server': [{ serverMaxWindowBits: 10 }, ['server_max_window_bits=']],
  'a window of 10 bits for the client': [{ clientMaxWindowBits: 10 }, ['client_max_window_bits=']],
};

// Where the servers with compression were not named, it is not tried.
for (const server of ['deflate', 'deflate-context', 'deflate-window'].filter((name) => urls[name])) {
  for (const [what, [terms, parts]] of Object.entries(OFFERS)) {
    await check(`compressed messages with ${server}, offering ${what}, P-M4 to P-M7`, async () => {
      const client = await Client.open(urls[server], { perMessageDeflate: { threshold: 0, ...terms } });
      const answer = client.answer.headers['sec-websocket-extensions'] ?? '';
      for (const part of ['permessage-deflate', ...parts]) {
        if (!answer.includes(part)) throw new Error(`${part} is not in ${answer}`);
      }
      for (const size of [0, 1, 1023, 1024, 65_536, 500_000]) {
        // Twice, so that the second can refer to the first.
        for (let round = 0; round < 2; round += 1) {
          await client.echoes(textOf(size));
          await client.echoes(Buffer.from(textOf(size)));
        }
      }
      client.send('frag', { fin: false });
      client.send('', { fin: false });
      client.send(textOf(20_000), { fin: true });
      await client.expect(`frag${textOf(20_000)}`);
      for (let n = 0; n < 100; n += 1) client.send(`message ${n} ${textOf(2000)}`);
      for (let n = 0; n < 100; n += 1) await client.expect(`message ${n} ${textOf(2000)}`);
      // More than 2.5 MB came back; these texts are at least halved.
      const came = client.connection._socket.bytesRead;
      if (came > 1_500_000) throw new Error(`${came} bytes came, so little is compressed`);
      await client.close();
    });
  }
}

if (urls['deflate-broadcast']) await check('compressed broadcasts reach 50 clients, whatever they agreed on, between messages of their own', async () => {
  const offers = [false, true, { serverMaxWindowBits: 9 }, { serverNoContextTakeover: true }, { clientNoContextTakeover: true }];
  const clients = await Promise.all(Array.from({ length: 50 }, (_, n) => (
    Client.open(urls['deflate-broadcast'], { perMessageDeflate: offers[n % offers.length] })
  )));
  const messages = clients.map((_, n) => `from ${n} ${textOf(3000)}`);
  clients.forEach((client, n) => client.send(messages[n]));
  await Promise.all(clients.map(async (client) => {
    const got = [];
    for (let n = 0; n < messages.length; n += 1) got.push(await client.recv());
    sameSet(got, messages);
  }));
  await Promise.all(clients.map((client) => client.close()));
});

await check('the subprotocol that both have is chosen, R-R5', async () => {
  const client = await Client.open(urls.strict, { protocols: ['other', 'echo.v1'], origin: GOOD_ORIGIN });
  if (client.connection.protocol !== 'echo.v1') throw new Error(`got ${client.connection.protocol}`);
  await client.echoes('hello');
  await client.close();
});

await check('another origin is refused with 403, R-H10', async () => {
  const client = new Client(urls.strict, { protocols: ['echo.v1'], origin: 'http://bad.example' });
  const status = await new Promise((resolve, reject) => {
    client.connection.once('unexpected-response', (request, response) => {
      request.destroy();
      resolve(response.statusCode);
    });
    client.connection.once('open', () => reject(new Error('the server accepts it')));
    client.connection.once('error', reject);
  });
  if (status !== 403) throw new Error(`got ${status}`);
});

await check('100 connections at once, each gets its own echoes', async () => {
  const clients = await Promise.all(Array.from({ length: 100 }, () => Client.open(urls.echo)));
  await Promise.all(clients.map(async (client, n) => {
    for (let round = 0; round < 5; round += 1) await client.echoes(`client ${n}, round ${round}`);
  }));
  await Promise.all(clients.map((client) => client.close()));
});

await check('broadcast: 100 messages reach 100 clients, and a draft-75 and a draft-76 client, too', async () => {
  const drafts = [];
  try {
    // A message of its own, when it comes back, shows that a draft client is in.
    for (const version of ['draft75', 'draft76']) {
      drafts.push(hixie(version));
      drafts.at(-1).input.write(`${version} is in\n`);
      for (const draft of drafts) await draft.expectAll([`${version} is in`]);
    }
    const clients = await Promise.all(Array.from({ length: 100 }, () => Client.open(urls.broadcast)));
    const messages = clients.map((_, n) => `from ${n}`);
    clients.forEach((client, n) => client.send(messages[n]));

    // Messages of different senders may come in any order, but each comes to each exactly once.
    await Promise.all(clients.map(async (client) => {
      const got = [];
      for (let n = 0; n < messages.length; n += 1) got.push(await client.recv());
      sameSet(got, messages);
    }));
    for (const draft of drafts) await draft.expectAll(messages);
    await Promise.all(clients.map((client) => client.close()));
  } finally {
    for (const draft of drafts) draft.process.kill();
  }
});

exit();

/** A draft-75 or draft-76 client in a process of its own, line by line. */
function hixie(version) {
  const script = fileURLToPath(new URL('../perl/chat76.pl', import.meta.url));
  const child = spawn('perl', [script, urls.broadcast, version], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => {}); // it has died; expectAll says so
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    process: child,
    input: child.stdin,
    async expectAll(messages) {
      const got = [];
      while (got.length < messages.length) {
        const { value, done } = await lines.next();
        if (done) throw new Error(`the ${version} client ended`);
        got.push(value);
      }
      sameSet(got, messages);
    },
  };
}

function ponged(client, payload) {
  return new Promise((resolve, reject) => {
    client.connection.once('pong', (answer) => {
      if (answer.toString() === payload) resolve();
      else reject(new Error(`pong with ${brief(answer.toString())}`));
    });
    client.connection.ping(payload);
  });
}

/** ASCII in which every place looks different, so that lost or swapped bytes show. */
function textOf(size) {
  return Array.from({ length: size / 2 + 1 }, (_, n) => n * 7).join(' ').slice(0, size);
}

function sameSet(got, expected) {
  if ([...got].sort().join('\n') !== [...expected].sort().join('\n')) throw new Error(`got ${brief(got.join(', '))}`);
}

function brief(message) {
  return `${Buffer.isBuffer(message) ? 'binary' : 'text'}, ${message.length} long: ${message.toString().slice(0, 24)}`;
}
