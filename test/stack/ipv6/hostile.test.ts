/** Random and mutated frames of IPv6: no throw, bounded tables, service goes on. */
import assert from 'node:assert/strict';
import { env } from 'node:process';
import { type Random, seededRandom } from '../../../src/base/random.ts';
import { IPV6, overFamily } from '../../support/family.ts';
import { GATEWAY_IP, SERVER_IP, tcpFrame, udpFrame } from '../../support/frames.ts';
import {
  frame6,
  GATEWAY6,
  GUEST6,
  HOST6,
  icmp6Frame,
  linkLayerOption,
  ndp,
  PADDING,
  ROUTER6,
  SERVER6,
  summed,
  through,
  UDP,
  udp6,
} from '../../support/frames6.ts';
import { mutate, pick, stillServes } from '../../support/mutate.ts';
import { PLAIN } from '../../support/script.ts';
import { script6 } from '../../support/script6.ts';

/** More with HAWSER_FUZZ=1000000. */
const { HAWSER_FUZZ = '60000' } = env;
const FRAMES = Number(HAWSER_FUZZ) / 6;
const HEADERS = 54;
const EXTENSIONS = [0, 43, 44, 51, 60, 135] as const;
const OURS = [GATEWAY6, ROUTER6, HOST6, SERVER6, 'ff02::1', 'fe80::9'] as const;

function validFrames(random: Random): Uint8Array[] {
  const data = Array.from({ length: pick(random, 200) }, () => random.next32() & 255);
  const seq = random.next32();
  const sport = 1000 + pick(random, 50);
  const any = <T>(items: readonly [T, ...T[]]): T => items[pick(random, items.length)] ?? items[0];
  const host = `fd12:3456:789a:1::${(2 + pick(random, 60)).toString(16)}`;
  const ends = through(any(OURS), {
    src: any([GUEST6, GUEST6, host, 'fe80::2', '::']),
    hopLimit: any([255, 64, 1]),
  });
  const extensions = Array.from({ length: pick(random, 4) }, () => {
    const body =
      pick(random, 2) === 0 ? PADDING : Array.from({ length: 7 }, () => random.next32() & 255);
    return [any(EXTENSIONS), [0, ...body.slice(1)]] as const;
  });
  const piece = [[44, [0, pick(random, 4), pick(random, 256), 0, 0, 0, pick(random, 9)]]] as const;
  const quoted = [...frame6(6, data, { src: SERVER6, dst: GUEST6 }).subarray(14)];
  const target = any([GUEST6, host, GATEWAY6, 'ff02::1']);
  const message = ndp(
    133 + pick(random, 5),
    target,
    linkLayerOption(any([1, 2]), 0x5254_0012_3456),
  );
  return [
    tcpFrame({ flags: 'S', seq, sport, ...PLAIN, ts: [seq, 0] }),
    tcpFrame({ flags: 'PA', seq, ack: random.next32(), sport, data: Uint8Array.from(data) }),
    udpFrame(sport, 53, Uint8Array.from(data), { dst: any([GATEWAY_IP, SERVER_IP]) }),
    frame6(UDP, udp6(sport, 547, data, ends), { ...ends, extensions }),
    frame6(UDP, udp6(sport, 53, data, ends), { ...ends, extensions: piece }),
    icmp6Frame([128, 0, 0, 0, 0, 1, 0, 1, ...data], { ...ends, extensions }),
    icmp6Frame(
      [1 + pick(random, 4), pick(random, 8), 0, 0, 0, 0, pick(random, 8), 0, ...quoted],
      ends,
    ),
    icmp6Frame(message, { ...ends, hopLimit: 255 }),
    icmp6Frame([any([130, 131, 132, 143]), 0, 0, 0, ...data], {
      ...ends,
      hopLimit: 1,
      extensions: [[0, [0, 5, 2, 0, 0, 1, 0]]],
    }),
    frame6(pick(random, 256), summed(pick(random, 256), [...data, 0, 0], 0, ends), {
      ...ends,
      extensions,
    }),
  ];
}

overFamily(IPV6, 'hostile guests of IPv6', () => {
  for (const mode of ['separate', 'trust'] as const) {
    it(`mutated frames of every kind (${mode})`, () => {
      const random = seededRandom(mode.length);
      const s = script6({
        config: { separation: { mode, allowed: [] } },
        tcp: { maxConnections: 100, maxRequests: 20, memoryBudget: 1 << 22 },
      });
      s.stack.ipv6?.serveDhcp((_now, request, out, off, room) => {
        const len = Math.min(request.byteLength, room);
        out.bytes.fill(request.byteLength & 255, off, off + len);
        return len;
      });
      for (let n = 0; n < FRAMES; n += 10) {
        const valid = validFrames(random);
        const batch = valid.map((frame, i) =>
          pick(random, 3) === 0 ? frame : mutate(random, frame, valid[9 - i] ?? frame, HEADERS),
        );
        s.frames(...batch);
        s.writer.take();
        if (n % 1000 === 0) s.advance(pick(random, 3000));
        s.requests.length = 0;
        s.datagrams.length = 0;
        s.echoes.length = 0;
        assert.ok(s.stack.tcp.connectionCount <= 100);
        assert.ok(s.stack.tcp.pool.inUse <= 1 << 22);
      }
      s.advance(2_000_000);
      assert.equal(s.stack.tcp.connectionCount, 0);
      assert.equal(s.stack.tcp.pool.inUse, 0);
      stillServes(s);
    }).timeout(Math.max(60_000, FRAMES * 6));
  }
});
