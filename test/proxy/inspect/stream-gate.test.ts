import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { ByteRing } from '../../../src/base/byte-ring.ts';
import type { Run } from '../../../src/base/run.ts';
import type { NameCheck } from '../../../src/proxy/inspect/name-check.ts';
import { StreamGate } from '../../../src/proxy/inspect/stream-gate.ts';
import { Splice } from '../../../src/proxy/tcp/splice.ts';
import type { CloseReason, FlowId, TcpFlow, TcpFlowInfo } from '../../../src/stack/flow.ts';
import { GUEST, HOST, OWNER, TestClock, until } from '../recording.ts';
import { RecordedHost } from './recorded-host.ts';

const hello = (): Uint8Array =>
  readFileSync(new URL('../../../../fixtures/hello/curl.bin', import.meta.url));
const get = (host: string, rest = ''): string => `GET / HTTP/1.1\r\nHost: ${host}\r\n${rest}\r\n`;
const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

/** A flow whose received bytes are in a ring that is small at first, so that they wrap. */
class Flow implements TcpFlow {
  readonly owner = OWNER;
  readonly id: FlowId;
  readonly ring: ByteRing = new ByteRing({
    acquire: (n) => new Uint8Array(Math.max(4096, 2 ** Math.ceil(Math.log2(n)))),
    release: () => {},
  });
  sendSpace = 1 << 20;
  readonly queuedLen = 0;
  sent = '';
  bytesToHost = 0;
  readonly calls: string[] = [];

  constructor(remotePort: number) {
    this.id = { guest: GUEST, guestPort: 4000, remote: HOST, remotePort };
  }

  get receivedLen(): number {
    return this.ring.length;
  }
  readable(): Uint8Array {
    return assert.fail();
  }
  lend(): Run {
    return this.ring.lend();
  }
  peek(offset: number): Run {
    return this.ring.peek(offset);
  }
  release(_now: number, n: number): void {
    this.ring.release(n);
  }
  send(_now: number, bytes: Uint8Array, off: number, len: number): void {
    this.sent += Buffer.from(bytes.subarray(off, off + len)).toString('latin1');
  }
  wantSpace(): void {}
  reserve(): undefined {}
  fill(): void {}
  shutdown(): void {
    this.calls.push('shutdown');
  }
  abort(): void {
    this.calls.push('abort');
  }
  describe(): TcpFlowInfo {
    const { bytesToHost } = this;
    return {
      ...{ state: 'established', bytesToHost, bytesToGuest: this.sent.length, lastHeard: 0 },
      ...{ retransmits: 0, srttMs: 0, cwndBytes: 0, bufferedToGuest: 0 },
      bufferedToHost: this.ring.length,
    };
  }
}

class Joined implements NameCheck {
  readonly flow: Flow;
  readonly host = new RecordedHost();
  readonly splice: Splice;
  readonly names: (string | undefined)[] = [];
  readonly faults: string[] = [];
  /** The rules allow the address without any name. */
  isOpen = false;
  readonly ends: string[] = [];
  private readonly allowed: string;

  constructor({ port = 443, allowed = 'a.test', heldMs = 10_000 } = {}) {
    this.allowed = allowed;
    this.flow = new Flow(port);
    const context = { clock: new TestClock(), flusher: { schedule: (): void => {} } };
    this.splice = new Splice(context, this.flow.id, { openedBy: 'guest' }, (_splice, why) =>
      this.ends.push(why),
    );
    this.splice.gate = new StreamGate(this.splice, this, heldMs);
    this.splice.join(this.host, this.flow);
  }

  onClaim({ name }: { readonly name: string | undefined }): string | undefined {
    this.names.push(name);
    return name === this.allowed ? undefined : `${name} is not allowed`;
  }
  onFault(fault: string): string | undefined {
    this.faults.push(fault);
    return this.isOpen ? undefined : fault;
  }
  guestSends(bytes: Uint8Array | string): this {
    const all = typeof bytes === 'string' ? bytesOf(bytes) : bytes;
    assert.ok(this.flow.ring.append(all, 0, all.length));
    this.flow.bytesToHost += all.length;
    this.splice.onReadable(0);
    return this;
  }
  guestEnds(): void {
    this.splice.onPeerEnd(0);
  }
  closes(reason: CloseReason): void {
    this.splice.onClosed(0, this.flow, reason);
  }
}

/** Those that the code at hand starts, until the test ends. */
class Timers {
  private readonly running = new Map<object, { readonly run: () => void; readonly ms: number }>();
  refreshes = 0;

