import assert from 'node:assert/strict';
import fc from 'fast-check';
import { formatIpv4 } from '../../../src/base/ip-address.ts';
import { makeSlab } from '../../../src/base/slab.ts';
import type { DhcpConfig } from '../../../src/services/dhcp/config.ts';
import type { LeaseStore, StoredLease } from '../../../src/services/dhcp/lease.ts';
import type { AddressUser } from '../../../src/services/dhcp/lease-table.ts';
import { DhcpServer, MAX_DHCP_REPLY_LEN } from '../../../src/services/dhcp/server.ts';
import {
  dhcpCiaddr,
  dhcpMessageType,
  dhcpOption,
  dhcpYiaddr,
  replyDestination,
} from '../../../src/wire/dhcp.ts';
import { RecordingLog } from '../../support/recording-log.ts';

const NET = 0xc0a8_7f00 | 0; // 192.168.127.0
const ip = (last: number): number => NET | last;
const WALL = 1_700_000_000_000;
const HOUR = 3_600_000;

const CONFIG: DhcpConfig = {
  subnet: NET,
  prefix: 24,
  gateway: ip(1),
  hostIp: ip(254),
  mtu: 4000,
  dns: [ip(1)],
  ntp: [ip(1)],
  search: ['corp.example', 'example'],
  domain: 'corp.example',
  leaseSeconds: 3600,
  awayMs: 60_000,
  staticLeases: [{ mac: '02:00:00:00:00:63', address: ip(99), hostname: 'fixed' }],
};

type Type = 'discover' | 'request' | 'decline' | 'release' | 'inform';
const TYPES: Readonly<Record<Type, number>> = {
  discover: 1,
  request: 3,
  decline: 4,
  release: 7,
  inform: 8,
};

interface Ask {
  readonly ciaddr?: number;
  readonly giaddr?: number;
  readonly wish?: number;
  readonly server?: number;
  readonly link?: number;
  readonly clientId?: readonly number[];
  readonly list?: readonly number[];
  readonly extra?: readonly number[];
}

const word = (value: number): number[] => [
  value >>> 24,
  (value >>> 16) & 255,
  (value >>> 8) & 255,
  value & 255,
];

function message(type: Type, mac: number, ask: Ask = {}): DataView {
  const options = [53, 1, TYPES[type]];
  if (ask.wish !== undefined) options.push(50, 4, ...word(ask.wish));
  if (ask.server !== undefined) options.push(54, 4, ...word(ask.server));
  if (ask.clientId !== undefined) options.push(61, ask.clientId.length, ...ask.clientId);
  if (ask.list !== undefined) options.push(55, ask.list.length, ...ask.list);
  options.push(...(ask.extra ?? []), 255);
  const bytes = new Uint8Array(240 + options.length);
  bytes.set([1, 1, 6, 0, 1, 2, 3, 4]);
  bytes.set(word(ask.ciaddr ?? 0), 12);
  bytes.set(word(ask.giaddr ?? 0), 24);
  bytes.set([2, 0, 0, 0, mac >> 8, mac & 255], 28);
  bytes.set([0x63, 0x82, 0x53, 0x63, ...options], 236);
  return new DataView(bytes.buffer);
}

class Lab {
  now = 0;
  /** At `now` 0; set to another, the clock on the wall has jumped. */
  wall = WALL;
  readonly saved: (readonly StoredLease[])[] = [];
  server: DhcpServer;
  private readonly config: DhcpConfig;

  /** Ethernet addresses on the segment. */
  readonly present: Set<string> = new Set();
  /** Numbers of links. */
  readonly attached: Set<number> = new Set([1, 2]);
  /** Guests that were heard, by address. */
  readonly users: Map<number, AddressUser> = new Map();
  readonly log: RecordingLog = new RecordingLog();

  constructor(config: Partial<DhcpConfig> = {}) {
    this.config = { ...CONFIG, ...config };
    this.server = this.start();
  }

  private start(): DhcpServer {
    return new DhcpServer(this.config, this.store(), {
      log: this.log,
      isPresent: (mac) => this.present.has(mac),
      isAttached: (link) => this.attached.has(link),
      userOf: (address) => this.users.get(address),
    });
  }

  warnings(): string[] {
    return this.log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
  }

  /** As the next process would: only what was stored remains. */
  restart(): void {
    this.server = this.start();
  }

  /** The reply, or undefined for silence. */
  send(type: Type, mac: number, ask?: Ask): DataView | undefined {
    const out = makeSlab(MAX_DHCP_REPLY_LEN + 7);
    const source = { mac: 0x0200_0000_0000 + mac, link: ask?.link ?? 1 };
    const request = message(type, mac, ask);
    const wallMs = this.wall + this.now;
    const len = this.server.answer(request, out, 7, this.now, wallMs, source);
    return len === 0 ? undefined : new DataView(out.bytes.buffer, 7, len);
  }

