import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Run, runOf } from '../../../src/base/run.ts';
import { NO_FLUSH } from '../../../src/proxy/flush-scheduler.ts';
import { ByteDuplex, namesOf } from '../../../src/proxy/stream/byte-duplex.ts';
import type { FlowId, TcpFlow, TcpFlowInfo } from '../../../src/stack/flow.ts';
import { GATEWAY, GUEST, OWNER, TestClock } from '../recording.ts';

const ID: FlowId = { guest: GUEST, guestPort: 40_000, remote: GATEWAY, remotePort: 80 };

/** A flow with a received ring that the test fills, and send space that it grants. */
class FakeFlow implements TcpFlow {
  readonly id = ID;
  readonly owner = OWNER;
  received: Buffer = Buffer.alloc(0);
  sent: Buffer = Buffer.alloc(0);
  sendSpace = 1 << 20;
  wanted = 0;
  readonly calls: string[] = [];

  get receivedLen(): number {
    return this.received.length;
  }
  readable(): Uint8Array {
    return this.received;
  }
  get queuedLen(): number {
    return this.sent.length;
  }
  lend(): Run {
    return runOf(this.received, 0, this.received.length);
  }
  peek(offset: number): Run {
    return runOf(this.received, offset, this.received.length - offset);
  }
  release(_now: number, n: number): void {
    this.received = this.received.subarray(n);
  }
  send(_now: number, bytes: Uint8Array, off: number, len: number): void {
    assert.ok(len <= this.sendSpace, 'more than the ring takes');
    this.sendSpace -= len;
    this.sent = Buffer.concat([this.sent, bytes.subarray(off, off + len)]);
  }
  reserve(): Uint8Array | undefined {
    return undefined;
  }
  fill(): void {
    assert.fail('nothing was lent');
  }
  wantSpace(n: number): void {
    this.wanted = n;
  }
  shutdown(): void {
    this.calls.push('shutdown');
  }
  abort(): void {
    this.calls.push('abort');
  }
  describe(): TcpFlowInfo {
    throw new Error('not asked for');
  }
}

