import assert from 'node:assert/strict';
import { Counters } from '../../../src/base/counters.ts';
import type { Run } from '../../../src/base/run.ts';
import type { HostStream } from '../../../src/native/stream/host-stream.ts';
import type { FlowBook } from '../../../src/proxy/flows/flow-book.ts';
import type { GuestEnd } from '../../../src/proxy/tcp/guest-dial.ts';
import { TcpProxy } from '../../../src/proxy/tcp/tcp-proxy.ts';
import type { CloseReason, FlowId, TcpFlow, TcpFlowHandler } from '../../../src/stack/flow.ts';
import {
  flowBook,
  GATEWAY,
  GUEST,
  GUEST6,
  HOST6,
  ip,
  OWNER,
  RecordingDownstream,
  SOCKETS,
  TestClock,
} from '../recording.ts';

const NO_RUN: Run = { bytes: new Uint8Array(0), off: 0, len: 0 };
const GUEST6_OTHER = ip('fd12:3456::3');
const LONG = 1 << 30;

/** A connection of the stack's to a guest. */
class Flow implements TcpFlow {
  readonly owner = OWNER;
  readonly id: FlowId;
  readonly handler: TcpFlowHandler;
  readonly receivedLen = 0;
  readonly sendSpace = 1 << 20;
  readonly queuedLen = 0;
  sent = '';
  aborted = false;

  constructor(id: FlowId, handler: TcpFlowHandler) {
    this.id = id;
    this.handler = handler;
  }

  get text(): string {
    const { guest, guestPort, remote, remotePort } = this.id;
    return `${remote} ${remotePort} > ${guest} ${guestPort}`;
  }
  opens(): void {
    this.handler.onOpen(0, this);
  }
  closes(reason: CloseReason): void {
    this.handler.onClosed(0, this, reason);
  }
  send(_now: number, bytes: Uint8Array, off: number, len: number): void {
    this.sent += Buffer.from(bytes.subarray(off, off + len)).toString();
  }
  abort(): void {
    this.aborted = true;
  }
  readable = (): Uint8Array => NO_RUN.bytes;
  lend = (): Run => NO_RUN;
  peek = (): Run => NO_RUN;
  release(): void {}
  wantSpace(): void {}
  reserve(): undefined {}
  fill(): void {}
  shutdown(): void {}
  describe(): never {
    assert.fail();
  }
}

class Stack extends RecordingDownstream {
  readonly flows: Flow[] = [];
  /** Sources that are in use. */
  readonly taken = new Set<number>();
  tries = 0;

  override dial(_now?: number, id?: FlowId, handler?: TcpFlowHandler): TcpFlow | undefined {
    this.tries++;
    assert.ok(id !== undefined && handler !== undefined);
    if (this.away.has(`${id.guest}`) || this.taken.has(id.remotePort)) return undefined;
    const flow = new Flow(id, handler);
    this.flows.push(flow);
    return flow;
  }
}

/** A client's connection that nobody has read. */
class Client implements HostStream {
  readonly remoteAddress = '::1';
  readonly remotePort = 5000;
  readonly localAddress = '::1';
  readonly localPort = 8080;
  readonly peerUid = undefined;
  readonly isPeerGone = false;
  readonly did: string[] = [];
  ends = 0;

  start(): void {
    this.did.push('start');
  }
  reset(): void {
    this.did.push('reset');
  }
  write = (): boolean => true;
  setSendBuffer = (): boolean => true;
  end(): void {}
  pause(): void {}
  resume(): void {}
  close(): void {}
}

