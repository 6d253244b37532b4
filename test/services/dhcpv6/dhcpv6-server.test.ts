import assert from 'node:assert/strict';
import fc from 'fast-check';
import { makeSlab } from '../../../src/base/slab.ts';
import { parseAddress } from '../../../src/services/address-text.ts';
import type { StoredLease } from '../../../src/services/dhcp/lease.ts';
import type { AddressUser } from '../../../src/services/dhcp/lease-table.ts';
import {
  addressIn,
  type Dhcpv6Config,
  interfaceIdOf,
} from '../../../src/services/dhcpv6/dhcpv6-config.ts';
import { Dhcpv6Server, MAX_DHCPV6_REPLY_LEN } from '../../../src/services/dhcpv6/dhcpv6-server.ts';
import {
  ADVERTISE,
  CONFIRM,
  DECLINE6,
  INFORMATION_REQUEST,
  NO_ADDRS_AVAIL,
  NO_BINDING,
  NOT_ON_LINK,
  OPT6_DNS,
  OPT6_FQDN,
  OPT6_INF_MAX_RT,
  OPT6_NTP,
  OPT6_RAPID_COMMIT,
  OPT6_REFRESH_TIME,
  OPT6_SEARCH,
  OPT6_SERVER_ID,
  OPT6_SNTP,
  OPT6_SOL_MAX_RT,
  REBIND,
  RELAY_FORWARD,
  RELEASE6,
  RENEW,
  REPLY,
  REQUEST6,
  SOLICIT,
  SUCCESS,
} from '../../../src/wire/dhcpv6.ts';
import {
  addressBytes,
  type Dhcpv6Ask,
  DUID,
  dhcpv6Message,
  messageOf,
  option,
  type ReadReply,
  readDhcpv6Reply,
} from '../../support/dhcpv6-message.ts';
import { RecordingLog } from '../../support/recording-log.ts';

const WALL = 1_700_000_000_000;
const HOUR = 3_600_000;
const SERVER = [0, 3, 0, 1, 2, 0, 0, 0, 0, 1];
const OTHER_DUID = [0, 1, 0, 1, 9, 9, 9, 9];
const GATEWAY = 'fd00:1:2:3::1';
const FIXED = 'fd00:1:2:3:a:b:c:d';
const FIXED_MAC = 0x63;

const required = (text: string) => {
  const address = parseAddress(text);
  assert.ok(address !== undefined, text);
  return address;
};

const CONFIG: Dhcpv6Config = {
  prefix: required('fd00:1:2:3::'),
  gateway: required(GATEWAY),
  mac: 0x0200_0000_0001,
  dns: [required(GATEWAY)],
  ntp: [required(GATEWAY)],
  search: ['corp.example', 'example'],
  leaseSeconds: 3600,
  awayMs: 60_000,
  staticLeases: [
    { mac: '02:00:00:00:00:63', address: interfaceIdOf(required(FIXED)), hostname: 'fixed' },
  ],
  assigns: true,
};

type Ask = Partial<Dhcpv6Ask> & { readonly link?: number };

const macText = (mac: number): string =>
  `02:00:00:00:${(mac >> 8).toString(16).padStart(2, '0')}:${(mac & 255).toString(16).padStart(2, '0')}`;

class Lab {
  now = 0;
  readonly saved: (readonly StoredLease[])[] = [];
  readonly attached: Set<number> = new Set([1, 2, 3, 4]);
  /** Guests that were heard, by address. */
  readonly users: Map<string, AddressUser> = new Map();
  readonly log: RecordingLog = new RecordingLog();
  server: Dhcpv6Server;
  private readonly config: Dhcpv6Config;

  constructor(config: Partial<Dhcpv6Config> = {}) {
    this.config = { ...CONFIG, ...config };
    this.server = this.start();
  }

  /** As the next process would: only what was stored remains. */
  restart(): void {
    this.server = this.start();
  }

  send(type: number, mac: number, ask: Ask = {}): ReadReply | undefined {
    const needsServer = [REQUEST6, RENEW, RELEASE6, DECLINE6].includes(type);
    const message = { ...(needsServer ? { serverId: SERVER } : {}), ...ask, type };
    return this.deliver(dhcpv6Message(message), mac, ask.link);
  }