  /** DISCOVER and REQUEST. @returns the last byte of the address bound; 0 for none */
  join(mac: number, ask: Ask = {}): number {
    const offer = this.send('discover', mac, ask);
    if (offer === undefined) return 0;
    const wish = dhcpYiaddr(offer);
    const ack = this.send('request', mac, { ...ask, wish, server: CONFIG.gateway });
    assert.equal(verdict(ack), 'ack');
    assert.equal(ack === undefined ? 0 : dhcpYiaddr(ack), wish);
    return wish & 255;
  }

  state(last: number): string | undefined {
    const leases = this.server.leases(this.now, this.wall + this.now);
    return leases.find(({ address }) => address === formatIpv4(ip(last)))?.state;
  }

  private store(): LeaseStore {
    return { load: () => this.saved.at(-1) ?? [], save: (leases) => this.saved.push(leases) };
  }
}

function verdict(reply: DataView | undefined): string {
  if (reply === undefined) return 'silence';
  return ['?', '?', 'offer', '?', '?', 'ack', 'nak'][dhcpMessageType(reply)] ?? '?';
}

const CLONE = { clientId: [255, 1, 2, 3, 4] };
const macText = (mac: number): string => `02:00:00:00:00:${mac.toString(16).padStart(2, '0')}`;

describe('DHCP server: clones of one image', () => {
  it('two guests with one client identifier, both here, have two addresses, and one warning', () => {
    const lab = new Lab();
    lab.present.add(macText(1)).add(macText(2));
    assert.equal(lab.join(1, CLONE), 2);
    assert.equal(lab.join(2, CLONE), 3);
    for (let i = 0; i < 3; i++) {
      assert.equal(lab.join(1, CLONE), 2);
      assert.equal(lab.join(2, CLONE), 3);
    }
    assert.deepEqual([lab.state(2), lab.state(3)], ['bound', 'bound']);
    assert.equal(lab.warnings().length, 1);
    assert.match(lab.warnings()[0] ?? '', /one DHCP client identifier/);
  });

  it('the second, which remembers the address of the first, is refused it', () => {
    const lab = new Lab();
    lab.present.add(macText(1)).add(macText(2));
    lab.join(1, CLONE);
    assert.equal(verdict(lab.send('request', 2, { ...CLONE, wish: ip(2) })), 'nak');
    lab.send('release', 2, { ...CLONE, ciaddr: ip(2) });
    lab.send('decline', 2, { ...CLONE, wish: ip(2) });
    assert.equal(lab.state(2), 'bound');
  });

  it('one whose Ethernet address changed keeps its address once the old one has gone', () => {
    const lab = new Lab();
    lab.present.add(macText(1));
    assert.equal(lab.join(1, CLONE), 2);
    lab.present.clear();
    lab.present.add(macText(7));
    assert.equal(lab.join(7, CLONE), 2);
    lab.present.add(macText(1));
    assert.equal(lab.join(1, CLONE), 3, 'the first is back, beside it');
    assert.equal(lab.join(7, CLONE), 2);
  });

  it('each finds its own again after both have gone, and after a restart', () => {
    const lab = new Lab();
    lab.present.add(macText(1)).add(macText(2));
    lab.join(1, CLONE);
    lab.join(2, CLONE);
    lab.present.clear();
    lab.restart();
    assert.equal(lab.join(2, CLONE), 3);
    lab.present.add(macText(2));
    assert.equal(lab.join(1, CLONE), 2);
  });

  it('nobody asks on behalf of another Ethernet address', () => {
    const lab = new Lab();
    lab.join(1);
    const out = makeSlab(MAX_DHCP_REPLY_LEN);
    const release = message('release', 1, { ciaddr: ip(2) });
    assert.equal(
      lab.server.answer(release, out, 0, 0, WALL, { mac: 0x0200_0000_0009, link: 1 }),
      0,
    );
    assert.equal(lab.server.drops.get('dhcp-foreign-address'), 1);
    assert.equal(lab.state(2), 'bound');
  });
});

