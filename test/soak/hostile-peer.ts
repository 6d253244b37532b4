/**
 * A hostile guest as a process: `node hostile-peer.js SOCKET SEED SPARED_ADDRESS`. It sends frames to
 * a `qemu:` socket as fast as the daemon takes them, answers what it gets, now and then breaks the
 * framing or leaves in the middle of a frame, and comes back. On SIGTERM one line of JSON.
 */
import { connect, type Socket } from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../../src/base/random.ts';
import { captureNames, readCapture } from '../golden/support/capture.ts';
import { HostileFrames } from './hostile-frames.ts';

const BATCH = 64;
const MAX_FRAME = 65_550;
/** Batches between two breaches of the framing. */
const BREACH_EVERY = 3000;
const RETRY_MS = 20;

const [, , path = '', seed = '1', spared = '0'] = process.argv;
const random = seededRandom(Number(seed));
const corpus: Uint8Array[] = [];
for (const name of captureNames()) {
  for (const { bytes } of await readCapture(name)) corpus.push(bytes);
}
const frames = new HostileFrames(random, corpus, Number(spared));
const counts = { sent: 0, received: 0, answered: 0, connections: 0 };

/** Frames of the stream out of what arrives. */
class Incoming {
  private rest: Uint8Array = new Uint8Array(0);
  readonly replies: Uint8Array[] = [];

  take(chunk: Uint8Array): void {
    const all = new Uint8Array(this.rest.length + chunk.length);
    all.set(this.rest);
    all.set(chunk, this.rest.length);
    const view = new DataView(all.buffer);
    let at = 0;
    while (at + 4 <= all.length) {
      const len = view.getUint32(at);
      if (at + 4 + len > all.length) break;
      counts.received++;
      const reply = frames.answer(all.subarray(at + 4, at + 4 + len));
      if (reply !== undefined && this.replies.length < BATCH) this.replies.push(reply);
      at += 4 + len;
    }
    this.rest = all.slice(at);
  }
}

function encode(batch: readonly Uint8Array[]): Uint8Array {
  const total = batch.reduce((sum, frame) => sum + 4 + frame.length, 0);
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const frame of batch) {
    view.setUint32(at, frame.length);
    bytes.set(frame, at + 4);
    at += 4 + frame.length;
  }
  return bytes;
}

/** Send until the connection ends. */
async function attack(socket: Socket): Promise<void> {
  const incoming = new Incoming();
  socket.on('data', (chunk) => incoming.take(chunk));
  for (let batches = 1; !socket.destroyed; batches++) {
    const replies = incoming.replies.splice(0);
    const batch = [...replies];
    while (batch.length < BATCH) batch.push(frames.next());
    counts.sent += batch.length;
    counts.answered += replies.length;
    const bytes = encode(batch.filter((frame) => frame.length > 0 && frame.length < MAX_FRAME));
    if (batches % BREACH_EVERY === 0) return breach(socket, bytes);
    if (socket.write(bytes)) await nextTurn();
    else await drained(socket);
  }
}

/** Resolves also when the connection ends, however it does. */
function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
    if (socket.destroyed) done();
  });
}

async function breach(socket: Socket, bytes: Uint8Array): Promise<void> {
  const half = bytes.subarray(0, bytes.length >> 1);
  if ((random.next32() & 1) === 0) {
    socket.end(half); // leaves within a frame
  } else {
    socket.write(Uint8Array.of(255, 255, 255, 255, 1, 2, 3)); // a length that no frame has
  }
  if (!socket.destroyed) await Promise.race([drained(socket), sleep(1000)]);
  socket.destroy();
}

process.on('SIGTERM', () => {
  process.stdout.write(`${JSON.stringify(counts)}\n`, () => process.exit(0));
});

for (;;) {
  const socket = connect(path);
  socket.on('error', () => {}); // the daemon hangs up on broken framing; 'close' follows
  counts.connections++;
  await attack(socket);
  await sleep(RETRY_MS);
}
