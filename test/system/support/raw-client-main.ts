/**
 * Sends bytes as they are: `node raw-client-main.js ADDRESS PORT [PIECE...]`, each piece (hexadecimal) in a segment of its
 * own. A piece `wait` waits for something to arrive, `end` ends. Prints JSON: what has arrived, how it ended, and how many
 * milliseconds after the last piece.
 */
import { once } from 'node:events';
import { connect } from 'node:net';

const [, , address = '', port = '', ...pieces] = process.argv;
const GIVE_UP_MS = 3000;
const got: Buffer[] = [];
let error = '';
const socket = connect({ host: address, port: Number(port), noDelay: true, allowHalfOpen: true });
const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
socket.on('error', (failure: NodeJS.ErrnoException) => {
  error = failure.code ?? failure.message;
});
const hasData = new Promise<void>((resolve) => {
  socket.on('data', (bytes) => {
    got.push(bytes);
    resolve();
  });
});
socket.on('end', () => {
  if (error === '') error = 'end';
});
await Promise.race([once(socket, 'connect').catch(() => {}), closed]);
for (const piece of pieces) {
  if (socket.destroyed) break;
  if (piece === 'wait') await Promise.race([hasData, closed]);
  else if (piece === 'end') socket.end();
  else
    await new Promise<void>((resolve) => socket.write(Buffer.from(piece, 'hex'), () => resolve()));
}
const sentAt = performance.now();
const end = new Promise<void>((resolve) => socket.once('end', () => resolve()));
const isOver = await Promise.race([
  Promise.race([closed, end]).then(() => true),
  new Promise<boolean>((resolve) => setTimeout(resolve, GIVE_UP_MS, false)),
]);
const afterMs = Math.round(performance.now() - sentAt);
const how = isOver ? error : 'open';
process.stdout.write(JSON.stringify({ got: Buffer.concat(got).toString(), how, afterMs }));
process.exit();