  deliver(request: DataView, mac: number, link = 1): ReadReply | undefined {
    const out = makeSlab(MAX_DHCPV6_REPLY_LEN + 7);
    const source = { mac: 0x0200_0000_0000 + mac, link };
    const len = this.server.answer(request, out, 7, this.now, WALL + this.now, source);
    assert.ok(len <= MAX_DHCPV6_REPLY_LEN);
    return len === 0 ? undefined : readDhcpv6Reply(new DataView(out.bytes.buffer, 7, len));
  }

  /** Solicit and Request. @returns the address bound */
  join(mac: number, ask: Ask = {}): string {
    const ia = { id: 7, ...ask.associations?.[0] };
    const offer = this.send(SOLICIT, mac, { ...ask, associations: [ia] });
    assert.equal(offer?.type, ADVERTISE);
    const offered = onlyAddress(offer);
    const reply = this.send(REQUEST6, mac, {
      ...ask,
      associations: [{ ...ia, addresses: [offered] }],
    });
    assert.equal(onlyAddress(reply), offered);
    return offered;
  }

  state(address: string): string | undefined {
    return this.lease(address)?.state;
  }

  lease(address: string) {
    const leases = this.server.leases(this.now, WALL + this.now);
    return leases.find((lease) => lease.address === address);
  }

  warnings(): string[] {
    return this.log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
  }

  private start(): Dhcpv6Server {
    const store = {
      load: () => this.saved.at(-1) ?? [],
      save: (leases: readonly StoredLease[]) => this.saved.push(leases),
    };
    return new Dhcpv6Server(this.config, parseAddress, store, {
      log: this.log,
      isAttached: (link) => this.attached.has(link),
      userOf: (key) => this.users.get(addressIn(this.config.prefix, key).toString()),
    });
  }
}

const only = (reply: ReadReply | undefined) => {
  const [ia] = reply?.associations ?? [];
  assert.ok(ia !== undefined, 'an association');
  return ia;
};

function onlyAddress(reply: ReadReply | undefined): string {
  const [address, ...more] = Object.keys(only(reply).addresses);
  assert.deepEqual(more, []);
  return address ?? 'none';
}

const at = (...addresses: string[]) => ({ associations: [{ id: 7, addresses }] });
const inAssociation = (id: number, ...addresses: string[]) => ({
  associations: [{ id, addresses }],
});
const NONE = { associations: [{ id: 7 }] };