describe('DHCP server: addresses in use without a lease', () => {
  it('gives nobody the address that an attached guest uses, whatever is asked for', () => {
    const lab = new Lab();
    lab.users.set(ip(2), { mac: macText(1), heardAt: 0 });
    assert.equal(lab.join(2), 3);
    assert.equal(lab.join(4, { wish: ip(2) }), 4);
    assert.equal(verdict(lab.send('request', 5, { wish: ip(2) })), 'nak');
    assert.equal(lab.join(1, { wish: ip(2) }), 2, 'its own');
  });

  it('gives it once that guest has left', () => {
    const lab = new Lab();
    lab.users.set(ip(2), { mac: macText(1), heardAt: 0 });
    assert.equal(lab.join(2), 3);
    lab.users.clear();
    assert.equal(lab.join(5), 2);
  });

  it('a guest that returns finds its own in use, and gets another', () => {
    const lab = new Lab();
    lab.join(2);
    lab.send('release', 2, { ciaddr: ip(2) });
    lab.users.set(ip(2), { mac: macText(1), heardAt: 0 });
    for (let i = 0; i < 2; i++) assert.equal(lab.join(2), 3);
  });

  it('a guest renews its lease though another uses the address', () => {
    const lab = new Lab();
    lab.join(2);
    lab.users.set(ip(2), { mac: macText(1), heardAt: 0 });
    assert.equal(verdict(lab.send('request', 2, { ciaddr: ip(2) })), 'ack');
    assert.equal(lab.join(2), 2);
  });

  for (const [heardAt, who, address] of [
    [0, 'is silent since', 2],
    [1_000, 'sends a last packet', 2],
    [60_000, 'sends on', 3],
  ] as const) {
    it(`of a guest that released its lease and ${who}, the next gets .${address}`, () => {
      const lab = new Lab({ prefix: 29, gateway: ip(1), hostIp: ip(4), staticLeases: [] });
      lab.join(1);
      lab.send('release', 1, { ciaddr: ip(2) });
      lab.users.set(ip(2), { mac: macText(1), heardAt });
      lab.now = 120_000;
      assert.equal(lab.join(2, { wish: ip(2) }), address);
    });
  }

  it('has none left when all are in use', () => {
    const lab = new Lab({ prefix: 30, gateway: ip(1), hostIp: undefined, staticLeases: [] });
    lab.users.set(ip(2), { mac: macText(1), heardAt: 0 });
    assert.equal(lab.join(2), 0);
    assert.equal(lab.join(3), 0);
    assert.equal(lab.server.drops.get('dhcp-pool-exhausted'), 2);
    assert.equal(lab.server.poolIsEmpty, true);
    const about = (): number => lab.warnings().filter((text) => /no address/.test(text)).length;
    assert.equal(about(), 1, 'once');
    lab.users.delete(ip(2));
    assert.equal(lab.join(2), 2);
    assert.equal(lab.server.poolIsEmpty, false);
    assert.equal(lab.join(3), 0);
    assert.equal(about(), 2, 'and again');
  });
});

describe('DHCP server: one Ethernet address behind two links', () => {
  for (const [what, type, ask] of [
    ['released', 'release', { ciaddr: ip(2) }],
    ['declined', 'decline', { wish: ip(2) }],
    ['requested', 'request', { wish: ip(2) }],
    ['requested with an identifier', 'request', { wish: ip(2), ...CLONE }],
    ['discovered', 'discover', {}],
  ] as const) {
    it('the identifier of a guest that is away leads nobody on another link to its lease', () => {
      const lab = new Lab();
      assert.equal(lab.join(1, { ...CLONE, link: 1 }), 2);
      assert.equal(lab.join(3, { ...CLONE, link: 2 }), 3);
      assert.equal(verdict(lab.send('request', 3, { ...CLONE, link: 2, wish: ip(2) })), 'nak');
      lab.send('release', 3, { ...CLONE, link: 2, ciaddr: ip(2) });
      assert.equal(lab.state(2), 'bound');
      assert.equal(lab.join(5, { ...CLONE, link: 1 }), 2, 'its own link has another card');
    });

    it(`the lease of a guest that is attached is not ${what} by another link`, () => {
      const lab = new Lab();
      lab.join(1);
      const before = lab.saved.length;
      assert.equal(lab.send(type, 1, { ...ask, link: 2 }), undefined);
      assert.equal(lab.send(type, 1, { ...ask, link: 2 }), undefined);
      assert.equal(lab.state(2), 'bound');
      assert.equal(lab.saved.length, before);
      assert.equal(lab.server.drops.get('dhcp-other-link'), 2);
      assert.equal(lab.warnings().length, 1);
      assert.match(lab.warnings()[0] ?? '', /one Ethernet address/);
      assert.equal(lab.join(1), 2, 'the holder goes on');
    });
  }

  it('a guest that comes by another link keeps its address once the first is gone', () => {
    const lab = new Lab();
    lab.join(1);
    lab.attached.delete(1);
    assert.equal(lab.join(1, { link: 2 }), 2);
    lab.attached.add(1);
    assert.equal(lab.join(1, { link: 2 }), 2);
  });

  it('and once its lease has ended, or was released', () => {
    const lab = new Lab();
    lab.join(1);
    lab.now += HOUR + 1;
    assert.equal(lab.join(1, { link: 2 }), 2);
    lab.send('release', 1, { ciaddr: ip(2), link: 2 });
    assert.equal(lab.join(1), 2);
  });
});

