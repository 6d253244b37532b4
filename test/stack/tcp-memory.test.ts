/** What a guest's connections may cost in memory, whatever it sends or does not read. */
import assert from 'node:assert/strict';
import { costOf, MIN_BUFFER } from '../../src/base/buffer-pool.ts';
import type { TcpFlow } from '../../src/stack/flow.ts';
import { App, established, PLAIN, Script } from '../support/script.ts';
import { dialFromGuest, makePair, Peer } from '../support/sim-pair.ts';

const MSS = 1460;
const WINDOW = 65_535;

/** Open `count` connections whose bytes nobody takes. */
function openHeld(s: Script, count: number, each: (flow: TcpFlow, sport: number) => void): void {
  for (let sport = 1; sport <= count; sport++) {
    s.app = new App();
    s.app.hold = true;
    s.in({ flags: 'S', ...PLAIN, sport });
    s.records();
    s.in({ seq: 1, ack: 1, sport });
    each(s.flow, sport);
  }
}

describe('stack/tcp memory', () => {
  it('6,000 connections with a byte in order and one at the edge cost 1 KiB each', () => {
    const s = new Script();
    openHeld(s, 6000, (_, sport) => {
      const edge = WINDOW - 1;
      s.in({ seq: 1, ack: 1, sport, data: 1 }, { seq: 1 + edge, ack: 1, sport, data: 1 });
    });
    assert.equal(s.stack.tcp.pool.inUse, 6000 * 2 * costOf(MIN_BUFFER));
    assert.ok(s.stack.tcp.pool.inUse <= 6000 * 1024);
    assert.deepEqual(s.drops(), {});
  }).timeout(60_000);

  it('every other byte costs a bounded number of pieces', () => {
    const s = established();
    for (let at = 3; at < 20_000; at += 2) s.in({ seq: at, ack: 1, data: 1 });
    assert.equal(s.stack.tcp.pool.inUse, 128 * costOf(MIN_BUFFER));
  });

  it('without memory, what is in order goes before what is not, and nothing stalls', () => {
    const s = established({ tcp: { memoryBudget: 8 * 1024 } });
    const text = new Uint8Array(6 * MSS).map((_, i) => i * 7);
    const part = (i: number): Uint8Array => text.subarray(i * MSS, (i + 1) * MSS);
    const send = (i: number): void => {
      s.in({ seq: 1 + i * MSS, ack: 1, data: part(i) });
    };
    s.app.hold = true;
    send(2);
    send(4);
    send(0);
    send(1);
    assert.deepEqual(s.drops(), { 'tcp-reneged': 2 }, 'both ranges gave way');
    assert.equal(s.flow.receivedLen, 2 * MSS);
    s.records();
    send(1);
    assert.deepEqual(s.records().at(-1)?.sack, [[1 + MSS, 1 + 2 * MSS]], 'and are not reported');
    s.app.hold = false;
    s.app.read(s.now);
    for (const i of [2, 3, 4, 5]) send(i);
    assert.deepEqual(Uint8Array.from(s.app.received), text);
    s.app.flow?.abort(s.now);
    assert.equal(s.stack.tcp.pool.inUse, 0);
  });

  it('what stands behind the end of the stream is given back with the connection', () => {
    const s = established();
    s.in({ seq: 1001, ack: 1, data: 100 });
    s.in({ flags: 'FA', seq: 1, ack: 1 });
    s.flow.shutdown(s.now);
    s.stack.flush();
    s.in({ seq: 2, ack: 2 });
    assert.equal(s.app.closed, 'finished');
    assert.equal(s.stack.tcp.pool.inUse, 0);
  });

  it('a window with one loss is kept whole, and nothing of it is sent again', () => {
    const total = 16 << 20;
    const pair = makePair({ impairments: { delayMs: 10 } });
    const host = new Peer(0);
    const guest = new Peer(total);
    pair.gatewayUpstream.answer = () => host;
    const { pool } = pair.gateway.tcp;
    let lost = false;
    let most = 0;
    pair.network.filter = (frame, fromGateway) => {
      most = Math.max(most, pool.inUse);
      const isDue = !fromGateway && !lost && host.received > total / 2 && frame.length > MSS;
      lost ||= isDue;
      return !isDue;
    };
    dialFromGuest(pair, 80, guest);
    assert.ok(pair.network.run(() => host.closed !== undefined, 600_000));
    assert.ok(lost);
    assert.deepEqual([host.received, host.corruptAt], [total, -1]);
    assert.ok(
      (guest.flow?.describe().retransmits ?? 99) <= 2,
      'the segment, and no more than a probe',
    );
    assert.deepEqual(pair.gateway.drops.snapshot(), {});
    assert.ok(most >= 256 << 10, `${most} bytes waited for it`);
    assert.ok(most <= 1 << 20);
  }).timeout(60_000);

  it('500 downloads that the guest does not read hold 128 KiB each', () => {
    const s = new Script();
    const flows: TcpFlow[] = [];
    const chunk = new Uint8Array(16 * 1024);
    openHeld(s, 500, (flow, sport) => {
      s.in({ seq: 1, ack: 1, sport, win: 0 });
      while (flow.sendSpace >= chunk.length) flow.send(s.now, chunk, 0, chunk.length);
      flows.push(flow);
    });
    s.stack.flush();
    assert.equal(s.stack.tcp.pool.inUse, 500 * 128 * 1024);
    for (const flow of flows) flow.abort(s.now);
    assert.equal(s.stack.tcp.pool.inUse, 0);
  });
});
