import assert from 'node:assert/strict';
import type { IpAddress } from '../../../src/base/ip-address.ts';
import { seededRandom } from '../../../src/base/random.ts';
import { makeSlab } from '../../../src/base/slab.ts';
import { NEVER } from '../../../src/base/time.ts';
import { parseAddress } from '../../../src/services/address-text.ts';
import {
  Advertiser,
  type AdvertiserConfig,
  type Announcement,
} from '../../../src/services/ra/advertiser.ts';
import { formatMac } from '../../../src/wire/mac.ts';
import { type ReadAdvertisement, readAdvertisement } from '../../support/router-advertisement.ts';

const address = (text: string): IpAddress => parseAddress(text) ?? assert.fail(text);
const GUEST = address('fe80::5054:ff:fe12:3456');
const GUEST_MAC = 0x5254_0012_3456;
const TO_ALL = 'ff02::1 33:33:00:00:00:01';
const TO_GUEST = 'fe80::5054:ff:fe12:3456 52:54:00:12:34:56';
const TO_STATION = 'ff02::1 52:54:00:12:34:56';

const CONFIG: AdvertiserConfig = {
  mac: 0x5a94_efe4_0cdd,
  mtu: 1_500,
  prefix: address('fd12:3456:789a:1::'),
  isOffLink: false,
  hasAutoconfiguration: true,
  hasDhcp: true,
  dns: [address('fd12:3456:789a:1::1')],
  nat64: [address('64:ff9b::')],
};
const ANNOUNCED: Announcement = { hasRoute: true, hasNat64: false, search: ['corp.example'] };

interface Sent {
  readonly at: number;
  readonly link: number;
  readonly to: string;
  readonly message: ReadAdvertisement;
}

/** An advertiser in virtual time, and what it sent. */
class Lab {
  readonly sent: Sent[] = [];
  readonly advertiser: Advertiser;
  now = 0;

  constructor(
    config: Partial<AdvertiserConfig> = {},
    announced: Partial<Announcement> = {},
    seed = 1,
  ) {
    this.advertiser = new Advertiser(
      { ...CONFIG, ...config },
      { ...ANNOUNCED, ...announced },
      seededRandom(seed),
      {
        sendAdvertisement: (link, to, mac, write) => {
          const slab = makeSlab(1_300);
          const len = write(slab, 30, 1_240);
          const message = readAdvertisement(slab.bytes.subarray(30, 30 + len));
          this.sent.push({ at: this.now, link, to: `${to} ${formatMac(mac)}`, message });
        },
      },
    );
  }

  /** Let time pass, with every timeout at its time. */
  passTo(end: number): void {
    for (;;) {
      const at = this.advertiser.nextTimeout();
      if (at > end) break;
      this.now = Math.max(this.now, at);
      this.advertiser.onTimeout(this.now);
      assert.ok(this.advertiser.nextTimeout() > this.now, 'makes progress');
    }
    this.now = end;
  }

  /** What was sent since the last call. */
  take(): Sent[] {
    return this.sent.splice(0);
  }

  solicit(from: IpAddress | undefined = GUEST): void {
    this.advertiser.onSolicitation(this.now, 7, from, GUEST_MAC);
  }
}

/** A lab with a link, whose first advertisements are long sent. */
function settled(...args: ConstructorParameters<typeof Lab>): Lab {
  const lab = new Lab(...args);
  lab.advertiser.onLinkUp(0, 7);
  lab.passTo(40_000);
  lab.take();
  return lab;
}

const gaps = (sent: readonly Sent[]): number[] =>
  sent.slice(1).map(({ at }, i) => at - (sent[i]?.at ?? 0));