describe('proxy/stream/byte-duplex', () => {
  let flow: FakeFlow;
  let duplex: ByteDuplex;

  beforeEach(() => {
    flow = new FakeFlow();
    duplex = new ByteDuplex({ clock: new TestClock(), flusher: NO_FLUSH }, namesOf(ID));
    duplex.on('error', () => {});
    duplex.join(flow);
  });

  it('one that both sides have ended closes though nobody reads it, if there is nothing to read', async () => {
    for (const isPeerFirst of [true, false]) {
      const one = new ByteDuplex({ clock: new TestClock(), flusher: NO_FLUSH }, namesOf(ID));
      one.join(new FakeFlow());
      const closed = once(one, 'close');
      if (isPeerFirst) one.onPeerEnd();
      one.end('bye');
      if (!isPeerFirst) {
        await once(one, 'finish');
        one.onPeerEnd();
      }
      await closed;
    }
  });

  it('one with something to read waits for its reader, also after its own end', async () => {
    flow.received = Buffer.from('late');
    duplex.join(flow);
    duplex.end();
    duplex.onPeerEnd();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(duplex.destroyed, false);
    assert.equal(`${(await duplex.toArray()).join('')}`, 'late');
  });

  it('says who the guest is', () => {
    assert.deepEqual([duplex.remoteAddress, duplex.remotePort], ['192.168.127.2', 40_000]);
  });

  it('takes from the ring only what the reader asks for', async () => {
    flow.received = Buffer.alloc(256 * 1024, 'x');
    duplex.onReadable();
    assert.equal(flow.receivedLen, 256 * 1024); // nobody reads yet
    duplex.read(0);
    const kept = 256 * 1024 - flow.receivedLen;
    assert.ok(kept > 0 && kept <= 64 * 1024, `${kept} bytes are held in the stream`);
    duplex.onPeerEnd();
    let got = 0;
    for await (const chunk of duplex) got += chunk.length;
    assert.equal(got, 256 * 1024);
  });

  it('a listener that destroys it amid its bytes takes the others with it, and no more', async () => {
    flow.release = (_now, n) => {
      assert.ok(n <= flow.receivedLen, 'ring released beyond its end');
      flow.received = flow.received.subarray(n);
    };
    flow.abort = () => {
      flow.received = Buffer.alloc(0);
    };
    duplex.on('data', () => duplex.destroy());
    await new Promise((resolve) => setImmediate(resolve)); // it reads
    flow.received = Buffer.alloc(100_000, 'x');
    duplex.onReadable();
    assert.equal(flow.receivedLen, 0);
  });

  it('a listener that reads on amid the bytes gets each once', async () => {
    const got: Buffer[] = [];
    duplex.on('data', (part: Buffer) => {
      got.push(part);
      duplex.read(0);
    });
    await new Promise((resolve) => setImmediate(resolve));
    flow.received = Buffer.from(Array.from({ length: 200_000 }, (_, i) => i % 251));
    const sent = Buffer.from(flow.received);
    duplex.onReadable();
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(Buffer.concat(got).equals(sent));
  });

  it('writes as far as there is room, and goes on when there is more', async () => {
    flow.sendSpace = 1000;
    const written = once(duplex, 'drain');
    assert.equal(duplex.write(Buffer.alloc(100_000, 'y')), false);
    assert.equal(flow.sent.length, 1000);
    assert.equal(flow.wanted, 4096);
    flow.sendSpace = 100_000;
    duplex.onWritable();
    await written;
    assert.equal(flow.sent.length, 100_000);
  });

  it('an end is a FIN after the bytes before it; both ends finish it', async () => {
    duplex.end('bye');
    await once(duplex, 'finish');
    assert.deepEqual([flow.sent.toString(), flow.calls], ['bye', ['shutdown']]);
    duplex.resume();
    duplex.onPeerEnd();
    await once(duplex, 'close');
    duplex.onClosed(0, flow, 'finished');
    assert.deepEqual(flow.calls, ['shutdown']);
  });

  it('what was received is still read after both ends have finished', async () => {
    duplex.end();
    await once(duplex, 'finish');
    flow.received = Buffer.alloc(200 * 1024, 'z');
    duplex.onReadable();
    duplex.onPeerEnd();
    duplex.onClosed(0, flow, 'finished');
    let got = 0;
    for await (const chunk of duplex) got += chunk.length;
    assert.equal(got, 200 * 1024);
    assert.deepEqual(flow.calls, ['shutdown']);
  });

  it("a guest's reset is ECONNRESET", async () => {
    const failed = once(duplex, 'error');
    duplex.onClosed(0, flow, 'reset-by-guest');
    const [error] = await failed;
    assert.equal(Reflect.get(Object(error), 'code'), 'ECONNRESET');
    assert.deepEqual(flow.calls, []);
  });

  it('destroyed at once resets the guest, also while it writes', async () => {
    flow.sendSpace = 0;
    duplex.write('unsent');
    duplex.destroy();
    await once(duplex, 'close');
    assert.deepEqual(flow.calls, ['abort']);
    duplex.onWritable(); // late calls do no harm
    duplex.onReadable();
    assert.equal(flow.sent.length, 0);
  });

  it('destroySoon lets the answer out first, and takes no more from the guest', async () => {
    duplex.write('answer');
    duplex.destroySoon();
    await once(duplex, 'close');
    assert.deepEqual([flow.sent.toString(), flow.calls], ['answer', ['shutdown']]);
    flow.received = Buffer.alloc(10_000);
    duplex.onReadable();
    assert.equal(flow.receivedLen, 0); // drained: the guest's window must not hold its FIN back
    duplex.onPeerEnd();
    duplex.onClosed(0, flow, 'finished');
    assert.deepEqual(flow.calls, ['shutdown']);
  });
});