describe('DHCPv6 server: an address for a guest', () => {
  it('Solicit, Advertise, Request, Reply; one address with its times', () => {
    const lab = new Lab();
    const offer = lab.send(SOLICIT, 1, NONE);
    assert.equal(offer?.type, ADVERTISE);
    assert.deepEqual(offer.options.get(7), [255], 'the guest waits for no other server');
    assert.deepEqual(offer.options.get(OPT6_SERVER_ID), SERVER);
    assert.deepEqual(offer.options.get(1), DUID);
    const address = onlyAddress(offer);
    assert.match(address, /^fd00:1:2:3::1:[0-9a-f]{1,4}$/);
    assert.equal(lab.state(address), 'offered');
    const reply = lab.send(REQUEST6, 1, at(address));
    assert.equal(reply?.type, REPLY);
    assert.deepEqual(only(reply), {
      ...{ id: 7, t1: 1800, t2: 2880, addresses: { [address]: 3600 }, status: undefined },
    });
    assert.equal(lab.state(address), 'bound');
    assert.deepEqual(lab.server.counts.snapshot(), { advertises: 1, binds: 1 });
  });

  it('at once where the guest wants that (rapid commit, RFC 9915 §18.3.1)', () => {
    const lab = new Lab();
    const reply = lab.send(SOLICIT, 1, { ...NONE, rapid: true });
    assert.equal(reply?.type, REPLY);
    assert.deepEqual(reply.options.get(OPT6_RAPID_COMMIT), []);
    assert.equal(lab.state(onlyAddress(reply)), 'bound');
  });

  it('is the same after a restart, with a lease file or without', () => {
    const lab = new Lab();
    const address = lab.join(1);
    lab.restart();
    assert.equal(lab.state(address), 'bound');
    assert.equal(lab.join(1), address);
    assert.equal(new Lab().join(1), address);
  });

  it('differs from guest to guest', () => {
    const lab = new Lab();
    const all = new Set(Array.from({ length: 200 }, (_, mac) => lab.join(mac, { link: mac })));
    assert.equal(all.size, 200);
  });

  it('is the one that it wishes, if that is free', () => {
    const lab = new Lab();
    const wish = 'fd00:1:2:3::1:beef';
    assert.equal(onlyAddress(lab.send(SOLICIT, 1, at(wish))), wish);
    assert.equal(onlyAddress(lab.send(REQUEST6, 1, at(wish))), wish);
    assert.notEqual(onlyAddress(lab.send(SOLICIT, 2, at(wish))), wish);
    assert.notEqual(onlyAddress(lab.send(REQUEST6, 2, at(wish))), wish);
    for (const wrong of [GATEWAY, 'fd00:1:2:3::254', FIXED, 'fd00:1:2:3::2:1']) {
      assert.notEqual(onlyAddress(lab.send(SOLICIT, 3, at(wrong))), wrong);
    }
  });

  it('of another link is refused (RFC 9915 §18.3.2), and as a wish ignored', () => {
    const lab = new Lab();
    const reply = lab.send(REQUEST6, 1, at('2001:db8::5'));
    assert.deepEqual([only(reply).status, only(reply).addresses], [NOT_ON_LINK, {}]);
    assert.match(onlyAddress(lab.send(SOLICIT, 1, at('2001:db8::5'))), /^fd00:1:2:3::1:/);
  });

  it('static, wherever it is in the prefix, and no other', () => {
    const lab = new Lab();
    assert.equal(lab.state(FIXED), 'reserved');
    assert.equal(lab.join(FIXED_MAC), FIXED);
    assert.deepEqual([lab.lease(FIXED)?.static, lab.lease(FIXED)?.hostname], [true, 'fixed']);
    assert.equal(lab.server.holderOf(interfaceIdOf(required(FIXED)), 0, WALL), 0x0200_0000_0063);
    const reply = lab.send(RENEW, FIXED_MAC, at('fd00:1:2:3::1:5'));
    assert.deepEqual(only(reply).addresses, { [FIXED]: 3600, 'fd00:1:2:3::1:5': 0 });
    lab.restart();
    assert.equal(lab.state(FIXED), 'bound');
  });

  it('is one: a second association has none', () => {
    const lab = new Lab();
    const associations = [{ id: 7 }, { id: 8 }];
    const reply = lab.send(SOLICIT, 1, { associations });
    assert.equal(Object.keys(reply?.associations[0]?.addresses ?? {}).length, 1);
    assert.deepEqual(reply?.associations[1], {
      ...{ id: 8, t1: 0, t2: 0, addresses: {}, status: NO_ADDRS_AVAIL },
    });
  });

  it('prefixes are not delegated', () => {
    const extra = option(25, new Array<number>(12).fill(0));
    const reply = new Lab().send(SOLICIT, 1, { ...NONE, extra });
    assert.match(onlyAddress(reply), /^fd00:1:2:3::1:/);
    assert.equal(reply?.options.has(25), false);
  });

  it('a message without an association is answered with parameters', () => {
    const reply = new Lab().send(SOLICIT, 1);
    assert.deepEqual([reply?.type, reply?.associations], [ADVERTISE, []]);
    assert.ok(reply?.options.has(OPT6_DNS));
  });

  it('another server was chosen: the offer is withdrawn', () => {
    const lab = new Lab();
    const address = onlyAddress(lab.send(SOLICIT, 1, NONE));
    assert.equal(lab.send(REQUEST6, 1, { ...at(address), serverId: OTHER_DUID }), undefined);
    assert.equal(lab.state(address), undefined);
    assert.equal(lab.server.drops.get('dhcpv6-other-server'), 1);
    const long = { ...at(address), serverId: [...SERVER, 0] };
    assert.equal(lab.send(REQUEST6, 1, long), undefined);
  });

  it('none where addresses come by autoconfiguration alone, but parameters', () => {
    const lab = new Lab({ assigns: false });
    const reply = lab.send(SOLICIT, 1, NONE);
    assert.deepEqual([only(reply).status, only(reply).addresses], [NO_ADDRS_AVAIL, {}]);
    assert.ok(reply?.options.has(OPT6_DNS));
    const old = only(lab.send(RENEW, 1, at('fd00:1:2:3::1:5')));
    assert.deepEqual(old.addresses, { 'fd00:1:2:3::1:5': 0 }, 'it ends');
    assert.deepEqual(lab.server.counts.get('not-assigned'), 2);
  });
});

