/**
 * Seeded runs of two stacks: every loss of a short conversation in turn, thousands of impaired links,
 * and a table of throughput that is kept in `fixtures/` and compared with a tolerance.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { env } from 'node:process';
import { nextUnit, seededRandom } from '../../src/base/random.ts';
import type { TcpConfig } from '../../src/stack/tcp/config.ts';
import { PROTOCOL_TCP } from '../../src/wire/ipv4.ts';
import { overBothFamilies } from '../support/family.ts';
import { l4Of, protocolOf, viewOf } from '../support/frames.ts';
import {
  dialFromGuest,
  gatewayAddress,
  guestAddress,
  makePair,
  type Pair,
  type PairOptions,
  Peer,
} from '../support/sim-pair.ts';

/** More with HAWSER_SEEDS=50000. */
const { HAWSER_SEEDS = '5000', HAWSER_UPDATE_SNAPSHOTS } = env;
const SEEDS = Number(HAWSER_SEEDS);
const TABLE = new URL('../../../fixtures/tcp-throughput.json', import.meta.url);

interface Run {
  readonly pair: Pair;
  readonly host: Peer;
  readonly guest: Peer;
}

function start(options: PairOptions, toHost: number, toGuest: number): Run {
  const pair = makePair(options);
  const host = new Peer(toGuest);
  const guest = new Peer(toHost);
  pair.gatewayUpstream.answer = () => host;
  return { pair, host, guest };
}

/** Run to the end of both streams; fails on any byte that differs. */
function finish(
  run: Run,
  toHost: number,
  toGuest: number,
  context: string,
  dialer: 'guest' | 'host' = 'guest',
): number {
  const { pair, host, guest } = run;
  const begin = pair.network.now;
  if (dialer === 'guest') dialFromGuest(pair, 80, guest);
  else {
    pair.guestUpstream.answer = () => guest;
    const id = {
      guest: guestAddress(),
      guestPort: 80,
      remote: gatewayAddress(),
      remotePort: 40_000,
    };
    assert.ok(pair.gateway.dial(begin, id, host));
    pair.gateway.flush();
  }
  const over = pair.network.run(
    () => host.closed !== undefined && guest.closed !== undefined,
    600_000,
  );
  const ms = pair.network.now - begin;
  assert.ok(
    over,
    `${context}: stalled at ${host.received}/${toHost} and ${guest.received}/${toGuest}`,
  );
  assert.deepEqual([host.corruptAt, guest.corruptAt], [-1, -1], context);
  assert.deepEqual([host.received, guest.received], [toHost, toGuest], context);
  assert.deepEqual([host.closed, guest.closed], ['finished', 'finished'], context);
  assert.deepEqual([pair.gateway.tcp.pool.inUse, pair.guest.tcp.pool.inUse], [0, 0], context);
  return ms;
}

/** Replace a SYN's option by NOPs, and put the checksum right (by RFC 1624). */
function stripOption(frame: Uint8Array, kind: number): void {
  if (protocolOf(frame) !== PROTOCOL_TCP) return;
  const l4 = l4Of(frame);
  if (((l4[13] ?? 0) & 2) === 0) return;
  const view = viewOf(l4);
  const end = (view.getUint8(12) >> 4) * 4;
  for (let at = 20; at < end; ) {
    const k = view.getUint8(at);
    if (k <= 1) {
      at++;
      continue;
    }
    const len = view.getUint8(at + 1);
    if (k === kind) {
      for (let i = at; i < at + len; i++) {
        const shift = i % 2 === 0 ? 8 : 0;
        let sum =
          (~view.getUint16(16) & 0xffff) + (~(view.getUint8(i) << shift) & 0xffff) + (1 << shift);
        sum = (sum & 0xffff) + (sum >>> 16);
        sum = (sum & 0xffff) + (sum >>> 16);
        view.setUint8(i, 1);
        view.setUint16(16, ~sum & 0xffff);
      }
    }
    at += len;
  }
}

const SACK_PERMITTED = 4;
const TIMESTAMPS = 8;

/** Of IPv6 a part: what differs is the header that segments come behind. */
const SHARE_OF_IPV6 = 1 / 20;

