import assert from 'node:assert/strict';
import { Emitter } from '../../src/base/emitter.ts';
import type { NetworkEvents } from '../../src/control/events/network-events.ts';
import type { GuestView } from '../../src/control/network-view.ts';
import { GuestWatch } from '../../src/network/events.ts';
import { formatMac, type Mac } from '../../src/wire/mac.ts';

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('network/events', () => {
  const view = (mac: Mac, link: string | null): GuestView => ({
    mac: formatMac(mac),
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

  it('comparisons that take long are as much rarer', async () => {
    const TAKES_MS = 8;
    const began: number[] = [];
    const stations = {
      forEachAttached: (): void => {
        const at = performance.now();
        began.push(at);
        while (performance.now() < at + TAKES_MS);
      },
      viewsOf: () => [],
    };
    const watch = new GuestWatch(stations, new Emitter<NetworkEvents>());
    while (began.length < 3) {
      watch.changed();
      await settled();
    }
    watch.close();
    const [first = 0, second = 0, third = 0] = began;
    assert.ok(Math.min(second - first, third - second) >= 20 * TAKES_MS, `${began}`);
  });

  /** A watch of stations whose links are in `links`; undefined: forgotten altogether. */
  function watching(): {
    links: Map<Mac, string | null>;
    watch: GuestWatch;
    looks: ReadonlySet<Mac>[];
    event: () => Promise<string>;
  } {
    const emitter = new Emitter<NetworkEvents>();
    const links = new Map<Mac, string | null>();
    const looks: ReadonlySet<Mac>[] = [];
    const watch = new GuestWatch(
      {
        forEachAttached: (visit) => {
          for (const [mac, link] of links) if (link !== null) for (const _ of 'ab') visit(mac);
        },
        viewsOf: (macs) => {
          looks.push(macs);
          return [...macs].flatMap((mac) => {
            const link = links.get(mac);
            return link === undefined ? [] : [view(mac, link)];
          });
        },
      },
      emitter,
    );
    const waiting: string[] = [];
    let wake = (): void => {};
    emitter.on('guest', ({ kind, guest: { mac, link } }) => {
      waiting.push(`${kind} ${mac.slice(-2)} ${link}`);
      wake();
    });
    const event = async (): Promise<string> => {
      while (waiting.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return waiting.shift() ?? '';
    };
    return { links, watch, looks, event };
  }

  it('a guest that attached a moment before the end is an event', () => {
    const { links, watch, looks } = watching();
    watch.settle();
    assert.equal(looks.length, 0, 'nothing has changed');
    links.set(0x5a94_efe4_0c01, 'a');
    watch.changed();
    watch.settle();
    assert.equal(looks.length, 1);
    watch.close();
  });

  it('a guest is one event, however many changes there were', async () => {
    const { links, watch, event, looks } = watching();
    const change = (mac: Mac, link: string | null): void => {
      links.set(mac, link);
      for (let i = 0; i < 100; i++) watch.changed();
    };
    const alive = setInterval(() => {}, 1_000); // the watch keeps no process alive
    change(0xa, 'x');
    assert.equal(await event(), 'attached 0a x');
    change(0xa, 'y');
    change(0xb, 'x');
    assert.equal(await event(), 'attached 0b x');
    links.delete(0xa);
    watch.changed();
    assert.equal(await event(), 'detached 0a null');
    change(0xb, null);
    assert.equal(await event(), 'detached 0b null');
    assert.deepEqual(
      looks.map((macs) => [...macs]),
      [[0xa], [0xb], [0xa], [0xb]], // nobody else is looked at
    );
    watch.changed();
    watch.close();
    clearInterval(alive);
  });

  it('of thousands of stations at once each is an event, a few at a time', async () => {
    const { links, watch, event, looks } = watching();
    const alive = setInterval(() => {}, 1_000);
    const COUNT = 200;
    for (let mac = 1; mac <= COUNT; mac++) links.set(mac, 'x');
    watch.changed();
    for (let mac = 1; mac <= COUNT; mac++) assert.match(await event(), /^attached/);
    assert.deepEqual(
      looks.map(({ size }) => size),
      [64, 64, 64, 8],
    );
    watch.close();
    clearInterval(alive);
  });
});