describe('services/ra/advertiser', () => {
  describe('says', () => {
    const said = (
      config: Partial<AdvertiserConfig>,
      announced: Partial<Announcement> = {},
    ): ReadAdvertisement => {
      const lab = new Lab(config, announced);
      lab.advertiser.onLinkUp(0, 7);
      return lab.sent[0]?.message ?? assert.fail('nothing sent');
    };

    it('the whole of what a guest needs', () =>
      assert.deepEqual(said({}), {
        hopLimit: 64,
        flags: 'MO',
        routerLifetimeS: 1_800,
        source: '5a:94:ef:e4:0c:dd',
        mtu: 1_500,
        prefixes: ['fd12:3456:789a:1::/64 LA 86400 14400'],
        dns: ['fd12:3456:789a:1::1 1800'],
        search: ['corp.example 1800'],
        nat64: [],
      }));

    for (const [name, config, announced, expected] of [
      [
        'with stateless autoconfiguration alone that there is no DHCPv6 for addresses',
        { hasDhcp: false },
        {},
        { flags: 'O', prefixes: ['fd12:3456:789a:1::/64 LA 86400 14400'] },
      ],
      [
        'with DHCPv6 alone that no address is to be made, but that the prefix is on the link (RFC 5942)',
        { hasAutoconfiguration: false },
        {},
        { flags: 'MO', prefixes: ['fd12:3456:789a:1::/64 L 86400 14400'] },
      ],
      [
        "of the host's own prefix that it is not on the link",
        { isOffLink: true },
        {},
        { prefixes: ['fd12:3456:789a:1::/64 A 86400 14400'] },
      ],
      [
        'without a route on the host that the gateway is no router; the prefix stays',
        {},
        { hasRoute: false },
        { routerLifetimeS: 0, prefixes: ['fd12:3456:789a:1::/64 LA 86400 14400'] },
      ],
      ['the prefix of NAT64', {}, { hasNat64: true }, { nat64: ['64:ff9b:: 1800'] }],
    ] as const) {
      it(name, () => {
        const message = said(config, announced);
        assert.deepEqual({ ...message, ...expected }, message);
      });
    }
  });

  describe('on its own (RFC 4861 §6.2.4)', () => {
    it('advertises at once when a link comes, and twice soon after', () => {
      for (let seed = 1; seed <= 50; seed++) {
        const lab = new Lab({}, {}, seed);
        lab.now = 5;
        lab.advertiser.onLinkUp(5, 7);
        lab.passTo(32_005);
        const sent = lab.take();
        assert.deepEqual(
          sent.map(({ link, to }) => [link, to]),
          Array(3).fill([7, TO_ALL]),
        );
        assert.equal(sent[0]?.at, 5);
        assert.ok(
          gaps(sent).every((ms) => ms >= 3_000 && ms <= 16_000),
          `${gaps(sent)}`,
        );
      }
    });

    it('then every few minutes, each time after another interval', () => {
      const lab = settled();
      lab.passTo(86_400_000);
      const between = gaps(lab.take());
      assert.ok(between.length > 140 && between.length < 440);
      assert.ok(between.every((ms) => ms >= 200_000 && ms <= 600_000));
      assert.equal(new Set(between).size, between.length);
    });

    it('a link that comes again is new; each has times of its own', () => {
      const lab = settled();
      lab.advertiser.onLinkUp(lab.now, 8);
      assert.deepEqual(
        lab.take().map(({ link }) => link),
        [8],
      );
      lab.advertiser.onLinkDown(8);
      lab.passTo(lab.now + 60_000);
      assert.deepEqual(lab.take(), []);
      lab.advertiser.onLinkUp(lab.now, 8);
      lab.passTo(lab.now + 40_000);
      assert.deepEqual(
        lab.take().map(({ link }) => link),
        [8, 8, 8],
      );
      lab.passTo(lab.now + 3_600_000);
      assert.deepEqual(new Set(lab.take().map(({ link }) => link)), new Set([7, 8]));
    });

    it('has nothing to do without links', () => {
      const lab = settled();
      lab.advertiser.onLinkDown(7);
      assert.equal(lab.advertiser.nextTimeout(), NEVER);
    });

    it('a timeout that comes early does nothing', () => {
      const lab = settled();
      lab.advertiser.onTimeout(lab.now);
      assert.deepEqual(lab.take(), []);
    });
  });

  describe('of what changes', () => {
    it('a route that is withdrawn is a lifetime of 0 at once and repeated, and back it is announced at once', () => {
      const lab = settled();
      for (const [hasRoute, lifetime] of [
        [false, 0],
        [true, 1_800],
      ] as const) {
        const changedAt = lab.now;
        lab.advertiser.announce(changedAt, { ...ANNOUNCED, hasRoute });
        lab.passTo(changedAt + 32_000);
        const sent = lab.take();
        assert.deepEqual(
          sent.map(({ to, message }) => [to, message.routerLifetimeS]),
          Array(3).fill([TO_ALL, lifetime]),
        );
        assert.equal(sent[0]?.at, changedAt);
      }
    });

    it('NAT64 is withdrawn by name, for as long as a guest may remember it', () => {
      const lab = settled();
      const announce = (hasNat64: boolean): string[] => {
        lab.advertiser.announce(lab.now, { ...ANNOUNCED, hasNat64 });
        return lab.take()[0]?.message.nat64 ?? assert.fail('nothing sent');
      };
      assert.deepEqual(announce(true), ['64:ff9b:: 1800']);
      assert.deepEqual(announce(false), ['64:ff9b:: 0']);
      lab.passTo(lab.now + 700_000);
      assert.deepEqual(lab.take().at(-1)?.message.nat64, ['64:ff9b:: 0']);
    });

    it('search domains are announced anew', () => {
      const lab = settled();
      const announcement = { ...ANNOUNCED, search: ['home.example'] };
      lab.advertiser.announce(lab.now, announcement);
      assert.deepEqual(lab.take()[0]?.message.search, ['home.example 1800']);
      assert.equal(lab.advertiser.announced, announcement);
    });

    it('what is as before is not', () => {
      const lab = settled();
      lab.advertiser.announce(lab.now, { ...ANNOUNCED, search: ['corp.example'] });
      assert.deepEqual(lab.take(), []);
    });
  });

  describe('solicited (RFC 4861 §6.2.6)', () => {
    it('answers at once, to who asks', () => {
      const lab = settled();
      lab.solicit();
      const at = lab.now;
      assert.deepEqual(
        lab.take().map((sent) => [sent.at, sent.link, sent.to]),
        [[at, 7, TO_GUEST]],
      );
    });

    it('a host without an address is answered as all nodes, at its station (RFC 6085)', () => {
      const lab = settled();
      lab.advertiser.onSolicitation(lab.now, 7, undefined, GUEST_MAC);
      assert.deepEqual(
        lab.take().map(({ to }) => to),
        [TO_STATION],
      );
    });

    it('leaves the regular times alone', () => {
      const lab = settled();
      const before = lab.advertiser.nextTimeout();
      lab.solicit();
      assert.equal(lab.advertiser.nextTimeout(), before);
    });

    it('who asks too often is answered with all others of the link, at most every three seconds', () => {
      const lab = settled();
      const { now } = lab;
      for (let i = 0; i < 1_000; i++) lab.solicit();
      assert.deepEqual(
        lab.take().map(({ to }) => to),
        Array(4).fill(TO_GUEST),
      );
      lab.passTo(now);
      assert.deepEqual(
        lab.take().map(({ at, to }) => [at, to]),
        [[now, TO_ALL]],
      );
      for (let i = 0; i < 1_000; i++) lab.solicit();
      lab.passTo(now + 2_999);
      assert.deepEqual(lab.take(), []);
      lab.passTo(now + 3_000);
      assert.deepEqual(
        lab.take().map(({ at, to }) => [at, to]),
        [[now + 3_000, TO_ALL]],
      );
      assert.equal(lab.advertiser.counts.get('solicited'), 4);
      assert.equal(lab.advertiser.counts.get('rate-limited'), 1_996);
    });

    it('a flood on one link takes nothing from another', () => {
      const lab = settled();
      lab.advertiser.onLinkUp(lab.now, 8);
      lab.take();
      for (let i = 0; i < 1_000; i++) lab.solicit();
      lab.take();
      lab.advertiser.onSolicitation(lab.now, 8, GUEST, GUEST_MAC);
      assert.deepEqual(
        lab.take().map(({ link, to }) => [link, to]),
        [[8, TO_GUEST]],
      );
    });

    it('a link that is gone gets nothing', () => {
      const lab = settled();
      lab.advertiser.onLinkDown(7);
      lab.solicit();
      assert.deepEqual(lab.take(), []);
    });
  });

  it('what guests may know no more is announced again, in the manner of what changes', () => {
    const lab = settled();
    lab.advertiser.onLinkUp(lab.now, 8);
    lab.passTo(lab.now + 40_000);
    lab.take();
    const { now } = lab;
    lab.advertiser.announceAgain(now);
    assert.deepEqual(
      lab.take().map(({ link, to, at }) => [link, to, at]),
      [
        [7, TO_ALL, now],
        [8, TO_ALL, now],
      ],
    );
    lab.passTo(now + 32_000);
    assert.equal(lab.take().length, 4);
  });

  it('a guest that wakes up gets one at its station, within the same rate', () => {
    const lab = settled();
    for (let i = 0; i < 6; i++) lab.advertiser.onAwake(lab.now, 7, GUEST_MAC);
    assert.deepEqual(
      lab.take().map(({ to }) => to),
      Array(4).fill(TO_STATION),
    );
    assert.equal(lab.advertiser.counts.get('awake'), 4);
    assert.equal(lab.advertiser.counts.get('rate-limited'), 2);
  });
});