describe('DHCPv6 server: a guest that has an address', () => {
  for (const [type, name] of [
    [RENEW, 'Renew'],
    [REBIND, 'Rebind'],
  ] as const) {
    it(`${name} extends it`, () => {
      const lab = new Lab();
      const address = lab.join(1);
      lab.now = HOUR - 1;
      assert.deepEqual(only(lab.send(type, 1, at(address))).addresses, { [address]: 3600 });
      lab.now = HOUR + 1;
      assert.equal(lab.state(address), 'bound');
    });

    it(`${name} of an address that nobody has binds it: this server is authoritative`, () => {
      const lab = new Lab();
      const address = 'fd00:1:2:3::1:77';
      assert.deepEqual(only(lab.send(type, 1, at(address))).addresses, { [address]: 3600 });
      assert.equal(lab.state(address), 'bound');
    });

    it(`${name} of what another has, or of another network, ends that and gives its own`, () => {
      const lab = new Lab();
      const address = lab.join(1);
      const other = lab.join(2);
      const { addresses, status } = only(lab.send(type, 1, at(other, '2001:db8::5')));
      assert.deepEqual(addresses, { [address]: 3600, [other]: 0, '2001:db8::5': 0 });
      assert.equal(status, undefined);
      assert.deepEqual([lab.state(address), lab.state(other)], ['bound', 'bound']);
    });

    it(`${name} without an address gives one`, () => {
      const lab = new Lab();
      assert.match(onlyAddress(lab.send(type, 1, NONE)), /^fd00:1:2:3::1:/);
    });
  }

  it('Confirm: on the link, or not any more (RFC 9915 §18.3.3)', () => {
    const lab = new Lab();
    const address = lab.join(1);
    const other = lab.join(2);
    const verdict = (...addresses: string[]) => lab.send(CONFIRM, 1, at(...addresses))?.status;
    assert.equal(verdict(address), SUCCESS);
    assert.equal(verdict(address, '2001:db8::5'), NOT_ON_LINK);
    assert.equal(verdict(other), NOT_ON_LINK, 'another has it');
    assert.equal(verdict('fd00:1:2:3::5'), NOT_ON_LINK, 'not one that is given out');
    assert.deepEqual(lab.send(CONFIRM, 1, at(address))?.associations, []);
  });

  it('Confirm without an address gets no answer (RFC 9915 §18.3.3)', () => {
    const lab = new Lab();
    assert.equal(lab.send(CONFIRM, 1, NONE), undefined);
    assert.equal(lab.send(CONFIRM, 1), undefined);
    assert.equal(lab.server.drops.get('dhcpv6-no-address'), 2);
  });

  it('Confirm after a restart without a lease file: the address is its guest’s', () => {
    const lab = new Lab();
    const address = new Lab().join(1);
    assert.equal(lab.send(CONFIRM, 1, at(address))?.status, SUCCESS);
    assert.equal(lab.state(address), 'bound');
    lab.now = HOUR / 2;
    lab.send(CONFIRM, 1, at(address));
    lab.now = HOUR + 1;
    assert.equal(lab.state(address), 'expired', 'a Confirm extends nothing');
  });

  it('Release frees it; what it has not has no binding (RFC 9915 §18.3.7)', () => {
    const lab = new Lab();
    const address = lab.join(1);
    const other = lab.join(2);
    const wrong = lab.send(RELEASE6, 1, at(other, '2001:db8::5'));
    assert.deepEqual([wrong?.status, only(wrong).status], [SUCCESS, NO_BINDING]);
    assert.equal(lab.state(other), 'bound');
    const right = lab.send(RELEASE6, 1, at(address));
    assert.deepEqual([right?.status, right?.associations], [SUCCESS, []]);
    assert.equal(lab.state(address), 'released');
    assert.equal(lab.join(1), address, 'and gets it again');
  });

  it('Decline keeps it out of use for a while (RFC 9915 §18.3.8)', () => {
    const lab = new Lab();
    const address = lab.join(1);
    const declined = lab.send(DECLINE6, 1, at(address));
    assert.deepEqual([declined?.status, declined?.associations], [SUCCESS, []]);
    assert.equal(lab.state(address), 'declined');
    const next = lab.join(1);
    assert.notEqual(next, address);
    assert.deepEqual(lab.send(DECLINE6, 1, at(address))?.associations, [], 'sent again');
    assert.equal(only(lab.send(DECLINE6, 2, at(next))).status, NO_BINDING);
    assert.equal(lab.state(next), 'bound');
  });

  it('a static address may be declined, and stays', () => {
    const lab = new Lab();
    lab.join(FIXED_MAC);
    assert.equal(only(lab.send(DECLINE6, FIXED_MAC, at(FIXED))).status, NO_BINDING);
    assert.equal(lab.state(FIXED), 'bound');
  });
});

