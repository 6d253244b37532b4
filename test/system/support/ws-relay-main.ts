/**
 * Between a bridge that listens on a Unix socket, with lengths of 16 bits, and a WebSocket with a frame a message, which is
 * connected again whenever it goes: `node ws-relay-main.js SOCKET URL`.
 */
import { WebSocket } from 'ws';
import { connectedTo } from '../../support/connected-to.ts';

const AGAIN_MS = 20;
const UNSENT_MAX = 1 << 20;

const [, , path = '', url = ''] = process.argv;
const bridge = await connectedTo(path);
let socket: WebSocket | undefined;

function dial(): void {
  const dialled = new WebSocket(url, { perMessageDeflate: false });
  dialled.on('open', () => {
    socket = dialled;
    process.stdout.write('joined\n');
  });
  dialled.on('message', (frame: Buffer) => {
    const header = Buffer.alloc(2);
    header.writeUInt16LE(frame.length);
    bridge.cork();
    bridge.write(header);
    const hasRoom = bridge.write(frame);
    process.nextTick(() => bridge.uncork());
    if (hasRoom || dialled.isPaused) return;
    dialled.pause();
    bridge.once('drain', () => dialled.resume());
  });
  dialled.on('error', () => {});
  dialled.on('close', () => {
    socket = undefined;
    setTimeout(dial, AGAIN_MS);
  });
}

let held: Buffer = Buffer.alloc(0);
const onSent = (): void => {
  if (bridge.isPaused() && (socket?.bufferedAmount ?? 0) < UNSENT_MAX) bridge.resume();
};
bridge.on('data', (chunk: Buffer) => {
  held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
  let at = 0;
  while (held.length - at >= 2) {
    const end = at + 2 + held.readUInt16LE(at);
    if (end > held.length) break;
    socket?.send(held.subarray(at + 2, end), onSent);
    at = end;
  }
  held = held.subarray(at);
  if ((socket?.bufferedAmount ?? 0) > UNSENT_MAX) bridge.pause();
});
bridge.on('close', () => process.exit(0));
dial();
