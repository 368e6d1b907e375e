// Socket.IO with the Redis adapter, as its documentation shows it. A message starts with a letter and eight digits, which
// name a room: j joins it, and comes back; p goes to its members on all nodes.

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { createAdapter } from '@socket.io/redis-adapter';
import { createClient } from 'redis';
import { Server } from 'socket.io';

const { values } = parseArgs({ options: { mode: { type: 'string' }, redis: { type: 'string' } } });
const publisher = createClient({ url: values.redis });
const subscriber = publisher.duplicate();
for (const client of [publisher, subscriber]) {
  client.on('error', () => {});
}
await Promise.all([publisher.connect(), subscriber.connect()]);

const server = createServer();
const io = new Server(server, { adapter: createAdapter(publisher, subscriber), transports: ['websocket'] });
io.on('connection', (socket) => {
  socket.on('m', (text) => {
    const room = text.slice(1, 9);
    if (text[0] === 'j') {
      socket.join(room);
      socket.emit('m', text);
    } else {
      io.to(room).emit('m', text);
    }
  });
});
server.listen(0, '127.0.0.1', () => console.log(`listening on 127.0.0.1:${server.address().port}`));

// The end of the input ends the server.
createInterface({ input: process.stdin })
  .on('line', () => console.log('allocations are not counted in this build'))
  .on('close', () => process.exit(0));
