// ws, as its README shows it, with compression in contexts at the level of the others, of every message.

import { createInterface } from 'node:readline';
import { WebSocketServer } from 'ws';

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  perMessageDeflate: { threshold: 0, zlibDeflateOptions: { level: 6 } },
});
server.on('connection', (socket) => {
  // Clients end with a reset, which is an error here.
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.on('listening', () => console.log(`listening on 127.0.0.1:${server.address().port}`));

// The end of the input ends the server.
createInterface({ input: process.stdin })
  .on('line', () => console.log('allocations are not counted in this build'))
  .on('close', () => process.exit(0));
