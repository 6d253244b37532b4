import assert from 'node:assert/strict';
import { Emitter } from '../../src/base/emitter.ts';
import type { GuestView } from '../../src/control/network-view.ts';
import { GuestWatch, LeaseWatch, type NetworkEvents } from '../../src/network/events.ts';
import type { LeaseStore, StoredLease } from '../../src/services/dhcp/lease.ts';

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('network/events', () => {
  const lease = (address: string, expiresAtMs: number, mac = '52:54:00:00:00:01'): StoredLease => ({
    address,
    mac,
    client: `hw:${mac.replaceAll(':', '')}`,
    hostname: 'build',
    expiresAtMs,
  });

  it('a lease is granted, renewed, released, and granted to another', async () => {
    const emitter = new Emitter<NetworkEvents>();
    const seen: string[] = [];
    const saved: number[] = [];
    const store: LeaseStore = {
      load: () => [lease('10.0.0.9', 5_000)],
      save: (leases) => saved.push(leases.length),
    };
    const watch = new LeaseWatch(() => ({ leases: () => [] }), emitter, store);
    assert.equal(watch.load().length, 1);
    watch.save([lease('10.0.0.9', 6_000)]); // nobody listens
    emitter.on('lease', ({ kind, lease: { address, mac, expiresAt } }) => {
      seen.push(`${kind} ${address} ${mac.slice(-2)} ${expiresAt}`);
    });
    const old = lease('10.0.0.9', 6_000);
    watch.save([old, lease('10.0.0.2', 1_000)]);
    watch.save([old, lease('10.0.0.2', 2_000)]);
    watch.save([old, lease('10.0.0.2', 1_500)]);
    watch.save([old, lease('10.0.0.2', 9_000, '52:54:00:00:00:02')]);
    assert.deepEqual(seen, []); // not within the calls
    await settled();
    assert.deepEqual(seen, [
      'granted 10.0.0.2 01 1970-01-01T00:00:01.000Z',
      'renewed 10.0.0.2 01 1970-01-01T00:00:02.000Z',
      'released 10.0.0.2 01 1970-01-01T00:00:01.500Z',
      'granted 10.0.0.2 02 1970-01-01T00:00:09.000Z',
    ]);
    assert.deepEqual(saved, [1, 2, 2, 2, 2]);
  });

  it('comparisons that take long are as much rarer', async () => {
    const TAKES_MS = 8;
    const began: number[] = [];
    const view = {
      guests: (): readonly GuestView[] => {
        const at = performance.now();
        began.push(at);
        while (performance.now() < at + TAKES_MS);
        return [];
      },
    };
    const watch = new GuestWatch(() => view, new Emitter<NetworkEvents>());
    while (began.length < 3) {
      watch.changed();
      await settled();
    }
    watch.close();
    const [first = 0, second = 0, third = 0] = began;
    assert.ok(Math.min(second - first, third - second) >= 20 * TAKES_MS, `${began}`);
  });

  it('a guest is one event, however many changes there were', async () => {
    const emitter = new Emitter<NetworkEvents>();
    const guest = (mac: string, link: string | null): GuestView => ({
      mac,
      addresses: ['10.0.0.2'],
      hostname: null,
      link,
      id: 1,
      attachedMs: link === null ? null : 1,
      knownMs: 1,
      shares: {},
      framesToHost: 0,
      framesToGuest: 0,
      bytesToHost: 0,
      bytesToGuest: 0,
      framesRefused: 0,
      blocked: {},
    });
    let guests = [guest('a', 'x'), guest('b', null)];
    const watch = new GuestWatch(() => ({ guests: () => guests }), emitter);
    const event = (): Promise<string> =>
      new Promise((resolve) => {
        const listener = ({ kind, guest: { mac, link } }: NetworkEvents['guest']): void => {
          emitter.off('guest', listener);
          resolve(`${kind} ${mac} ${link}`);
        };
        emitter.on('guest', listener);
        for (let i = 0; i < 100; i++) watch.changed();
      });
    const alive = setInterval(() => {}, 1_000); // the watch keeps no process alive
    assert.equal(await event(), 'attached a x');
    guests = [guest('a', 'y'), guest('b', 'x')];
    assert.equal(await event(), 'attached b x');
    guests = [guest('b', 'x')]; // forgotten altogether
    assert.equal(await event(), 'detached a null');
    watch.changed();
    watch.close();
    clearInterval(alive);
  });
});
