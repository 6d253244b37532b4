import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ByteStream } from '../../../src/base/byte-stream.ts';
import { connectStream } from '../../../src/native/stream/connect-stream.ts';
import { type HostStream, READ_BUFFER } from '../../../src/native/stream/host-stream.ts';
import { Intakes } from '../../../src/proxy/intake.ts';
import { StreamPump } from '../../../src/proxy/stream/stream-pump.ts';
import { Turns } from '../../../src/proxy/turns.ts';
import { OWNER, until } from '../recording.ts';

const STREAMS = 400;
const clock = { now: () => performance.now(), wakeAt: () => {} };

/** A guest's side that takes all, and whose end costs as much as that of a connection. */
class Flow implements ByteStream {
  readonly receivedLen = 0;
  readonly sendSpace: number = READ_BUFFER.length;
  got = '';
  /** Whether what it was given waits for the guest. */
  keeps = false;
  wanted = 0;
  isEnded = false;
  isAborted = false;

  get queuedLen(): number {
    return this.keeps ? this.got.length : 0;
  }
  readable(): Uint8Array {
    return new Uint8Array(0);
  }
  lend() {
    return { bytes: new Uint8Array(0), off: 0, len: 0 };
  }
  release(): void {}
  wantSpace(n: number): void {
    this.wanted = n;
  }
  send(_now: number, bytes: Uint8Array, off: number, len: number): void {
    this.got += Buffer.from(bytes.subarray(off, off + len)).toString();
  }
  shutdown(): void {
    assert.ok(!this.isEnded && !this.isAborted);
    for (const began = clock.now(); clock.now() - began < 0.04; );
    this.isEnded = true;
  }
  abort(): void {
    this.isAborted = true;
  }
}

describe('proxy/stream: what the host ends at once', () => {
  let server: Server;
  let peers: Socket[];
  let flows: Flow[];
  let pumps: StreamPump<Flow, string>[];
  let over: number;

  beforeEach(async () => {
    peers = [];
    over = 0;
    server = createServer({ allowHalfOpen: true }, (peer) => {
      peers.push(peer.on('error', () => {}));
      peer.resume();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const intakes = new Intakes(new Turns({ clock, owed: () => 0 }));
    const context = { clock, flusher: { schedule: () => {} }, intakes };
    flows = [];
    pumps = [];
    for (let n = 0; n < STREAMS; n++) {
      const stream = await new Promise<HostStream>((onConnected, onConnectFailed) => {
        const owner = { onConnected, onConnectFailed };
        connectStream({ host: '127.0.0.1', port }, owner);
      });
      const pump = new StreamPump<Flow, string>(context, () => over++);
      const flow = new Flow();
      pump.join(stream, flow, intakes.of(OWNER));
      pumps.push(pump);
      flows.push(flow);
    }
    await until(() => peers.length === STREAMS);
  });
  afterEach(() => {
    for (const pump of pumps) pump.abort();
    for (const peer of peers) peer.destroy();
    server.close();
  });

  /** @returns the most in one turn */
  const settle = async (isDone: (flow: Flow) => boolean): Promise<number> => {
    let most = 0;
    const began = clock.now();
    for (let before = 0; before < STREAMS; ) {
      await nextTurn();
      const done = flows.filter(isDone).length;
      most = Math.max(most, done - before);
      before = done;
      assert.ok(clock.now() - began < 10_000, `${done} of ${STREAMS}`);
    }
    return most;
  };

  it('is passed on part by part, after every byte', async () => {
    for (const peer of peers) peer.end('last words');
    const most = await settle(({ isEnded }) => isEnded);
    assert.ok(most < 150, `${most} in one turn`);
    assert.ok(flows.every(({ got }) => got === 'last words'));
    for (const pump of pumps) pump.onPeerEnd(clock.now());
    await until(() => over === STREAMS);
    assert.ok(flows.every(({ isAborted }) => !isAborted));
  });

  it('fails part by part where it is a reset', async () => {
    for (const peer of peers) peer.resetAndDestroy();
    const most = await settle(({ isAborted }) => isAborted);
    assert.ok(most < 150, `${most} in one turn`);
    assert.equal(over, STREAMS);
  });

  for (const isTaken of [true, false]) {
    it(`fails behind what was read before, ${isTaken ? 'once the guest has it' : 'which the guest does not take, after a second'}`, async () => {
      for (const peer of peers) {
        peer.write('last words');
        peer.resetAndDestroy();
      }
      for (const flow of flows) flow.keeps = true;
      await until(() => flows.every((flow) => flow.wanted > 0));
      assert.ok(flows.every((flow) => flow.got === 'last words' && !flow.isAborted));
      assert.equal(over, 0);
      if (isTaken) for (const pump of pumps) pump.onWritable();
      await until(() => over === STREAMS);
      assert.ok(flows.every((flow) => flow.isAborted && !flow.isEnded));
    });
  }

  it('a guest that leaves while it waits has it no more', async () => {
    for (const peer of peers) peer.end();
    await until(() => flows.some(({ isEnded }) => isEnded));
    for (const pump of pumps) pump.abort();
    assert.equal(over, STREAMS);
    const ended = flows.filter(({ isEnded }) => isEnded).length;
    for (let n = 0; n < 50; n++) await nextTurn();
    assert.equal(flows.filter(({ isEnded }) => isEnded).length, ended);
  });
});