describe('DHCPv6 server: who a guest is', () => {
  it('clones with one DUID have two addresses, on one link and on two', () => {
    const lab = new Lab();
    const first = lab.join(1);
    const second = lab.join(2);
    const third = lab.join(3, { link: 2 });
    assert.equal(new Set([first, second, third]).size, 3);
    for (const [mac, link, own] of [
      [1, 1, first],
      [2, 1, second],
      [3, 2, third],
    ] as const) {
      assert.deepEqual(only(lab.send(RENEW, mac, { ...at(own), link })).addresses, { [own]: 3600 });
    }
  });

  it('a DUID and an association that change on one Ethernet address keep the address', () => {
    const lab = new Lab();
    const address = lab.join(1);
    const system = { clientId: OTHER_DUID, ...inAssociation(8) };
    assert.equal(lab.join(1, system), address);
    assert.equal(lab.join(1), address, 'and back');
    lab.restart();
    assert.equal(lab.join(1, system), address);
    lab.now = 2 * HOUR;
    assert.equal(lab.join(1), address, 'ended, too');
    assert.equal(lab.server.leases(lab.now, WALL).filter((l) => l.state === 'bound').length, 1);
  });

  it('clients behind one Ethernet address, of which one declines what the other has, have two', () => {
    const lab = new Lab();
    const first = lab.join(1);
    const second = { clientId: OTHER_DUID };
    const taken = { ...second, ...at(lab.join(1, second)) };
    assert.deepEqual(lab.send(DECLINE6, 1, taken)?.associations, []);
    assert.equal(lab.state(first), 'bound', 'it went back');
    lab.send(DECLINE6, 1, taken); // again
    const other = lab.join(1, second);
    assert.notEqual(other, first);
    for (let i = 0; i < 3; i++) {
      lab.now += HOUR / 2;
      assert.deepEqual(only(lab.send(RENEW, 1, at(first))).addresses, { [first]: 3600 });
      const renewed = lab.send(RENEW, 1, { ...second, ...at(other) });
      assert.deepEqual(only(renewed).addresses, { [other]: 3600 });
    }
  });

  it('what the former client of an Ethernet address left is declined for all when that has ended', () => {
    const lab = new Lab();
    const address = lab.join(1);
    const second = { clientId: OTHER_DUID };
    lab.now = HOUR / 2;
    lab.join(1, second);
    lab.now = HOUR + 1;
    lab.send(DECLINE6, 1, { ...second, ...at(address) });
    assert.equal(lab.state(address), 'declined');
  });

  it('one Ethernet address on two links: the one with the lease keeps it, the other gets no answer', () => {
    const lab = new Lab();
    const address = lab.join(1);
    assert.equal(lab.send(SOLICIT, 1, { ...NONE, link: 2 }), undefined);
    assert.equal(lab.server.drops.get('dhcpv6-other-link'), 1);
    assert.equal(lab.warnings().length, 1);
    lab.attached.delete(1);
    lab.server.onLinkDown(1, lab.now, WALL);
    assert.equal(lab.join(1, { link: 2 }), address, 'the guest has come back by another link');
  });

  it('a lease waits for its guest a while after the link has gone, and goes on when it comes back', () => {
    const lab = new Lab();
    const address = lab.join(1);
    const key = interfaceIdOf(required(address));
    lab.server.onLinkDown(1, 0, WALL);
    lab.now = CONFIG.awayMs - 1;
    assert.equal(lab.state(address), 'bound');
    lab.now++;
    assert.equal(lab.state(address), 'expired');
    lab.server.onHeard(key, 0x0200_0000_0001, 2, lab.now, WALL);
    assert.equal(lab.state(address), 'bound');
  });

  it('an address that another uses without a lease is not given out', () => {
    const lab = new Lab();
    const address = new Lab().join(1);
    lab.users.set(address, { mac: macText(9), heardAt: 0 });
    const other = lab.join(1);
    assert.notEqual(other, address);
    assert.equal(lab.send(CONFIRM, 1, at(address))?.status, NOT_ON_LINK);
    lab.users.set(other, { mac: macText(1), heardAt: 0 });
    assert.equal(lab.join(1), other, 'its own use is no other');
  });
});