  constructor() {
    const { setTimeout, clearTimeout } = globalThis;
    restore = () => Object.assign(globalThis, { setTimeout, clearTimeout });
    const start = (run: () => void, ms: number): object => {
      const timer = { unref: () => timer, refresh: () => void this.refreshes++ };
      this.running.set(timer, { run, ms });
      return timer;
    };
    const stop = (timer: object): boolean => this.running.delete(timer);
    Object.assign(globalThis, { setTimeout: start, clearTimeout: stop });
  }

  get waiting(): readonly number[] {
    return [...this.running.values()].map(({ ms }) => ms);
  }

  expire(): void {
    const due = [...this.running.values()];
    this.running.clear();
    for (const { run } of due) run();
  }
}

let restore: () => void = () => {};

describe('proxy/inspect: a gate in front of the host', () => {
  afterEach(() => restore());

  it('sends on exactly what was inspected, wherever the ring wraps and the host is slow', () => {
    const piece = fc.record({
      body: fc.nat(9000),
      cut: fc.integer({ min: 1, max: 5000 }),
      isBusy: fc.boolean(),
      isLate: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 40 }), (pieces) => {
        const joined = new Joined({ port: 80 });
        let sent = '';
        for (const { body, cut, isBusy, isLate } of pieces) {
          const request = get('a.test', `Content-Length: ${body}\r\n`) + 'x'.repeat(body);
          sent += request;
          joined.host.isBusy = isBusy;
          for (let at = 0; at < request.length; at += cut) {
            joined.guestSends(request.slice(at, at + cut));
            if (!isLate) joined.host.catchUp();
          }
        }
        joined.host.catchUp();
        assert.equal(joined.host.received, sent);
        assert.equal(joined.names.length, pieces.length);
        assert.equal(joined.flow.receivedLen, 0);
      }),
      { numRuns: 60 },
    );
  });

  it('sends nothing on before the name is known, and what the server says meanwhile', () => {
    const joined = new Joined({ allowed: 'www.example.com' });
    const bytes = hello();
    joined.guestSends(bytes.subarray(0, 300));
    assert.deepEqual([joined.host.received, joined.flow.receivedLen], ['', 300]);
    joined.host.says('220 hello\r\n');
    assert.equal(joined.flow.sent, '220 hello\r\n');
    joined.guestSends(bytes.subarray(300));
    assert.equal(joined.host.received, Buffer.from(bytes).toString('latin1'));
    assert.equal(joined.flow.receivedLen, 0);
  });

  it('resets both ends for another name, and nothing was sent on', () => {
    const joined = new Joined().guestSends(hello());
    assert.deepEqual([joined.names, joined.host.received], [['www.example.com'], '']);
    assert.deepEqual([joined.host.calls, joined.flow.calls], [['reset'], ['abort']]);
    assert.deepEqual([joined.ends, joined.flow.sent], [['denied'], '']);
    assert.equal(joined.splice.describeFlow().bytesToHost, 0);
  });

  it('does not free a client whose server speaks first', () => {
    const joined = new Joined();
    joined.host.says('HTTP/1.1 200 OK\r\n\r\n');
    joined.guestSends(hello());
    assert.deepEqual([joined.ends, joined.host.received], [['denied'], '']);
  });

  it('lets other protocols pass with their first bytes', () => {
    const joined = new Joined().guestSends('SSH-2.0-x\r\n').guestSends(get('b.test'));
    assert.equal(joined.host.received, `SSH-2.0-x\r\n${get('b.test')}`);
    joined.guestEnds();
    assert.deepEqual([joined.host.calls, joined.names], [['end'], []]);
  });

  it('answers the first request of HTTP on port 80, and discards what follows', () => {
    const joined = new Joined({ port: 80 }).guestSends(get('b.test'));
    assert.match(
      joined.flow.sent,
      /^HTTP\/1\.1 403 Forbidden\r\n[\s\S]*\r\n\r\nb\.test is not allowed\n$/,
    );
    assert.deepEqual([joined.host.calls, joined.flow.calls], [['reset'], ['shutdown']]);
    assert.deepEqual([joined.host.received, joined.ends, joined.flow.receivedLen], ['', [], 0]);
    joined.guestSends('more');
    assert.deepEqual([joined.flow.receivedLen, joined.host.received], [0, '']);
    assert.equal(joined.splice.describeFlow().bytesToHost, 0);
    joined.guestEnds();
    joined.closes('finished');
    assert.deepEqual(joined.ends, ['denied']);
  });

  it('resets what does not end after the answer', () => {
    const timers = new Timers();
    const joined = new Joined({ port: 80 }).guestSends(get('b.test'));
    assert.deepEqual(timers.waiting, [1000]);
    timers.expire();
    assert.deepEqual([joined.ends, joined.flow.calls], [['denied'], ['shutdown', 'abort']]);
  });

  it('answers no later request, and none on another port', () => {
    const later = new Joined({ port: 80 }).guestSends(get('a.test')).guestSends(get('b.test'));
    assert.deepEqual([later.host.received, later.flow.sent], [get('a.test'), '']);
    assert.deepEqual([later.ends, later.flow.calls], [['denied'], ['abort']]);
    assert.equal(later.splice.describeFlow().bytesToHost, get('a.test').length);
    const elsewhere = new Joined({ port: 8080 }).guestSends(get('b.test'));
    assert.deepEqual([elsewhere.flow.sent, elsewhere.flow.calls], ['', ['abort']]);
  });

  it('escapes what a guest has said in the answer', () => {
    const joined = new Joined({ port: 80, allowed: '' });
    joined.onClaim = (): string => '\x1b[31m\r\nX: y';
    joined.guestSends(get('b.test'));
    assert.ok(joined.flow.sent.endsWith('\r\n\r\n?[31m??X: y\n'));
  });

  it('ends a client that does not say in time where it wants to go', () => {
    const timers = new Timers();
    const silent = new Joined();
    assert.deepEqual(timers.waiting, []);
    const joined = new Joined().guestSends(hello().subarray(0, 100));
    joined.guestSends(hello().subarray(100, 200));
    assert.deepEqual(timers.waiting, [10_000]);
    timers.expire();
    assert.deepEqual([joined.faults, joined.ends], [['first-bytes-late'], ['denied']]);
    assert.deepEqual([silent.ends, joined.flow.calls], [[], ['abort']]);
  });

  describe('where the address is open without any name', () => {
    const open = (): Joined => Object.assign(new Joined({ port: 80 }), { isOpen: true });

    it('sends on all of what cannot be read, and reads no more of it', () => {
      const odd = 'GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n';
      const joined = open().guestSends(odd).guestSends(get('c.test'));
      assert.equal(joined.host.received, odd + get('c.test'));
      assert.deepEqual([joined.faults, joined.names], [['http-malformed'], []]);
      joined.guestEnds();
      assert.deepEqual([joined.host.calls, joined.ends, joined.flow.sent], [['end'], [], '']);
    });

    it('sends on what was held when it is late, and what follows', () => {
      const timers = new Timers();
      const bytes = hello();
      const joined = open().guestSends(bytes.subarray(0, 100));
      assert.equal(joined.host.received, '');
      timers.expire();
      joined.guestSends(bytes.subarray(100));
      assert.equal(joined.host.received, Buffer.from(bytes).toString('latin1'));
      assert.deepEqual([joined.faults, joined.ends], [['first-bytes-late'], []]);
      assert.deepEqual(timers.waiting, []);
    });

    it('passes the end on behind a client that ends in the middle', () => {
      const joined = open().guestSends('GET / HTTP');
      joined.guestEnds();
      assert.deepEqual([joined.faults, joined.host.received], [['truncated'], 'GET / HTTP']);
      assert.deepEqual([joined.host.calls, joined.ends], [['end'], []]);
    });
  });

  it('begins the time anew with each request, and stops it where nothing is held', () => {
    const timers = new Timers();
    const joined = new Joined({ port: 80 }).guestSends('GET /');
    joined.guestSends(' HTTP/1.1\r\nHost: a.test\r\n\r\nGET /');
    assert.deepEqual([timers.waiting, timers.refreshes], [[10_000], 1]);
    joined.guestSends(' HTTP/1.1\r\nHost: a.test\r\n\r\n');
    assert.deepEqual(timers.waiting, []);
    const other = new Joined().guestSends(hello().subarray(0, 100));
    assert.deepEqual(timers.waiting, [10_000]);
    other.closes('reset-by-guest');
    assert.deepEqual([timers.waiting, other.ends, other.faults], [[], ['reset-by-guest'], []]);
  });

  it('reads a limited number of requests in a turn, and the end behind them', async () => {
    const joined = new Joined({ port: 80 });
    const requests = get('a.test').repeat(3000);
    joined.guestSends(requests);
    joined.guestEnds();
    assert.ok(joined.names.length < 1000, `${joined.names.length} in a turn`);
    assert.deepEqual(joined.host.calls, []);
    await until(() => joined.host.calls.length > 0);
    assert.deepEqual([joined.host.calls, joined.names.length], [['end'], 3000]);
    assert.equal(joined.host.received, requests);
  });

  it('passes the end on behind what it held, or ends a client that ends in the middle', () => {
    const text = new Joined().guestSends('hello');
    assert.equal(text.host.received, '');
    text.guestEnds();
    assert.deepEqual([text.host.received, text.host.calls], ['hello', ['end']]);
    const cut = new Joined().guestSends(hello().subarray(0, 100));
    cut.guestEnds();
    assert.deepEqual([cut.faults, cut.ends, cut.host.received], [['truncated'], ['denied'], '']);
  });
});