overBothFamilies('stack/tcp simulation', ({ version }) => {
  describe('the loss of each frame of a short conversation in turn', () => {
    for (const [name, options, dialer] of [
      ['with SACK', [], 'guest'],
      ['without SACK', [SACK_PERMITTED], 'guest'],
      ['without timestamps', [TIMESTAMPS], 'guest'],
      ['opened by the host', [], 'host'],
    ] as const) {
      it(`${name}: both streams are exact`, () => {
        let frames = 1;
        for (let lost = 0; lost < frames; lost++) {
          const run = start({ seed: 7 }, 9000, 5000);
          let n = 0;
          run.pair.network.filter = (frame) => {
            for (const kind of options) stripOption(frame, kind);
            return n++ !== lost;
          };
          finish(run, 9000, 5000, `frame ${lost} lost`, dialer);
          frames = Math.max(frames, n);
        }
        assert.ok(frames > 15, `${frames} frames`);
      });
    }
  });

  describe('seeds', () => {
    const variants: readonly (readonly [string, Partial<TcpConfig>, readonly number[]])[] = [
      ['cubic', {}, []],
      ['new-reno', { congestion: 'new-reno' }, []],
      ['without SACK', {}, [SACK_PERMITTED]],
      ['without timestamps', {}, [TIMESTAMPS]],
      [
        'without either, new-reno, small windows',
        { congestion: 'new-reno', initialWindow: 8192, maxWindow: 32_768 },
        [SACK_PERMITTED, TIMESTAMPS],
      ],
    ];
    for (const [name, tcp, options] of variants) {
      it(`${name}: whatever the link does, the streams are exact`, () => {
        const seeds = (version === 4 ? SEEDS : SEEDS * SHARE_OF_IPV6) / variants.length;
        for (let seed = 1; seed <= seeds; seed++) {
          const random = seededRandom(seed * 31 + name.length);
          const chance = (most: number): number =>
            nextUnit(random) < 0.5 ? 0 : most * nextUnit(random);
          const impairments = {
            delayMs: 1 + Math.floor(40 * nextUnit(random)),
            loss: chance(0.08),
            duplicate: chance(0.1),
            reorder: chance(0.3),
            corrupt: chance(0.03),
          };
          const toHost = Math.floor(60_000 * nextUnit(random));
          const toGuest = Math.floor(60_000 * nextUnit(random));
          const mtu = [576, 1500, 1500, 9000][Math.floor(4 * nextUnit(random))] ?? 1500;
          const run = start({ seed, impairments, mtu, tcp }, toHost, toGuest);
          run.pair.network.filter = (frame) => {
            for (const kind of options) stripOption(frame, kind);
            return true;
          };
          finish(
            run,
            toHost,
            toGuest,
            `${name}, seed ${seed}, ${JSON.stringify({ ...impairments, mtu })}`,
          );
        }
      }).timeout(120_000);
    }
  });

  if (version === 6) return;

  it('whatever congestion control makes of the window, the space to send is whole bytes', () => {
    for (const congestion of ['cubic', 'new-reno'] as const) {
      const size = 3 << 20;
      const impairments = { loss: 0.01, delayMs: 2 };
      const run = start({ seed: 1, impairments, tcp: { congestion } }, size, size);
      run.pair.network.filter = () => {
        for (const { sendSpace } of run.pair.gateway.tcpConnections) {
          assert.ok(Number.isInteger(sendSpace), `${sendSpace}`);
        }
        return true;
      };
      finish(run, size, size, congestion);
    }
  });

  it('an end that comes while megabytes are queued follows all of them', () => {
    const size = 24 << 20;
    const tcp = { initialWindow: 4 << 20, maxWindow: 8 << 20 };
    const run = start({ seed: 1, impairments: { delayMs: 40 }, mtu: 65_520, tcp }, size, size);
    const most = { host: 0, guest: 0 };
    run.pair.network.filter = () => {
      for (const end of ['host', 'guest'] as const) {
        const { allSent, flow } = run[end];
        if (!allSent) continue;
        most[end] = Math.max(most[end], flow?.describe().bufferedToGuest ?? 0);
      }
      return true;
    };
    finish(run, size, size, 'ends early');
    assert.ok(Math.min(most.host, most.guest) > 1 << 20, JSON.stringify(most));
  });

  it('throughput stays what the table says', () => {
    const table: Record<string, number> = {};
    for (const congestion of ['cubic', 'new-reno'] as const) {
      for (const delayMs of [1, 20]) {
        for (const loss of [0, 0.01, 0.05]) {
          for (const maxWindow of [65_536, 1 << 20]) {
            const bytes = loss === 0 ? 2_000_000 : 400_000;
            const times: number[] = [];
            for (let seed = 1; seed <= 5; seed++) {
              const tcp = { congestion, initialWindow: 65_536, maxWindow };
              const impairments = { delayMs, loss };
              times.push(
                finish(start({ seed, impairments, tcp }, 0, bytes), 0, bytes, `seed ${seed}`),
              );
            }
            // The median: a lost SYN costs a second, whatever the path.
            const ms = times.sort((a, b) => a - b)[2] ?? 0;
            const name = `${congestion} delay ${delayMs} ms loss ${loss * 100} % window ${maxWindow >> 10} KiB`;
            table[name] = Math.round(bytes / ms);
          }
        }
      }
    }
    if (HAWSER_UPDATE_SNAPSHOTS !== undefined || !existsSync(TABLE)) {
      writeFileSync(TABLE, `${JSON.stringify(table, undefined, 2)}\n`);
    }
    const kept: unknown = JSON.parse(readFileSync(TABLE, 'utf8'));
    assert.ok(typeof kept === 'object' && kept !== null);
    const before = new Map<string, unknown>(Object.entries(kept));
    for (const [name, rate] of Object.entries(table)) {
      const old = before.get(name);
      assert.ok(typeof old === 'number', `${name} is not in the table`);
      assert.ok(rate > 0.7 * old, `${name}: ${rate} bytes/ms, was ${old}`);
    }
  });
});