describe('DHCPv6 server: parameters', () => {
  const parametersOf = (requests: readonly number[], more: Ask = {}) =>
    new Lab().send(SOLICIT, 1, { ...NONE, requests, ...more })?.options ?? new Map();

  it('DNS servers asked or not, all else asked alone', () => {
    const gateway = addressBytes(GATEWAY);
    assert.deepEqual(parametersOf([]).get(OPT6_DNS), gateway);
    const all = [OPT6_SEARCH, OPT6_NTP, OPT6_SNTP, OPT6_SOL_MAX_RT, OPT6_INF_MAX_RT];
    for (const code of all) assert.equal(parametersOf([]).has(code), false);
    const given = parametersOf(all);
    const search = [...Buffer.from('\x04corp\x07example\0\x07example\0', 'latin1')];
    assert.deepEqual(given.get(OPT6_SEARCH), search);
    assert.deepEqual(given.get(OPT6_NTP), [0, 1, 0, 16, ...gateway], 'RFC 5908 §4.1');
    assert.deepEqual(given.get(OPT6_SNTP), gateway);
    assert.deepEqual(given.get(OPT6_SOL_MAX_RT), [0, 0, 0, 60]);
    assert.deepEqual(given.get(OPT6_INF_MAX_RT), [0, 0, 0, 60]);
  });

  it('without a lease: an information request, with when to ask again (RFC 9915 §21.23)', () => {
    const lab = new Lab();
    const ask = { clientId: null, requests: [OPT6_REFRESH_TIME, OPT6_SEARCH] };
    const reply = lab.send(INFORMATION_REQUEST, 1, ask);
    assert.equal(reply?.type, REPLY);
    assert.deepEqual(reply.codes, [OPT6_SERVER_ID, OPT6_DNS, OPT6_REFRESH_TIME, OPT6_SEARCH]);
    assert.deepEqual(reply.options.get(OPT6_REFRESH_TIME), [0, 0, 0x0e, 0x10]);
    assert.ok(lab.send(INFORMATION_REQUEST, 1)?.options.has(1), 'the client identifier, if any');
    const other = { serverId: OTHER_DUID };
    assert.equal(lab.send(INFORMATION_REQUEST, 1, other), undefined);
    assert.equal(parametersOf([OPT6_REFRESH_TIME]).has(OPT6_REFRESH_TIME), false);
    assert.equal(lab.server.counts.get('informs'), 2);
  });

  it('the search list follows the host, and is cut to what fits, with one warning', () => {
    const lab = new Lab();
    const requests = [OPT6_SEARCH];
    lab.server.setSearch(['new.example']);
    const text = (reply: ReadReply | undefined) =>
      Buffer.from(reply?.options.get(OPT6_SEARCH) ?? []).toString('latin1');
    assert.equal(text(lab.send(SOLICIT, 1, { requests })), '\x03new\x07example\0');
    lab.server.setSearch(Array.from({ length: 100 }, (_, i) => `domain-${i}.example`));
    for (let i = 0; i < 2; i++) {
      const kept = text(lab.send(SOLICIT, 1, { ...NONE, requests })).split('\0').length - 1;
      assert.ok(kept > 30 && kept < 100, `${kept}`);
    }
    assert.equal(lab.warnings().length, 1);
    assert.match(lab.warnings()[0] ?? '', /too long for a message of DHCPv6/);
  });

  const name = (flags: number, text: string) => [flags, ...Buffer.from(text, 'latin1')];

  for (const [what, sent, answer, hostname] of [
    ['the name of a guest is its lease’s', name(1, '\x02vm'), name(1, '\x02vm'), 'vm'],
    ['fully qualified', name(0, '\x02vm\x03lan\0'), name(3, '\x02vm\x03lan\0'), 'vm.lan'],
    ['nobody updates DNS where the guest wants that', name(4, '\x02vm'), name(4, '\x02vm'), 'vm'],
    ['no name that may not be shown', name(1, '\x03v<m'), undefined, undefined],
    ['no name at all', [0], undefined, undefined],
    ['an empty option', [], undefined, undefined],
  ] as const) {
    it(`${what} (RFC 4704)`, () => {
      const lab = new Lab();
      const ask = { ...NONE, requests: [OPT6_FQDN], fqdn: sent };
      const reply = lab.send(SOLICIT, 1, { ...ask, rapid: true });
      assert.deepEqual(reply?.options.get(OPT6_FQDN), answer);
      assert.equal(lab.lease(onlyAddress(reply))?.hostname, hostname);
    });
  }

  it('the configured name comes before what the guest calls itself', () => {
    const lab = new Lab();
    const requests = [OPT6_FQDN];
    const ask = { ...NONE, requests, fqdn: name(1, '\x02vm'), rapid: true };
    const reply = lab.send(SOLICIT, FIXED_MAC, ask);
    assert.deepEqual(reply?.options.get(OPT6_FQDN), name(1, '\x05fixed'));
    assert.equal(lab.lease(FIXED)?.hostname, 'fixed');
    const silent = lab.send(SOLICIT, FIXED_MAC, { ...NONE, requests });
    assert.equal(silent?.options.has(OPT6_FQDN), false, 'it did not send the option');
  });

  it('a name is kept through a renewal that does not repeat it', () => {
    const lab = new Lab();
    const fqdn = name(1, '\x02vm');
    const address = onlyAddress(lab.send(SOLICIT, 1, { ...NONE, fqdn, rapid: true }));
    lab.send(RENEW, 1, at(address));
    assert.equal(lab.lease(address)?.hostname, 'vm');
  });
});

