import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { Emitter } from '../../src/base/emitter.ts';
import type { NetworkEvents } from '../../src/control/events/network-events.ts';
import { LeaseWatch } from '../../src/network/lease-watch.ts';
import type { LeaseEnd, LeaseKeeper, StoredLease } from '../../src/services/dhcp/lease.ts';

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const ONE = '52:54:00:00:00:01';
const OTHER = '52:54:00:00:00:02';
const HOUR = 3_600_000;

/** A lease, and when it ends, each by its own clock. */
interface Entry {
  readonly lease: StoredLease;
  readonly end: LeaseEnd;
}

const entry = (address: string, mac: string, expiresAt: number, freeAt = expiresAt): Entry => ({
  lease: {
    address,
    mac,
    client: `hw:${mac.replaceAll(':', '')}`,
    hostname: 'build',
    expiresAtMs: wallMs + expiresAt,
  },
  end: { expiresAt, freeAt },
});

/** Of the wall's clock, at the moment 0 of the other. */
let wallMs = 0;

describe('network/lease-watch', () => {
  let seen: string[];
  let watch: LeaseWatch;
  let now: number;
  let saved: number[];
  let emitter: Emitter<NetworkEvents>;

  const make = (stored: readonly StoredLease[] = []): LeaseWatch => {
    const store: LeaseKeeper = { load: () => stored, save: (leases) => saved.push(leases.length) };
    const clock = { now: () => now };
    return new LeaseWatch({ view: () => ({ leases: () => [] }), emitter, store, clock });
  };
  const save = (...entries: readonly Entry[]): void =>
    watch.save(
      entries.map(({ lease }) => lease),
      entries.map(({ end }) => end),
    );
  const said = async (): Promise<readonly string[]> => {
    await settled();
    return seen.splice(0);
  };

  beforeEach(() => {
    [seen, saved, now, wallMs] = [[], [], 1_000, Date.now()];
    emitter = new Emitter<NetworkEvents>();
    emitter.on('lease', ({ kind, lease: { address, mac } }) => {
      seen.push(`${kind} ${address} ${mac.slice(-2)}`);
    });
    watch = make();
  });
  afterEach(() => watch.close());

  it('a lease is granted, renewed, released, and granted to another', async () => {
    const old = entry('10.0.0.9', ONE, HOUR);
    save(old);
    assert.deepEqual(seen, [], 'not within the call');
    assert.deepEqual(await said(), ['granted 10.0.0.9 01']);
    save(old, entry('10.0.0.2', ONE, HOUR));
    save(old, entry('10.0.0.2', ONE, 2 * HOUR));
    save(old, entry('10.0.0.2', ONE, now, -Infinity));
    save(old, entry('10.0.0.2', OTHER, HOUR));
    assert.deepEqual(await said(), [
      'granted 10.0.0.2 01',
      'renewed 10.0.0.2 01',
      'released 10.0.0.2 01',
      'granted 10.0.0.2 02',
    ]);
    save(old, entry('10.0.0.2', ONE, HOUR));
    assert.deepEqual(await said(), ['released 10.0.0.2 02', 'granted 10.0.0.2 01']);
    save(old);
    assert.deepEqual(await said(), ['released 10.0.0.2 01'], 'the guest has declined it');
    assert.deepEqual(saved, [1, 2, 2, 2, 2, 2, 1]);
  });

  it("nothing has happened to others' leases, however the wall's clock is set meanwhile", async () => {
    const all = (): Entry[] => [2, 3, 4].map((n) => entry(`10.0.0.${n}`, ONE, HOUR));
    save(...all());
    await said();
    for (const step of [-1, 1, -864_000_000, 864_000_000]) {
      wallMs += step;
      save(...all());
      assert.deepEqual(await said(), [], `${step} ms`);
    }
  });

  it('one that ends while nobody asks for anything is released, once', async () => {
    save(entry('10.0.0.2', ONE, now + 50), entry('10.0.0.3', ONE, HOUR));
    await said();
    now += 49;
    await pause(80);
    assert.deepEqual(await said(), []);
    now += 1;
    await pause(30);
    assert.deepEqual(await said(), ['released 10.0.0.2 01']);
    save(entry('10.0.0.2', ONE, 1_050), entry('10.0.0.3', ONE, HOUR));
    assert.deepEqual(await said(), []);
  });

  it('a guest that has left is released after a while, and one that is back in time has not left', async () => {
    const [here, away] = [entry('10.0.0.2', ONE, HOUR), entry('10.0.0.2', ONE, HOUR, now + 60)];
    const onEnds = ({ lease, end }: Entry): void =>
      watch.onEnds(() => ({ leases: [lease], ends: [end] }));
    save(here);
    await said();
    onEnds(away);
    await pause(30);
    onEnds(here);
    await pause(30);
    now += 60;
    await pause(60);
    assert.deepEqual(await said(), []);
    onEnds(entry('10.0.0.2', ONE, HOUR, now + 30));
    await pause(30);
    now += 30;
    await pause(60);
    assert.deepEqual(await said(), ['released 10.0.0.2 01']);
    assert.deepEqual(saved, [1], 'the file has nothing of that');
  });

  it('what a file has was granted before', async () => {
    const { lease } = entry('10.0.0.9', ONE, HOUR);
    watch = make([lease, entry('10.0.0.8', ONE, -HOUR).lease]);
    assert.equal(watch.load().length, 2);
    save(entry('10.0.0.9', ONE, HOUR), entry('10.0.0.8', ONE, -HOUR));
    assert.deepEqual(await said(), []);
    watch.close();
    watch = make([entry('10.0.0.7', ONE, 40).lease]);
    watch.load();
    now += 40;
    await pause(80);
    assert.deepEqual(await said(), ['released 10.0.0.7 01'], 'it has ended since the start');
    watch.close();
    watch = make([lease]);
    watch.load();
    save(entry('10.0.0.9', ONE, 2 * HOUR));
    assert.deepEqual(await said(), ['renewed 10.0.0.9 01']);
  });
});
