import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { loadPosix } from '../../../src/native/load.ts';
import type { DatagramBatch } from '../../../src/native/posix.ts';
import { type HostSocket, openHostSocket } from '../../../src/proxy/udp/host-socket.ts';
import { type HostTarget, hostTarget } from '../../../src/proxy/udp/host-target.ts';
import { Outbox, Outboxes, type Sender } from '../../../src/proxy/udp/outbox.ts';
import { SendPool, type SendSlot } from '../../../src/proxy/udp/send-pool.ts';
import { until } from '../recording.ts';

const EIO = -5;
const EAGAIN = -11;
const EINVAL = -22;
const ENOBUFS = -105;
const ECONNREFUSED = -111;

/** A real batch whose `send` can be made to fail, and that records how it was used. */
class ScriptedBatch implements DatagramBatch {
  readonly calls: string[] = [];
  /** For the next sends: -errno, or the most that the kernel takes. */
  readonly script: number[] = [];
  private readonly real = loadPosix().makeDatagramBatch();
  private readonly added: [Uint8Array, number, Uint8Array][] = [];
  private segments = false;

  get capacity(): number {
    return this.real.capacity;
  }
  get length(): number {
    return this.added.length;
  }
  get segmented(): boolean {
    return this.real.segmented;
  }
  clear(segments: boolean): void {
    this.added.length = 0;
    this.segments = segments;
    this.real.clear(segments);
  }
  add(bytes: Uint8Array, len: number, name: Uint8Array): boolean {
    if (!this.real.add(bytes, len, name)) return false;
    this.added.push([bytes, len, name]);
    return true;
  }
  send(fd: number): number {
    const limit = this.script.shift() ?? this.capacity;
    const how = `${this.length}${this.segmented ? ' segmented' : ''}`;
    this.calls.push(limit < 0 ? `${how}: ${limit}` : how);
    if (limit < 0) return limit;
    this.real.clear(this.segments);
    for (const args of this.added.slice(0, limit)) this.real.add(...args);
    return this.real.send(fd);
  }
}

class RecordingSender implements Sender {
  readonly sent: string[] = [];
  interruptions = 0;
  again: Outbox | undefined = undefined;

  onSent(slot: SendSlot, failure: string): void {
    this.sent.push(`${slot.bytes[0]}${failure === '' ? '' : ` ${failure}`}`);
    if (failure !== '' && this.again !== undefined) this.again.add(slot);
  }
  onInterrupted(): void {
    this.interruptions++;
  }
}

describe('proxy/udp/outbox', () => {
  let batch: ScriptedBatch;
  let outboxes: Outboxes;
  let sender: RecordingSender;
  let outbox: Outbox;
  let host: HostSocket;
  let server: Socket;
  let target: HostTarget;
  let got: number[];
  const pool = new SendPool();

  beforeEach(async () => {
    batch = new ScriptedBatch();
    outboxes = new Outboxes(() => batch);
    sender = new RecordingSender();
    const opened = openHostSocket(
      { family: 4 },
      { onMessage() {}, onReceiveError() {}, onFault() {} },
    );
    assert.ok(typeof opened !== 'string');
    host = opened;
    outbox = new Outbox(outboxes, host, sender);
    got = [];
    server = createSocket('udp4', (bytes) => got.push(bytes[0] ?? -1));
    await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
    target = hostTarget('127.0.0.1', server.address().port);
  });
  afterEach(() => {
    host.socket.close();
    server.close();
  });

  const slot = (value: number, to: HostTarget = target): SendSlot => {
    const taken = pool.take(10, to);
    assert.ok(taken);
    taken.bytes[0] = value;
    return taken;
  };
  const add = (...values: number[]): void => {
    for (const value of values) outbox.add(slot(value));
  };

  it('sends at the end of the batch what was added in it, by one call', async () => {
    add(1, 2, 3);
    assert.deepEqual(batch.calls, []);
    outboxes.flush();
    outboxes.flush();
    assert.deepEqual(batch.calls, ['3 segmented']);
    assert.deepEqual(sender.sent, ['1', '2', '3']);
    await until(() => got.length === 3);
    assert.deepEqual(got, [1, 2, 3]);
  });

  it('does not wait for the end of the batch when one call takes no more', async () => {
    for (let i = 0; i < batch.capacity; i++) add(i);
    assert.equal(sender.sent.length, batch.capacity);
    add(100);
    assert.equal(batch.calls.length, 1);
    outboxes.flush();
    await until(() => got.length === batch.capacity + 1);
  });

  it('goes on after the kernel has stopped in the middle, and says that something was reported', async () => {
    batch.script.push(2);
    add(1, 2, 3, 4);
    outboxes.flush();
    assert.equal(sender.interruptions, 1);
    assert.deepEqual(batch.calls, ['4 segmented', '2 segmented']);
    await until(() => got.length === 4);
    assert.deepEqual(got, [1, 2, 3, 4]);
  });

  it('a refusal is about the first, by name, and the others go on; it may be added again', async () => {
    sender.again = outbox;
    batch.script.push(ECONNREFUSED);
    add(1, 2);
    outboxes.flush();
    assert.deepEqual(sender.sent, ['1 ECONNREFUSED', '2', '1']);
    await until(() => got.length === 2);
  });

  for (const errno of [EAGAIN, ENOBUFS]) {
    it(`what the kernel has no room for (${errno}) waits at Node, and what follows behind it`, async () => {
      batch.script.push(2, errno);
      add(1, 2, 3, 4);
      outboxes.flush();
      add(5);
      assert.equal(batch.calls.length, 2);
      await until(() => got.length === 5 && sender.sent.length === 5);
      assert.deepEqual(got, [1, 2, 3, 4, 5]);
      add(6);
      outboxes.flush();
      assert.deepEqual(batch.calls.at(-1), '1', 'Node is done: by batches again');
      await until(() => got.length === 6);
    });
  }

  for (const errno of [EINVAL, EIO]) {
    it(`where segments are refused (${errno}), every datagram is a message of its own`, async () => {
      batch.script.push(errno);
      add(1, 2, 3);
      outboxes.flush();
      add(4, 5);
      outboxes.flush();
      assert.deepEqual(batch.calls, [`3 segmented: ${errno}`, '3', '2']);
      assert.deepEqual(sender.sent, ['1', '2', '3', '4', '5']);
      await until(() => got.length === 5);
    });
  }

  it('an address with a zone is for Node to look up, after what was added before', async () => {
    const zoned = hostTarget('fe80::1%lo', 9, 6);
    assert.equal(zoned.name, undefined);
    add(1);
    outbox.add(slot(2, { ...target, name: undefined }));
    add(3);
    outboxes.flush();
    await until(() => got.length === 3);
    assert.deepEqual(got, [1, 2, 3]);
    assert.deepEqual(batch.calls, ['1']);
  });

  it('without native calls, each goes to Node at once', async () => {
    outbox = new Outbox(new Outboxes(() => undefined), host, sender);
    add(1, 2);
    await until(() => got.length === 2 && sender.sent.length === 2);
  });
});
