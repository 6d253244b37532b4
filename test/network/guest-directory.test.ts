import assert from 'node:assert/strict';
import type { IpAddress } from '../../src/base/ip-address.ts';
import { GuestDirectory, type GuestPlace } from '../../src/network/guest-directory.ts';
import { namedGuests } from '../../src/network/named-guests.ts';
import type { Lease, LeaseState } from '../../src/services/dhcp/lease.ts';
import { RecordingLog } from '../cli/agent/pair.ts';
import { ip } from '../proxy/recording.ts';

const A = '52:54:00:00:00:0a';
const B = '52:54:00:00:00:0b';
const HELD: ReadonlySet<LeaseState> = new Set(['bound', 'reserved']);
const numberOf = (mac: string): number => Number.parseInt(mac.replaceAll(':', ''), 16);

describe('network/guest-directory', () => {
  let places: GuestPlace[];
  let leases: Lease[];
  let claims: { mac: number; address: IpAddress }[];
  /** Whatever is behind the link of an Ethernet address. */
  let links: Map<number, object>;
  let log: RecordingLog;
  let statics: { mac: string; hostname: string | undefined }[];
  let directory: GuestDirectory;
  /** Passes over all places, or all leases. */
  let scans: number;

  const make = (): GuestDirectory =>
    new GuestDirectory({
      forEachPlace: (visit) => {
        scans++;
        places.forEach(visit);
      },
      forEachClaim: (mac, visit) => {
        for (const claim of claims) if (claim.mac === mac) visit(claim.address);
      },
      userAt: (address) => claims.find((one) => one.address.equals(address))?.mac ?? 0,
      firstClaimant: () => claims[0]?.mac ?? 0,
      prefix6: ip('fd12:3456::'),
      guestOf: (mac) => links.get(mac),
      placeAt: (address) => places.find((place) => place.address.equals(address)),
      leases: () => {
        scans++;
        return leases;
      },
      holderAt: (address) => {
        const held = leases.find((lease) => lease.address === `${address}`);
        return held === undefined || !HELD.has(held.state) ? 0 : numberOf(held.mac);
      },
      staticLeases: statics,
      log,
    });

  beforeEach(() => {
    places = [];
    leases = [];
    claims = [];
    statics = [];
    links = new Map([A, B].map((mac) => [numberOf(mac), { mac }]));
    scans = 0;
    log = new RecordingLog();
    directory = make();
  });

  const comes = (mac: string, address: string, attachedAt: number): void => {
    places = places.filter((place) => `${place.address}` !== address);
    const guest = links.get(numberOf(mac)) ?? {};
    places.push({ mac: numberOf(mac), address: ip(address), port: { attachedAt, guest } });
    directory.onGuestHeard(numberOf(mac), !address.includes(':'));
  };
  /** One link, of a bridge. */
  const joined = (...macs: readonly string[]): void => {
    const bridge = {};
    for (const mac of macs) links.set(numberOf(mac), bridge);
  };
  const goes = (mac: string): void => {
    places = places.map((place) =>
      place.mac === numberOf(mac) ? { ...place, port: undefined } : place,
    );
  };
  const leased = (mac: string, address: string, hostname?: string, state: LeaseState = 'bound') => {
    leases = leases.filter((lease) => lease.address !== address);
    const name = hostname === undefined ? {} : { hostname };
    leases.push({ mac, address, ...name, expiresAtMs: 1, static: false, state });
    directory.onLeases();
  };
  const first = { guestAddress: undefined };
  const named = (name: string) => ({ ...first, guest: { kind: 'name', name } as const });

  it('the first guest is the one that has been there for longest, and stays it', () => {
    comes(B, '192.168.127.2', 20);
    comes(A, '192.168.127.3', 10);
    const target = directory.targetOf(first);
    assert.equal(`${target.address}`, '192.168.127.3');
    goes(A);
    assert.deepEqual([target.mac, target.attached], [A, false]);
    comes(A, '192.168.127.9', 30); // with another address
    assert.deepEqual([`${target.address}`, target.attached], ['192.168.127.9', true]);
  });

  it('published before any guest came, it is the first to come, and no later one', () => {
    const target = directory.targetOf(first);
    assert.deepEqual([target.mac, target.address, target.attached], [undefined, undefined, false]);
    comes(A, '192.168.127.2', 1);
    goes(A);
    comes(B, '192.168.127.3', 2);
    assert.equal(target.mac, A);
    assert.equal(directory.targetOf(first).mac, B);
  });

  describe('behind a bridge, which is heard by IPv6 before the guests that it joins', () => {
    const BRIDGE = A;
    const LOCAL = 'fe80::5054:ff:fe00:a';
    beforeEach(() => joined(BRIDGE, B));

    it('a port that was published before is for the first that uses IPv4', () => {
      const target = directory.targetOf(first);
      comes(BRIDGE, LOCAL, 1);
      assert.equal(target.mac, BRIDGE); // there may be no other
      comes(B, '192.168.127.2', 1);
      assert.deepEqual([target.mac, `${target.address}`], [B, '192.168.127.2']);
      comes(BRIDGE, '192.168.127.3', 1);
      assert.equal(target.mac, B);
    });

    it('a port that is published afterwards, too', () => {
      comes(BRIDGE, LOCAL, 1);
      comes(B, '192.168.127.2', 1);
      assert.equal(directory.targetOf(first).mac, B);
    });

    it('a lease does as well, of either family', () => {
      comes(BRIDGE, LOCAL, 1);
      const target = directory.targetOf(first);
      directory.onGuestHeard(numberOf(B), true);
      assert.equal(target.mac, B);
      leased(B, '192.168.127.2');
      assert.equal(directory.targetOf(first).mac, B);
      leases = [];
      leased(B, 'fd12:3456::2');
      comes(B, 'fd12:3456::2', 1);
      assert.equal(directory.targetOf(first).mac, B);
    });

    it('the bridge itself, once it has a lease', () => {
      comes(BRIDGE, LOCAL, 1);
      const target = directory.targetOf(first);
      directory.onGuestHeard(numberOf(BRIDGE), true);
      comes(B, '192.168.127.2', 1);
      assert.equal(target.mac, BRIDGE);
    });

    it('a guest of another link takes nothing from one of IPv6 alone', () => {
      joined(BRIDGE);
      const target = directory.targetOf(first);
      comes(BRIDGE, LOCAL, 1);
      comes(B, '192.168.127.2', 2);
      assert.deepEqual([target.mac, directory.targetOf(first).mac], [BRIDGE, BRIDGE]);
    });
  });

  it('who is at an address is found without looking through all guests', () => {
    comes(A, '192.168.127.2', 1);
    leased(B, '192.168.127.3');
    const before = scans;
    for (const [address, mac, attached] of [
      ['192.168.127.2', A, true],
      ['192.168.127.3', B, false],
      ['192.168.127.4', undefined, false],
    ] as const) {
      const target = directory.targetOf({ guestAddress: ip(address) });
      assert.deepEqual([target.mac, target.attached], [mac, attached]);
    }
    assert.equal(scans, before);
  });

  it('a withdrawn port waits for nobody', () => {
    const target = directory.targetOf(first);
    target.release();
    comes(A, '192.168.127.2', 1);
    assert.equal(target.mac, undefined);
  });

  it('a name is looked up when a client comes: by DHCP, in any case', () => {
    const target = directory.targetOf(named('web'));
    assert.equal(target.address, undefined);
    leased(A, '192.168.127.2', 'Web');
    assert.deepEqual(
      [`${target.address}`, target.mac, target.attached],
      ['192.168.127.2', A, false],
    );
    comes(A, '192.168.127.2', 1);
    assert.equal(target.attached, true);
    leased(A, '192.168.127.2', 'other');
    assert.equal(target.address, undefined);
  });

  it('by DNS, a name leads to the addresses that its guest keeps, and they to the name', () => {
    const own = 'fd12:3456::5054:ff:fe00:a';
    leased(A, '192.168.127.2', 'Web');
    assert.deepEqual(directory.namedAddresses('web').map(String), ['192.168.127.2']);
    comes(A, '192.168.127.2', 1);
    comes(A, own, 1);
    comes(A, 'fd12:3456::7:7:7:7', 1); // perhaps a temporary one
    comes(A, 'fe80::5054:ff:fe00:a', 1);
    comes(B, '192.168.127.3', 2);
    assert.deepEqual(directory.namedAddresses('web').map(String), ['192.168.127.2', own]);
    assert.deepEqual(directory.namedAddresses('other'), []);
    for (const [address, name] of [
      ['192.168.127.2', 'web'],
      [own, 'web'],
      ['192.168.127.3', undefined],
      ['192.168.127.4', undefined],
    ] as const) {
      assert.equal(directory.nameAt(ip(address)), name, address);
    }
    claims.push({ mac: numberOf(A), address: ip('fd12:3456::9') });
    assert.equal(directory.nameAt(ip('fd12:3456::9')), 'web', 'used with other guests alone');
    leased(A, '192.168.127.2', 'Web', 'released');
    assert.deepEqual(directory.namedAddresses('web'), []);
    assert.equal(directory.nameAt(ip('192.168.127.2')), undefined);
  });

  it('a name that is no label is none in DNS', () => {
    const names = ['web.lan', 'a b', 'web'].map((name) =>
      namedGuests({ namedAddresses: () => [], nameAt: () => name }).nameAt(ip('192.168.127.2')),
    );
    assert.deepEqual(names, [undefined, undefined, 'web']);
  });

  it('a name of two guests stays with the one that had it first, with one warning', () => {
    leased(A, '192.168.127.3', 'web');
    leased(B, '192.168.127.2', 'web');
    leased(B, '192.168.127.2', 'web');
    const target = directory.targetOf(named('web'));
    assert.equal(target.mac, A);
    assert.equal(log.lines.length, 1);
    assert.match(JSON.stringify(log.lines[0]), /two guests claim one name/);
    leased(A, '192.168.127.3', 'web', 'released');
    assert.equal(target.mac, B);
  });

  it("a static lease's name is its guest's, whatever another calls itself", () => {
    statics = [{ mac: A, hostname: 'Web' }];
    directory = make();
    leased(B, '192.168.127.2', 'web');
    leased(A, '192.168.127.9', undefined, 'reserved');
    const target = directory.targetOf(named('web'));
    assert.deepEqual([target.mac, `${target.address}`], [A, '192.168.127.9']);
    assert.equal(log.lines.length, 1);
  });

  it('of several addresses of one guest the leased one is dialled, or else the lowest', () => {
    const target = directory.targetOf({ ...first, guest: { kind: 'mac', mac: A } });
    comes(A, '192.168.127.7', 1);
    comes(A, '192.168.127.5', 1);
    assert.equal(`${target.address}`, '192.168.127.5');
    leased(A, '192.168.127.7');
    assert.equal(`${target.address}`, '192.168.127.7');
  });

  describe('the addresses of a guest of both families', () => {
    const byMac = { ...first, guest: { kind: 'mac', mac: A } } as const;
    const V4 = '192.168.127.2';
    /** Of its Ethernet address. */
    const OWN = 'fd12:3456::5054:ff:fe00:a';
    const LEASED = 'fd12:3456::1:17';
    const RANDOM = 'fd12:3456::a1b2:c3d4:e5f6:1';
    const TEMPORARY = 'fd12:3456::9999:c3d4:e5f6:2';
    const claims6 = (...addresses: string[]): void => {
      for (const address of addresses) claims.push({ mac: numberOf(A), address: ip(address) });
    };
    const addressesFor = (client: 4 | 6 | undefined): string[] =>
      directory.targetOf(byMac).addressesFor(client).map(String);

    it("are tried from the client's family on", () => {
      comes(A, V4, 1);
      claims6(OWN);
      assert.deepEqual(addressesFor(4), [V4, OWN]);
      assert.deepEqual(addressesFor(6), [OWN, V4]);
      assert.deepEqual(addressesFor(undefined), [V4, OWN]);
      assert.equal(`${directory.targetOf(byMac).address}`, V4);
    });

    it('of IPv6: the leased one, then that of its Ethernet address; others after all', () => {
      comes(A, V4, 1);
      comes(A, TEMPORARY, 1);
      claims6(TEMPORARY, OWN, LEASED, RANDOM);
      leased(A, LEASED);
      assert.deepEqual(addressesFor(6), [LEASED, OWN, V4, TEMPORARY, RANDOM]);
      leased(A, LEASED, undefined, 'released');
      assert.deepEqual(addressesFor(6), [OWN, V4, TEMPORARY, LEASED, RANDOM]);
    });

    it('of two random ones neither is known to stay: in the order in which they came, after IPv4', () => {
      comes(A, V4, 1);
      claims6(RANDOM, TEMPORARY);
      assert.deepEqual(addressesFor(6), [V4, RANDOM, TEMPORARY]);
    });

    it('a random one alone is the one that stays', () => {
      comes(A, V4, 1);
      claims6(RANDOM);
      assert.deepEqual(addressesFor(6), [RANDOM, V4]);
    });

    it('a link-local address says how the other is made, before that was heard', () => {
      comes(A, V4, 1);
      comes(A, 'fe80::5054:ff:fe00:a', 1);
      assert.deepEqual(addressesFor(6), [OWN, V4]);
    });

    it('IPv6 alone, and what is on other links or another guest', () => {
      comes(A, OWN, 1);
      comes(B, 'fd12:3456::5054:ff:fe00:b', 1);
      comes(A, 'fd77::1', 1);
      assert.deepEqual(addressesFor(4), [OWN]);
      const target = directory.targetOf(byMac);
      assert.deepEqual([`${target.address}`, target.attached], [OWN, true]);
    });

    it('a first guest that has claimed an address, and was not heard, is there, and stays the first', () => {
      const target = directory.targetOf(first);
      assert.deepEqual([target.mac, target.addressesFor(4)], [undefined, []]);
      claims6(OWN);
      assert.deepEqual(target.addressesFor(4).map(String), [OWN]);
      assert.deepEqual([target.mac, `${target.address}`, target.attached], [A, OWN, true]);
      claims = [];
      comes(B, '192.168.127.3', 1);
      assert.equal(target.mac, A);
    });

    it('a bounded number of them, and none of a guest that is not known', () => {
      assert.deepEqual(addressesFor(6), []);
      for (let i = 0; i < 40; i++) claims6(`fd12:3456::a1b2:${i.toString(16)}`);
      assert.equal(addressesFor(6).length, 16);
    });
  });

  it('an address is what it says, and shows who has it', () => {
    const target = directory.targetOf({ guestAddress: ip('192.168.127.4') });
    assert.deepEqual([`${target.address}`, target.mac], ['192.168.127.4', undefined]);
    comes(B, '192.168.127.4', 1);
    assert.deepEqual([target.mac, target.attached], [B, true]);
  });
});
