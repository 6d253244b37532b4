/** Two stacks over a simulated link: whatever the link does, the byte streams are exact. */
import assert from 'node:assert/strict';
import type { Instant } from '../../src/base/time.ts';
import { overBothFamilies } from '../support/family.ts';
import type { Impairments } from '../support/sim-link.ts';
import { dialFromGuest, makePair, type PairOptions, Peer } from '../support/sim-pair.ts';

interface Outcome {
  readonly ms: number;
}

/** Takes some of what it is offered, and none now and then. */
class TakingPeer extends Peer {
  offered = 0;
  private calls = 0;

  offer(_now: Instant, bytes: Uint8Array, off: number, len: number): number {
    this.offered++;
    const taken = Math.trunc((len * (this.calls++ % 4)) / 3);
    this.check(bytes, off, taken);
    return taken;
  }
}

/** Move bytes both ways to the end of both streams; fails on any byte that differs. */
function transfer(
  options: PairOptions,
  toHost: number,
  toGuest: number,
  host: Peer = new Peer(toGuest),
): Outcome {
  const pair = makePair(options);
  const guest = new Peer(toHost);
  pair.gatewayUpstream.answer = () => host;
  const start = pair.network.now;
  dialFromGuest(pair, 80, guest);
  const done = (): boolean => host.closed !== undefined && guest.closed !== undefined;
  const finished = pair.network.run(done, 600_000);
  const context = `seed ${options.seed ?? 1}: ${JSON.stringify({ host, guest }, replaceFlow)}`;
  assert.equal(host.corruptAt, -1, context);
  assert.equal(guest.corruptAt, -1, context);
  assert.equal(host.received, toHost, context);
  assert.equal(guest.received, toGuest, context);
  assert.ok(finished, context);
  assert.equal(host.closed, 'finished', context);
  assert.equal(guest.closed, 'finished', context);
  assert.equal(pair.gateway.tcp.pool.inUse, 0, context);
  return { ms: pair.network.now - start };
}

function replaceFlow(key: string, value: unknown): unknown {
  return key === 'flow' || key === 'chunk' ? undefined : value;
}

overBothFamilies('stack/tcp transfer', ({ version }) => {
  for (const mtu of version === 4 ? [576, 1500, 9000, 65_520] : [1260, 65_500]) {
    it(`moves 3 MB each way, segments of ${mtu - 40} bytes`, () => {
      transfer({ mtu }, 3_000_000, 3_000_000);
    });
  }

  const links: Record<string, Partial<Impairments>> = {
    loss: { loss: 0.05 },
    reordering: { reorder: 0.2 },
    duplication: { duplicate: 0.2 },
    corruption: { corrupt: 0.05 },
    everything: { loss: 0.03, reorder: 0.1, duplicate: 0.05, corrupt: 0.03 },
  };
  it('bytes are taken as they come, in part or not at all, and survive everything', () => {
    let offered = 0;
    for (let seed = 1; seed <= 8; seed++) {
      const host = new TakingPeer(500_000);
      const impairments = links['everything'] ?? {};
      transfer({ seed, mtu: 65_500, impairments }, 3_000_000, 500_000, host);
      offered += host.offered;
    }
    assert.ok(offered > 50, `${offered} times`);
  });
  it('short runs are never offered', () => {
    const host = new TakingPeer(0);
    transfer({ mtu: 9_000 }, 1_000_000, 0, host);
    assert.equal(host.offered, 0);
  });
  for (const [name, impairments] of Object.entries(links)) {
    it(`survives ${name}`, () => {
      for (let seed = 1; seed <= (version === 4 ? 40 : 4); seed++) {
        transfer({ seed, impairments }, 120_000, 120_000);
      }
    });
  }
});
