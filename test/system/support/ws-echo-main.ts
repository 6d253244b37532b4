/** A client of WebSocket: `node ws-echo-main.js URL HOST`. Prints `echo LENGTH` of what has come back. */
import { WebSocket } from 'ws';

const [, , url = '', host = ''] = process.argv;
const socket = new WebSocket(url, { headers: { host } });
socket.on('open', () => socket.send('x'.repeat(100_000)));
socket.on('message', (data: Buffer) => {
  process.stdout.write(`echo ${data.length}\n`);
  socket.close();
});
socket.on('error', (error) => process.stdout.write(`${error.message}\n`));
