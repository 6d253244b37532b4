/** Random and mutated frames, and a TCP peer that lies: no throw, bounded tables, service goes on. */
import assert from 'node:assert/strict';
import { env } from 'node:process';
import { type Random, seededRandom } from '../../src/base/random.ts';
import {
  arpFrame,
  echoFrame,
  GATEWAY_IP,
  GUEST_IP,
  GUEST_MAC,
  icmpErrorFrame,
  ipFrame,
  SERVER_IP,
  tcpFrame,
  udpFrame,
} from '../support/frames.ts';
import { mutate, pick, stillServes } from '../support/mutate.ts';
import { PLAIN, Script } from '../support/script.ts';

/** More with HAWSER_FUZZ=1000000. */
const { HAWSER_FUZZ = '60000' } = env;
const FRAMES = Number(HAWSER_FUZZ);

function validFrames(random: Random): Uint8Array[] {
  const data = Uint8Array.from({ length: pick(random, 200) }, () => random.next32());
  const seq = random.next32();
  const sport = 1000 + pick(random, 50);
  const quoted = ipFrame(6, data, { src: SERVER_IP, dst: GUEST_IP }).subarray(14);
  return [
    tcpFrame({ flags: 'S', seq, sport, ...PLAIN, ts: [seq, 0] }),
    tcpFrame({ flags: 'PA', seq, ack: random.next32(), sport, data }),
    tcpFrame({ flags: 'FA', seq, sport, sack: [[seq, seq + 5]] }),
    tcpFrame({ flags: 'R', seq, sport }),
    udpFrame(sport, 53, data, { dst: pick(random, 2) === 0 ? GATEWAY_IP : SERVER_IP }),
    udpFrame(68, 67, data, { src: 0, dst: -1 }),
    echoFrame(seq & 0xffff, 1, data, { dst: GATEWAY_IP }),
    icmpErrorFrame(3, pick(random, 16), pick(random, 2000), quoted),
    arpFrame(1 + pick(random, 2), GUEST_MAC, 0xc0a8_7f00 + pick(random, 256), GATEWAY_IP),
    ipFrame(17, data, { id: pick(random, 100), fragment: pick(random, 0x3fff) }),
    ipFrame(pick(random, 256), data, { ttl: pick(random, 3) }),
  ];
}

describe('hostile guests', () => {
  it('mutated frames of every kind', () => {
    for (const seed of [1, 2, 3]) {
      const random = seededRandom(seed);
      const s = new Script({
        seed,
        tcp: { maxConnections: 100, maxRequests: 20, memoryBudget: 1 << 22 },
      });
      s.stack.serveUdp(53, (now, d) => {
        const id = { guest: s.requests[0]?.id.guest, remote: s.stack.config.gateway };
        if (id.guest === undefined) return;
        const reply = {
          guest: id.guest,
          guestPort: d.guestPort,
          remote: id.remote,
          remotePort: 53,
        };
        s.stack.sendDatagram(now, reply, d.slab.bytes, d.off, d.len);
      });
      s.stack.serveDhcp(() => 0);
      try {
        for (let n = 0; n < FRAMES / 3; n += 10) {
          const valid = validFrames(random);
          const batch = valid.slice(0, 10).map((frame, i) => {
            return pick(random, 3) === 0 ? frame : mutate(random, frame, valid[10 - i] ?? frame);
          });
          s.frames(...batch);
          s.writer.take();
          if (n % 1000 === 0) s.advance(pick(random, 3000));
          s.requests.length = Math.min(s.requests.length, 1);
          s.datagrams.length = 0;
          assert.ok(s.stack.tcp.connectionCount <= 100);
          assert.ok(s.stack.tcp.pool.inUse <= 1 << 22);
        }
        s.advance(2_000_000);
        assert.equal(s.stack.tcp.connectionCount, 0);
        assert.equal(s.stack.tcp.pool.inUse, 0);
        stillServes(s);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
  }).timeout(Math.max(120_000, FRAMES));

  it('a TCP peer that sends anything near the window', () => {
    for (let seed = 1; seed <= FRAMES / 400; seed++) {
      const random = seededRandom(seed);
      const s = new Script({ seed, tcp: { memoryBudget: 1 << 22, maxWindow: 1 << 18 } });
      const near = (n: number): number => n - 3000 + pick(random, 6000);
      try {
        s.in({ flags: 'S', ...PLAIN, ...(pick(random, 2) === 0 ? { ts: [1, 0] as const } : {}) });
        s.records();
        s.in({ seq: 1, ack: 1, ts: [1, 0] });
        let [at, acked] = [1, 1];
        for (let i = 0; i < 150; i++) {
          const flags =
            ['A', 'PA', 'A', 'PA', 'A', 'FA', 'R', 'S', 'SA', 'F'][
              pick(random, i > 100 ? 10 : 5)
            ] ?? 'A';
          const exact = pick(random, 3) > 0;
          const data = pick(random, 1500);
          const sack: [number, number][] = [
            [near(acked), near(acked)],
            [near(acked), near(acked)],
          ];
          s.in({
            flags,
            seq: exact ? at : near(at),
            ack: exact ? acked : near(acked),
            win: pick(random, 4) === 0 ? 0 : pick(random, 65_536),
            data,
            ts: [i + pick(random, 3), random.next32()],
            ...(pick(random, 2) === 0 ? { sack } : {}),
          });
          if (exact) at += data;
          const { flow } = s.app;
          if (flow !== undefined && flow.sendSpace > 5000) s.send(5000);
          if (pick(random, 60) === 0) flow?.shutdown(s.now);
          for (const r of s.records())
            if (pick(random, 2) === 0) acked = Math.max(acked, r.seq + r.data.length);
          s.advance(pick(random, 300));
          const info = flow?.describe();
          assert.ok(info === undefined || (info.bufferedToHost <= 1 << 18 && info.cwndBytes > 0));
        }
        s.flow.abort(s.now);
        s.advance(1000);
        assert.equal(s.stack.tcp.pool.inUse, 0);
        assert.equal(s.stack.tcp.connectionCount, 0);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
  }).timeout(Math.max(120_000, FRAMES));
});