/** As udhcpc6 of BusyBox 1.39 sends them: without a name, an address or the reason for one. */
const UDHCPC6 = {
  solicit:
    '01d9884f0008000200000003000ce0ff81d7000000000000000000060004001700180027000200000001000a00030001b2fee0ff81d7',
  request:
    '03d9884f0008000200000002000a000300010200000000010003000ce0ff81d7000000000000000000060004001700180027000200000001000a00030001b2fee0ff81d7',
} as const;

describe('DHCPv6 server: udhcpc6', () => {
  it('has an answer that it takes: an association of 40 bytes or more, the address first', () => {
    const lab = new Lab();
    for (const text of [UDHCPC6.solicit, UDHCPC6.request]) {
      const request = new DataView(Uint8Array.from(Buffer.from(text, 'hex')).buffer);
      const reply = lab.deliver(request, 1);
      const association = reply?.options.get(3) ?? [];
      assert.equal(association.length, 40);
      assert.deepEqual(association.slice(12, 16), [0, 5, 0, 24]);
      assert.equal(only(reply).id, 0xe0ff_81d7);
    }
    assert.equal(lab.server.counts.get('binds'), 1);
  });
});

describe('DHCPv6 server: limits', () => {
  it('a link has its share of leases; others get some after it', () => {
    const lab = new Lab();
    const joined = (mac: number, link: number): boolean => {
      const reply = lab.send(SOLICIT, mac, { ...NONE, rapid: true, link });
      if (only(reply).status === undefined) return true;
      assert.equal(only(reply).status, NO_ADDRS_AVAIL);
      return false;
    };
    let greedy = 0;
    while (joined(1000 + greedy, 1)) greedy++;
    assert.equal(greedy, 768, 'three quarters of 1024');
    assert.equal(lab.server.counts.get('link-share'), 1);
    assert.match(lab.warnings()[0] ?? '', /its link holds as many as one link may/);
    assert.ok(joined(1, 2));
    assert.ok(joined(1000, 1), 'what it has it keeps');
    assert.ok(joined(FIXED_MAC, 1), 'and static leases are apart');
    const unknown = lab.send(CONFIRM, 9, { ...at('fd00:1:2:3::1:9'), link: 1 });
    assert.equal(unknown?.status, SUCCESS, 'confirmed, but not leased');
    assert.equal(lab.state('fd00:1:2:3::1:9'), undefined);
  });

  it('1024 leases in all: then none is left, with one warning, until one ends', () => {
    const lab = new Lab();
    let link = 0;
    const join = (mac: number) => only(lab.send(SOLICIT, mac, { ...NONE, rapid: true, link }));
    for (let mac = 0; mac < 1024; mac++) {
      link = mac;
      assert.equal(join(0x1000 + mac).status, undefined, `${mac}`);
    }
    link = 2000;
    for (let i = 0; i < 2; i++) assert.equal(join(1).status, NO_ADDRS_AVAIL);
    assert.equal(lab.server.poolIsEmpty, true);
    assert.match(lab.warnings().join(), /^a guest gets no IPv6 address by DHCPv6: all are leased/);
    lab.now = HOUR;
    assert.equal(join(1).status, undefined);
    assert.equal(lab.server.poolIsEmpty, false);
    assert.equal(lab.server.leases(lab.now, WALL).length, 1025, 'and the static one');
  });

  it('16 addresses are kept out of use by Decline; the oldest of more is used again', () => {
    const lab = new Lab();
    const declined: string[] = [];
    for (let i = 0; i < 17; i++) {
      const address = lab.join(1);
      declined.push(address);
      lab.send(DECLINE6, 1, at(address));
    }
    const states = declined.map((address) => lab.state(address));
    assert.deepEqual(states, [undefined, ...new Array(16).fill('declined')]);
  });

  it('relays are not served, nor what is not well-formed', () => {
    const lab = new Lab();
    assert.equal(lab.send(RELAY_FORWARD, 1), undefined);
    assert.equal(lab.deliver(messageOf(SOLICIT, [0, 1, 0, 99]), 1), undefined);
    const drops = { 'dhcpv6-bad-options': 1, 'dhcpv6-relayed': 1 };
    assert.deepEqual(lab.server.drops.snapshot(), drops);
  });

  it('a message with as many associations as may be is answered within the limit of a reply', () => {
    const lab = new Lab();
    const associations = Array.from({ length: 60 }, (_, id) => ({ id }));
    const clientId = new Array<number>(130).fill(1);
    const reply = lab.send(SOLICIT, 1, { associations, clientId, requests: [OPT6_SEARCH] });
    assert.ok((reply?.associations.length ?? 0) > 40);
  });

  it('stored leases of other networks are left out', () => {
    const lab = new Lab();
    const stored = (address: string, mac: string): StoredLease => ({
      ...{ address, mac, client: 'duid:0004/00000007', expiresAtMs: WALL + HOUR },
    });
    lab.saved.push([
      stored('2001:db8::1:5', macText(1)),
      stored('no address', macText(2)),
      stored('fd00:1:2:3::1:5', macText(3)),
      stored(FIXED, macText(4)),
    ]);
    const bound = lab.server.leases(0, WALL).filter(({ state }) => state === 'bound');
    assert.deepEqual(
      bound.map(({ address }) => address),
      ['fd00:1:2:3::1:5'],
    );
  });

  it('never throws for what guests send, and every answer is well-formed', () => {
    const lab = new Lab();
    const code = fc.constantFrom(1, 2, 3, 5, 6, 13, 14, 24, 25, 39);
    const inner = fc.tuple(code, fc.uint8Array({ maxLength: 30 }));
    const options = fc.array(
      fc.oneof(
        inner.map(([c, data]) => option(c, [...data])),
        fc.constant(option(1, DUID)),
        fc.constant(option(2, SERVER)),
        fc
          .array(inner, { maxLength: 3 })
          .map((all) =>
            option(3, [
              ...new Array(12).fill(0),
              ...all.flatMap(([c, data]) => option(c, [...data])),
            ]),
          ),
        fc.nat(0x1_ffff).map((low) => {
          const address = addressBytes(
            `fd00:1:2:3::${low > 0xffff ? '1:' : ''}${(low & 0xffff).toString(16)}`,
          );
          return option(3, [
            ...new Array(12).fill(0),
            ...option(5, [...address, ...new Array(8).fill(0)]),
          ]);
        }),
      ),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(fc.nat(13), options, fc.nat(5), fc.nat(3), (type, all, mac, link) => {
        lab.now += 1000;
        lab.deliver(messageOf(type, all.flat()), mac, link);
      }),
      { numRuns: 1000 },
    );
  });
});