describe('DHCP server: addresses kept for guests', () => {
  const MAC = 0x0200_0000_0000;
  const keep = (lab: Lab, mac: number, wanted?: number): string | undefined =>
    lab.server.keep(MAC + mac, wanted, lab.now, WALL + lab.now);

  it('the guest gets it, whatever it asks for, and no other does', () => {
    const lab = new Lab();
    assert.equal(keep(lab, 5, ip(2)), undefined);
    assert.equal(lab.state(2), 'reserved');
    assert.equal(lab.join(6), 3);
    assert.equal(lab.join(7, { wish: ip(2) }), 4);
    assert.equal(lab.join(5, { wish: ip(9) }), 2);
    lab.now += 2 * HOUR;
    assert.equal(lab.join(8), 5);
    assert.equal(lab.join(5), 2);
  });

  it('without a wish it is the one that the guest had before, or the first that is free', () => {
    const lab = new Lab();
    assert.equal(lab.join(5), 2);
    lab.now += 2 * HOUR;
    assert.equal(keep(lab, 5), undefined);
    assert.equal(keep(lab, 5), undefined);
    assert.equal(keep(lab, 6), undefined);
    assert.equal(lab.join(6), 3);
    assert.equal(lab.join(5), 2);
  });

  it('another address takes the place of the one before, which is free then', () => {
    const lab = new Lab();
    assert.equal(keep(lab, 5, ip(2)), undefined);
    assert.equal(lab.join(5), 2);
    assert.equal(keep(lab, 5, ip(7)), undefined);
    assert.equal(lab.join(5), 7);
    assert.equal(lab.join(6, { wish: ip(2) }), 2);
    lab.server.stopKeeping(MAC + 5);
    lab.server.stopKeeping(MAC + 5);
    lab.now += 2 * HOUR;
    assert.equal(lab.join(8, { wish: ip(7) }), 7);
  });

  it('refuses what another has, what no guest can have, and what a static lease says otherwise', () => {
    const lab = new Lab();
    assert.equal(lab.join(6), 2);
    lab.users.set(ip(9), { mac: '02:00:00:00:00:77', heardAt: 0 });
    assert.equal(keep(lab, 7, ip(8)), undefined);
    for (const [wanted, why] of [
      [ip(2), 'taken'],
      [ip(8), 'taken'],
      [ip(9), 'taken'],
      [ip(99), 'taken'],
      [ip(1), 'not-in-pool'],
      [ip(254), 'not-in-pool'],
      [ip(255), 'not-in-pool'],
      [0x0a00_0001, 'not-in-pool'],
    ] as const) {
      assert.equal(keep(lab, 5, wanted), why, formatIpv4(wanted));
    }
    assert.equal(keep(lab, 0x63, ip(10)), 'has-static-lease');
    assert.equal(keep(lab, 0x63), undefined);
    lab.server.stopKeeping(MAC + 0x63);
    assert.equal(lab.join(0x63), 99);
  });

  it('half of the addresses, and 256 at most', () => {
    const small = new Lab({ prefix: 29, hostIp: undefined, staticLeases: [] });
    for (let i = 1; i <= 3; i++) assert.equal(keep(small, i), undefined);
    assert.equal(keep(small, 4), 'too-many');
    assert.equal(small.join(4), 5);
    assert.equal(small.join(5), 6);
    assert.equal(keep(small, 6), 'pool-exhausted');
    small.server.stopKeeping(MAC + 3);
    assert.equal(keep(small, 6), undefined);
    const large = new Lab({ prefix: 22 });
    for (let i = 1; i <= 256; i++) assert.equal(keep(large, 0x100 + i), undefined);
    assert.equal(keep(large, 0x900), 'too-many');
    assert.equal(keep(large, 0x101), undefined);
  });
});

describe('DHCP server: time and names', () => {
  for (const jump of [-10 * HOUR, 10 * HOUR]) {
    it(`a lease lives for its time whatever the wall clock does (${jump / HOUR} h)`, () => {
      const lab = new Lab();
      lab.join(1);
      lab.wall += jump;
      assert.equal(lab.state(2), 'bound');
      const [, lease] = lab.server.leases(lab.now, lab.wall);
      assert.equal(lease?.expiresAtMs, lab.wall + HOUR);
      lab.now += HOUR;
      assert.equal(lab.state(2), 'expired');
    });
  }

  it('a static lease keeps its configured name once its guest has it', () => {
    const lab = new Lab();
    const name = [...'other'].map((char) => char.charCodeAt(0));
    lab.join(0x63, { extra: [12, name.length, ...name] });
    const [lease] = lab.server.leases(lab.now, lab.wall);
    assert.deepEqual([lease?.state, lease?.hostname], ['bound', 'fixed']);
  });

  it('as many search domains as fit, and one warning until the list changes', () => {
    const search = Array.from({ length: 40 }, (_, i) => `d${i}.${'x'.repeat(20)}${i}.example`);
    const lab = new Lab({ search });
    for (let i = 0; i < 2; i++) {
      const offer = lab.send('discover', 1, { list: [119] });
      assert.ok(offer !== undefined && offer.byteLength <= 548);
      assert.ok((dhcpOption(offer, 119)?.length ?? 0) > 100);
    }
    assert.equal(lab.warnings().length, 1);
    assert.match(lab.warnings()[0] ?? '', /first \d+ of 40/);
    lab.server.setSearch(search.slice(1));
    lab.send('discover', 1, { list: [119] });
    assert.equal(lab.warnings().length, 2);
  });

  it('eight domains of 33 bytes all arrive', () => {
    const search = Array.from({ length: 8 }, (_, i) => `${'a'.repeat(20)}${i}.corp.example`);
    const lab = new Lab({ search });
    lab.send('discover', 1, { list: [119] });
    assert.deepEqual(lab.warnings(), []);
  });
});