describe('proxy/tcp/guest-dial', () => {
  let stack: Stack;
  let book: FlowBook;
  let proxy: TcpProxy;
  let client: Client;

  const make = (patienceMs = LONG): void => {
    stack = new Stack();
    book = flowBook();
    const context = { clock: new TestClock(), flusher: { schedule: (): void => stack.flush() } };
    const counts = new Counters<never>();
    proxy = new TcpProxy(context, stack, counts, SOCKETS, book, {}, () => {}, patienceMs);
    client = new Client();
  };
  beforeEach(() => make());

  const ends: readonly GuestEnd[] = [
    { guest: GUEST6, remote: HOST6 },
    { guest: GUEST, remote: GATEWAY },
  ];
  const serve = (all: readonly GuestEnd[] = ends, preface?: string): boolean =>
    proxy.serve({
      stream: client,
      ends: all,
      guestPort: 80,
      clientPort: 5000,
      preface: preface === undefined ? undefined : Buffer.from(preface),
      publication: '1',
      onEnd: () => {
        client.ends++;
      },
    });
  const dialled = (): string[] => stack.flows.map(({ text }) => text);
  const SIX = 'fd12:3456::254 5000 > fd12:3456::2 80';
  const FOUR = '192.168.127.1 5000 > 192.168.127.2 80';

  it('a guest with one address: the client is read at once', () => {
    assert.ok(serve(ends.slice(1), 'PROXY '));
    assert.deepEqual([dialled(), client.did], [[FOUR], ['start']]);
    assert.equal(stack.flows[0]?.sent, 'PROXY ');
    stack.flows[0]?.closes('refused');
    assert.deepEqual([client.did, client.ends], [['start', 'reset'], 1]);
  });

  it('with another address to try, the client is read when the guest has answered', () => {
    assert.ok(serve(ends, 'PROXY '));
    assert.deepEqual([dialled(), client.did, stack.flows[0]?.sent], [[SIX], [], '']);
    stack.flows[0]?.opens();
    assert.deepEqual([dialled(), client.did, stack.flows[0]?.sent], [[SIX], ['start'], 'PROXY ']);
    stack.flows[0]?.closes('reset-by-guest');
    assert.deepEqual([dialled(), client.did, client.ends], [[SIX], ['start', 'reset'], 1]);
  });

  for (const reason of ['refused', 'unreachable', 'timed-out'] as const) {
    it(`${reason} at one address: the other, with nothing lost and one end`, () => {
      assert.ok(serve(ends, 'PROXY '));
      stack.flows[0]?.closes(reason);
      assert.deepEqual([dialled(), client.did, client.ends], [[SIX, FOUR], ['start'], 0]);
      assert.equal(stack.flows[1]?.sent, 'PROXY ');
      assert.equal(book.size, 1);
      stack.flows[1]?.closes('refused');
      assert.deepEqual([client.did, client.ends, book.size], [['start', 'reset'], 1, 0]);
    });
  }

  it('no answer at one address in time: the other, which is the first for the next client', async () => {
    make(0);
    assert.ok(serve());
    while (stack.flows.length < 2) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(dialled(), [SIX, FOUR]);
    assert.deepEqual([client.did, stack.flows[0]?.aborted], [['start'], true]);
    assert.ok(serve());
    assert.deepEqual(dialled(), [SIX, FOUR, FOUR]);
  });

  it('nobody at the first address: the other at once', () => {
    stack.away.add(`${GUEST6}`);
    assert.ok(serve());
    assert.deepEqual([dialled(), client.did], [[FOUR], ['start']]);
  });

  it('nobody at any address: the client is refused, and nothing is left', () => {
    stack.away.add(`${GUEST6}`).add(`${GUEST}`);
    assert.ok(!serve());
    assert.ok(!serve([]));
    assert.deepEqual([client.did, client.ends, book.size], [[], 0, 0]);
  });

  it('refused at one, and nobody at the others: the client is reset', () => {
    stack.away.add(`${GUEST}`);
    assert.ok(serve([...ends, { guest: GUEST6_OTHER, remote: HOST6 }]));
    stack.away.add(`${GUEST6_OTHER}`);
    stack.flows[0]?.closes('refused');
    assert.deepEqual([client.did, client.ends, book.size], [['reset'], 1, 0]);
  });

  it('ended while it waits, it is not tried elsewhere', () => {
    assert.ok(serve());
    proxy.close();
    assert.equal(stack.flows[0]?.aborted, true);
    assert.deepEqual([dialled(), client.did, client.ends, book.size], [[SIX], ['reset'], 1, 0]);
  });

  it('a source that is taken is replaced by another port', () => {
    stack.taken.add(5000);
    assert.ok(serve());
    assert.equal(stack.tries, 2);
    assert.notEqual(stack.flows[0]?.id.remotePort, 5000);
  });
});
