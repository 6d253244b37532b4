/** A gate behind the stack: whatever segments a guest makes its hello of, what the host gets is what was inspected. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { StreamGate } from '../../../src/proxy/inspect/stream-gate.ts';
import { Splice } from '../../../src/proxy/tcp/splice.ts';
import { StreamInspector } from '../../../src/services/sniff/stream-inspector.ts';
import { helloRecords } from '../../services/sniff/hello-bytes.ts';
import { Script } from '../../support/script.ts';
import { RecordedHost } from './recorded-host.ts';

const GOOD = helloRecords({ name: 'a.test' });
const EVIL = helloRecords({ name: 'b.test' });

class Guest {
  readonly host = new RecordedHost();
  readonly script = new Script();
  readonly names: (string | undefined)[] = [];
  readonly ends: string[] = [];
  private readonly splice: Splice;

  constructor() {
    const { script } = this;
    script.policy = 'keep';
    script.in({ flags: 'S', seq: 0 });
    const [request] = script.requests;
    assert.ok(request !== undefined);
    const clock = { now: (): number => script.now, wakeAt: (): void => {} };
    const flusher = { schedule: (): void => script.stack.flush() };
    const origin = { openedBy: 'guest' } as const;
    const onEnd = (_splice: Splice, why: string): void => void this.ends.push(why);
    this.splice = new Splice({ clock, flusher }, request.id, origin, onEnd);
    const flow = request.accept(script.now, this.splice);
    assert.ok(flow !== undefined);
    this.splice.gate = new StreamGate(this.splice, {
      onClaim: ({ name }) => {
        this.names.push(name);
        return name === 'a.test' ? undefined : 'not allowed';
      },
      onFault: (fault) => fault,
    });
    this.splice.join(this.host, flow);
    script.settle();
    script.records();
    script.in({ flags: 'A', seq: 1, ack: 1 });
  }

  /** A part of a hello, as a segment. */
  sends(hello: Uint8Array, from: number, to: number): void {
    this.script.in({ flags: 'A', seq: 1 + from, ack: 1, data: hello.slice(from, to) });
  }

  close(): void {
    this.splice.abort();
  }
}

describe('proxy/inspect: a gate and the segments of a guest', () => {
  it('takes the first of what comes twice, behind what has arrived in order', () => {
    const guest = new Guest();
    guest.sends(GOOD, 0, GOOD.length - 1);
    guest.sends(EVIL, 0, EVIL.length - 1);
    assert.equal(guest.host.received, '');
    guest.sends(EVIL, 10, EVIL.length);
    assert.deepEqual(guest.names, ['a.test']);
    assert.equal(guest.host.received, Buffer.from(GOOD).toString('latin1'));
    guest.close();
  });

  it('is not left by a reset that is not of the connection', () => {
    const guest = new Guest();
    guest.sends(EVIL, 0, 60);
    guest.script.in({ flags: 'R', seq: 100_000 });
    guest.script.in({ flags: 'RA', seq: 40, ack: 1 });
    guest.sends(EVIL, 60, EVIL.length);
    assert.deepEqual([guest.names, guest.ends, guest.host.received], [['b.test'], ['denied'], '']);
    assert.match(guest.script.out().at(-1) ?? '', /^RA? /);
  });

  it('sends nothing on that would be read as another name', () => {
    const piece = fc.record({
      hello: fc.constantFrom(GOOD, EVIL),
      from: fc.nat(GOOD.length - 1),
      len: fc.integer({ min: 1, max: GOOD.length }),
    });
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 20 }),
        fc.constantFrom(GOOD, EVIL),
        (pieces, last) => {
          const guest = new Guest();
          for (const { hello, from, len } of pieces) {
            guest.sends(hello, from, Math.min(hello.length, from + len));
          }
          guest.sends(last, 0, last.length);
          const received = Buffer.from(guest.host.received, 'latin1');
          const read: (string | undefined)[] = [];
          const inspector = new StreamInspector(({ name }) => {
            read.push(name);
            return true;
          });
          inspector.push(received, 0, received.length);
          assert.ok(received.length === 0 || read[0] === 'a.test', `${read}`);
          assert.deepEqual(
            read,
            guest.names.filter((name) => name === 'a.test'),
          );
          guest.close();
        },
      ),
      { numRuns: 200 },
    );
  });
});