describe('DHCP server', () => {
  it('gives the first guest .2, the next .3, and each its own again', () => {
    const lab = new Lab();
    assert.equal(lab.join(1), 2);
    assert.equal(lab.join(2), 3);
    assert.equal(lab.join(1), 2);
  });

  it('honours a requested address that is free, and only such', () => {
    const lab = new Lab();
    assert.equal(lab.join(1, { wish: ip(77) }), 77);
    assert.equal(lab.join(2, { wish: ip(77) }), 2);
    for (const taken of [0, 1, 99, 254, 255]) {
      assert.notEqual(lab.join(3, { wish: ip(taken) }), taken, `.${taken} is not to be given`);
    }
    assert.equal(lab.join(4, { wish: 0x0808_0808 }), 4);
  });

  it('never gives out the network, gateway, host, broadcast or static addresses', () => {
    const lab = new Lab();
    const given = new Set<number>();
    for (let mac = 256; mac < 600; mac++) given.add(lab.join(mac, { link: mac }));
    given.delete(0);
    assert.equal(given.size, 256 - 5);
    for (const reserved of [0, 1, 99, 254, 255]) assert.ok(!given.has(reserved), `.${reserved}`);
    assert.equal(lab.server.drops.get('dhcp-pool-exhausted'), 344 - 251);
  });

  it('says that IPv4 can be done without to those alone that ask (RFC 8925), while that holds', () => {
    const lab = new Lab();
    const waitS = (list: readonly number[]): string => {
      const offer = lab.send('discover', 1, { list });
      const data = offer === undefined ? undefined : dhcpOption(offer, 108);
      return Buffer.from(data ?? []).toString('hex');
    };
    assert.equal(waitS([1, 108]), '');
    lab.server.isIpv6Mostly = true;
    assert.equal(waitS([1, 108]), '00000708');
    assert.equal(waitS([1]), '');
  });

  it('gives addresses of its range alone, DNS not among them', () => {
    const range = { first: ip(10), last: ip(12) };
    const lab = new Lab({ range, dns: [ip(11)], staticLeases: [] });
    assert.deepEqual(
      [1, 2, 3].map((mac) => lab.join(mac, { wish: ip(50), link: mac })),
      [10, 12, 0],
    );
    assert.equal(lab.server.poolIsEmpty, true);
  });

  it('gives a static address to its guest only, with its host name', () => {
    const lab = new Lab();
    const offer = lab.send('discover', 0x63, { wish: ip(50), list: [12] });
    assert.equal(offer && dhcpYiaddr(offer), ip(99));
    assert.equal(offer && String.fromCharCode(...(dhcpOption(offer, 12) ?? [])), 'fixed');
    assert.equal(lab.state(99), 'offered');
    assert.equal(verdict(lab.send('request', 1, { wish: ip(99) })), 'nak');
    assert.equal(verdict(lab.send('request', 0x63, { wish: ip(50) })), 'nak');
  });

  it('sends mask, router, DNS and MTU always, the rest when asked', () => {
    const lab = new Lab();
    const codes = [1, 3, 6, 12, 15, 26, 28, 42, 51, 54, 58, 59, 119];
    const sent = (list?: readonly number[]): number[] => {
      const reply = lab.send('discover', 1, list === undefined ? {} : { list });
      return codes.filter((code) => reply !== undefined && dhcpOption(reply, code) !== undefined);
    };
    assert.deepEqual(sent(), [1, 3, 6, 26, 51, 54, 58, 59]);
    assert.deepEqual(
      sent([15, 28, 42, 119]),
      codes.filter((code) => code !== 12),
    );
  });

  it('encodes every option as its RFC says', () => {
    const reply = new Lab().send('discover', 1, { list: [15, 28, 42, 119] });
    assert.ok(reply);
    const data = (code: number): number[] => [...(dhcpOption(reply, code) ?? [])];
    assert.deepEqual(data(1), [255, 255, 255, 0]);
    assert.deepEqual(data(3), word(ip(1)));
    assert.deepEqual(data(6), word(ip(1)));
    assert.deepEqual(data(26), [4000 >> 8, 4000 & 255]);
    assert.deepEqual(data(28), word(ip(255)));
    assert.deepEqual(data(42), word(ip(1)));
    assert.deepEqual(data(51), word(3600));
    assert.deepEqual(data(58), word(1800));
    assert.deepEqual(data(59), word(3150));
    assert.equal(String.fromCharCode(...data(15)), 'corp.example');
    assert.equal(String.fromCharCode(...data(119)), '\x04corp\x07example\0\xc0\x05');
  });

  it('announces a changed search list', () => {
    const lab = new Lab();
    lab.server.setSearch(['z']);
    const reply = lab.send('discover', 1, { list: [119] });
    assert.deepEqual(reply && dhcpOption(reply, 119), Uint8Array.of(1, 122, 0));
  });

  const CASES: readonly (readonly [string, Ask, string])[] = [
    ['SELECTING: what was offered', { wish: ip(2), server: ip(1) }, 'ack'],
    ['SELECTING: another free address', { wish: ip(9), server: ip(1) }, 'ack'],
    ["SELECTING: another guest's", { wish: ip(3), server: ip(1) }, 'nak'],
    ['SELECTING: another server', { wish: ip(2), server: ip(7) }, 'silence'],
    ['SELECTING: no address', { server: ip(1) }, 'silence'],
    ['INIT-REBOOT: its own', { wish: ip(2) }, 'ack'],
    ['INIT-REBOOT: on another network', { wish: 0x0a00_0002 }, 'nak'],
    ["INIT-REBOOT: another guest's", { wish: ip(3) }, 'nak'],
    ['INIT-REBOOT: the gateway', { wish: ip(1) }, 'nak'],
    ['RENEWING or REBINDING: its own', { ciaddr: ip(2) }, 'ack'],
    ["RENEWING or REBINDING: another guest's", { ciaddr: ip(3) }, 'nak'],
    ['RENEWING or REBINDING: the host', { ciaddr: ip(254) }, 'nak'],
  ];
  for (const [rule, ask, expected] of CASES) {
    it(`REQUEST, ${rule}: ${expected} (RFC 2131 §4.3.2)`, () => {
      const lab = new Lab();
      lab.send('discover', 1);
      lab.join(2);
      assert.equal(verdict(lab.send('request', 1, ask)), expected);
    });
  }

  it('sends a NAK by broadcast without any address, an ACK of a renewal to the guest', () => {
    const lab = new Lab();
    lab.join(1);
    const nak = lab.send('request', 1, { ciaddr: ip(254) });
    assert.ok(nak);
    assert.deepEqual(
      [dhcpCiaddr(nak), dhcpYiaddr(nak), replyDestination(nak)],
      [0, 0, 'broadcast'],
    );
    const ack = lab.send('request', 1, { ciaddr: ip(2) });
    assert.ok(ack);
    assert.deepEqual(
      [dhcpCiaddr(ack), dhcpYiaddr(ack), replyDestination(ack)],
      [ip(2), ip(2), 'ciaddr'],
    );
  });

  it('lets an offer lapse after half a minute', () => {
    const lab = new Lab({ prefix: 29, hostIp: undefined });
    for (let mac = 1; mac <= 5; mac++) lab.send('discover', mac, { link: mac });
    assert.equal(verdict(lab.send('discover', 6, { link: 6 })), 'silence');
    lab.now += 30_000;
    assert.equal(lab.join(6, { link: 6 }), 2);
  });

  it('keeps a lease until its end, and remembers the guest beyond it', () => {
    const lab = new Lab({ prefix: 29 });
    lab.join(1);
    lab.now += HOUR - 1;
    assert.equal(lab.state(2), 'bound');
    lab.now += 1;
    assert.equal(lab.state(2), 'expired');
    assert.equal(lab.join(2), 3, 'a newcomer gets an unused address first');
    assert.equal(lab.join(1), 2);
  });

  it('gives the address that ended longest ago when no unused one is left', () => {
    const lab = new Lab({ prefix: 29 }); // .2 to .6
    for (let mac = 1; mac <= 5; mac++) {
      lab.join(mac, { link: mac });
      lab.now += 1000;
    }
    assert.equal(lab.join(6, { link: 6 }), 0);
    lab.now += HOUR;
    lab.join(1, { link: 1 }); // renews .2
    assert.equal(lab.join(6, { link: 6 }), 3);
    assert.equal(lab.join(2, { link: 2 }), 4, 'who lost its address gets another');
  });

  for (const [what, jumpMs] of [
    ['forward', 400 * 24 * HOUR],
    ['back', -400 * 24 * HOUR],
  ] as const) {
    it(`a clock on the wall that jumps ${what} costs no guest its address`, () => {
      const lab = new Lab();
      const address = lab.join(1);
      lab.wall += jumpMs;
      lab.now += 60_000;
      const renewal = lab.send('request', 1, { ciaddr: ip(address) });
      assert.equal(verdict(renewal), 'ack');
      assert.notEqual(lab.join(2), address);
      assert.equal(lab.state(address), 'bound');
      assert.equal(lab.join(1), address);
    });
  }

  it('honours a shorter lease time, but not below a minute', () => {
    const lab = new Lab();
    const seconds = (asked: number): number => {
      const reply = lab.send('discover', 1, { extra: [51, 4, ...word(asked)] });
      return reply === undefined
        ? 0
        : new DataView(dhcpOption(reply, 51)?.slice().buffer ?? new ArrayBuffer(4)).getUint32(0);
    };
    assert.deepEqual([600, 1, 0xffff_ffff].map(seconds), [600, 60, 3600]);
  });

  it('frees a released address, and gives it back to the same guest', () => {
    const lab = new Lab();
    lab.join(1);
    assert.equal(lab.send('release', 2, { ciaddr: ip(2) }), undefined);
    assert.equal(lab.state(2), 'bound', 'only its holder releases it');
    lab.send('release', 1, { ciaddr: ip(2) });
    assert.equal(lab.state(2), 'released');
    assert.equal(verdict(lab.send('request', 1, { wish: ip(2) })), 'ack');
  });

  it('keeps a declined address out of the pool for ten minutes', () => {
    const lab = new Lab();
    lab.join(1);
    lab.send('decline', 2, { wish: ip(2), server: ip(1) });
    assert.equal(lab.server.drops.get('dhcp-not-the-holder'), 1);
    lab.send('decline', 1, { wish: ip(2), server: ip(1) });
    assert.equal(lab.state(2), 'declined');
    assert.equal(lab.join(1), 3);
    assert.equal(lab.join(2, { wish: ip(2) }), 4);
    lab.now += 600_000;
    assert.equal(lab.join(5, { wish: ip(2) }), 2);
  });

  it('quarantines at most sixteen addresses, so that a guest cannot decline the pool away', () => {
    const lab = new Lab();
    for (let i = 0; i < 300; i++) {
      const last = lab.join(1);
      assert.notEqual(last, 0);
      lab.send('decline', 1, { wish: ip(last), server: ip(1) });
    }
    const states = lab.server.leases(lab.now, WALL).map(({ state }) => state);
    assert.equal(states.filter((state) => state === 'declined').length, 16);
  });

  it('answers INFORM with parameters, without address and times', () => {
    const reply = new Lab().send('inform', 1, { ciaddr: ip(50) });
    assert.ok(reply);
    assert.deepEqual(
      [verdict(reply), dhcpYiaddr(reply), replyDestination(reply)],
      ['ack', 0, 'ciaddr'],
    );
    assert.deepEqual(
      [51, 58, 59].map((code) => dhcpOption(reply, code)),
      [undefined, undefined, undefined],
    );
    assert.ok(dhcpOption(reply, 6));
  });

  it('distinguishes guests by client identifier where there is one', () => {
    const lab = new Lab();
    assert.equal(lab.join(1, { clientId: [255, 1] }), 2);
    assert.equal(lab.join(1, { clientId: [255, 2] }), 3);
    assert.equal(lab.join(9, { clientId: [255, 1] }), 2);
  });

  it('keeps the address of a guest whose boot stages identify themselves differently', () => {
    const lab = new Lab();
    assert.equal(lab.join(1), 2);
    assert.equal(lab.join(1, { clientId: [1, 2, 0, 0, 0, 0, 1] }), 2); // RFC 2132 §9.14: the MAC
    assert.equal(lab.join(1, { clientId: [255, 1, 2, 3] }), 2); // a DUID
    assert.equal(lab.join(1), 2);
  });

  it('remembers leases over a restart', () => {
    const lab = new Lab();
    lab.join(1, { extra: [12, 2, 118, 109] });
    lab.join(2);
    lab.restart();
    assert.equal(verdict(lab.send('request', 3, { wish: ip(3) })), 'nak');
    assert.equal(lab.join(2), 3);
    const lease = lab.server
      .leases(lab.now, WALL)
      .find(({ address }) => address === '192.168.127.2');
    assert.deepEqual(lease, {
      address: '192.168.127.2',
      mac: '02:00:00:00:00:01',
      hostname: 'vm',
      expiresAtMs: WALL + HOUR,
      static: false,
      state: 'bound',
    });
  });

  it('forgets stored leases that the configuration now forbids', () => {
    const lab = new Lab();
    lab.saved.push(
      ['192.168.127.1', '192.168.127.99', '10.0.0.1', 'nonsense'].map((address) => ({
        address,
        mac: '02:00:00:00:00:01',
        client: 'hw:020000000001',
        expiresAtMs: WALL + HOUR,
      })),
    );
    lab.restart();
    assert.deepEqual(
      lab.server.leases(0, WALL).map(({ state }) => state),
      ['reserved'],
    );
    assert.equal(lab.join(1), 2);
  });

  it('ignores relays, BOOTP and other messages, by reason', () => {
    const lab = new Lab();
    lab.send('discover', 1, { giaddr: ip(9) });
    lab.send('inform', 1);
    const out = makeSlab(MAX_DHCP_REPLY_LEN);
    lab.server.answer(new DataView(new ArrayBuffer(236)), out, 0, 0, WALL);
    assert.deepEqual(lab.server.drops.snapshot(), {
      'dhcp-no-address': 1,
      'dhcp-not-a-request': 1,
      'dhcp-relayed': 1,
    });
  });

  it('one link has three quarters of the pool at most: others have the rest', () => {
    const lab = new Lab();
    const given = new Set<number>();
    for (let mac = 256; mac < 600; mac++) given.add(lab.join(mac, { link: 1 }));
    given.delete(0);
    assert.equal(given.size, 188);
    assert.equal(lab.server.drops.get('dhcp-link-share'), 344 - 188);
    assert.deepEqual(lab.warnings().length, 1);
    assert.ok(lab.join(1, { link: 2 }) > 0, 'another link');
    assert.equal(lab.join(99, { link: 1 }), 99, 'a static lease is beside the share');
    assert.equal(verdict(lab.send('request', 700, { wish: ip(250), link: 1 })), 'nak');
    assert.equal(lab.join(256, { link: 1 }), 2, 'renewed');
  });

  it('a lease is free a while after its link has gone, and its guest has it again until then', () => {
    const lab = new Lab({ prefix: 29 }); // .2 to .6
    for (let mac = 1; mac <= 5; mac++) lab.join(mac, { link: mac });
    lab.server.onLinkDown(1, lab.now, WALL);
    lab.server.onLinkDown(2, lab.now, WALL);
    lab.now += CONFIG.awayMs - 1;
    assert.equal(lab.join(6, { link: 6 }), 0);
    lab.server.onHeard(ip(2), 0x0200_0000_0001, 7, lab.now, WALL);
    lab.now += 1;
    assert.deepEqual([lab.state(2), lab.state(3)], ['bound', 'expired']);
    assert.equal(lab.join(6, { link: 6 }), 3);
    lab.server.onHeard(ip(3), 0x0200_0000_0002, 8, lab.now, WALL);
    assert.equal(lab.state(3), 'bound', 'of the other guest now');
    assert.equal(lab.server.holderOf(ip(3), lab.now, WALL), 0x0200_0000_0006);
  });

  it('names the holder of an address: static, leased, none', () => {
    const lab = new Lab();
    lab.join(1);
    const holder = (last: number): number => lab.server.holderOf(ip(last), lab.now, WALL + lab.now);
    assert.deepEqual([holder(2), holder(99), holder(3)], [0x0200_0000_0001, 0x0200_0000_0063, 0]);
    lab.send('release', 1, { ciaddr: ip(2) });
    assert.equal(holder(2), 0);
    lab.join(1);
    lab.now += HOUR;
    assert.equal(holder(2), 0);
  });

  it('stays bounded in a /8 under a flood of guests', () => {
    const lab = new Lab({
      prefix: 8,
      subnet: 0x0a00_0000,
      gateway: 0x0a00_0001,
      hostIp: undefined,
    });
    for (let mac = 0; mac < 1100; mac++) lab.send('discover', mac, { link: mac });
    assert.equal(lab.server.leases(0, WALL).length, 1024);
    assert.equal(lab.server.drops.get('dhcp-pool-exhausted'), 1100 - 1024);
  });

  it('never throws on hostile bytes, and writes no more than announced', () => {
    const lab = new Lab();
    const out = makeSlab(MAX_DHCP_REPLY_LEN);
    const type = fc.constantFrom<Type>('discover', 'request', 'decline', 'release', 'inform');
    const tail = fc.uint8Array({ maxLength: 60 });
    fc.assert(
      fc.property(type, fc.nat(9), tail, fc.integer(), (kind, mac, extra, ciaddr) => {
        const request = message(kind, mac, { extra: [...extra], ciaddr });
        const len = lab.server.answer(request, out, 0, lab.now++, WALL);
        assert.ok(len === 0 || (len >= 300 && len <= MAX_DHCP_REPLY_LEN));
      }),
    );
  });
});
