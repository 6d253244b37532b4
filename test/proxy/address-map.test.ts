import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IpAddress, ipv4 } from '../../src/base/ip-address.ts';
import { Translation } from '../../src/proxy/flows/translation.ts';
import { parseAddress, parsePrefix } from '../../src/services/address-text.ts';
import { addressMap, GATEWAY, HOST, ip } from './recording.ts';

const subnet6 = parsePrefix('fd12:3456::/64');
assert.ok(subnet6);
const six = { subnet6, gateway6: ip('fd12:3456::1'), host6: ip('fd12:3456::fe') };

const MEANING: readonly (readonly [string, string])[] = [
  ['192.168.127.1', 'gateway'],
  ['192.168.127.254', 'host-loopback'],
  ['192.168.127.3', 'subnet'],
  ['192.168.127.0', 'subnet'],
  ['192.168.127.255', 'broadcast'],
  ['192.168.128.1', 'outside'],
  ['1.1.1.1', 'outside'],
  ['10.0.0.255', 'outside'],
  ['169.253.255.255', 'outside'],
  ['169.254.169.254', 'link-local'],
  ['169.255.0.0', 'outside'],
  ['126.255.255.255', 'outside'],
  ['127.0.0.1', 'loopback'],
  ['127.255.255.254', 'loopback'],
  ['128.0.0.1', 'outside'],
  ['0.0.0.0', 'unspecified'],
  ['0.1.2.3', 'unspecified'],
  ['223.255.255.255', 'outside'],
  ['224.0.0.251', 'multicast'],
  ['239.255.255.250', 'multicast'],
  ['240.0.0.1', 'reserved'],
  ['255.255.255.255', 'broadcast'],
  ['fd12:3456::1', 'gateway'],
  ['fd12:3456::fe', 'host-loopback'],
  ['fd12:3456::99', 'subnet'],
  ['fd12:3456:0:1::1', 'outside'],
  ['2001:db8::1', 'outside'],
  ['::', 'unspecified'],
  ['::1', 'loopback'],
  ['::7f00:1', 'reserved'],
  ['fe80::1', 'link-local'],
  ['febf::1', 'link-local'],
  ['fec0::1', 'outside'],
  ['ff02::1', 'multicast'],
  ['fd00:ec2::254', 'metadata'],
  ['fd00:ec2::255', 'outside'],
  ['168.63.129.16', 'metadata'],
  ['168.63.129.17', 'outside'],
];

/** The family of the guest is the peer's unless it is said. */
const SEEN: readonly (readonly [string, string | undefined, (4 | 6)?])[] = [
  ['127.0.0.1', '192.168.127.254'],
  ['127.0.0.53', '192.168.127.254'],
  ['::ffff:127.0.0.1', '192.168.127.254'],
  ['::1', 'fd12:3456::fe'],
  ['8.8.8.8', '8.8.8.8'],
  ['::ffff:8.8.8.8', '8.8.8.8'],
  ['::ffff:127.0.0.1', 'fd12:3456::fe', 6],
  ['::1', '192.168.127.254', 4],
  ['8.8.8.8', undefined, 6],
  ['2001:db8::8', '2001:db8::8', 6],
  ['2001:db8::8', undefined, 4],
  ['168.63.129.16', '168.63.129.16'], // Azure's load balancers ask whether a published port is up
  ['192.168.127.2', undefined],
  ['192.168.127.1', undefined],
  ['fe80::1%eth0', undefined],
  ['nonsense', undefined],
];

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

describe('proxy/address-map', () => {
  const map = addressMap(six);

  for (const [text, meaning] of MEANING) {
    it(`${text} is ${meaning} to a guest`, () => {
      const { a, b, c, d } = ip(text);
      assert.equal(map.kindOf(Int32Array.of(9, a, b, c, d), 1), meaning);
    });
  }

  it('the address that host and gateway share leads to the host; a further one of the gateway does not', () => {
    const shared = addressMap({ host: GATEWAY, alias: HOST, ...six, host6: six.gateway6 });
    const meaning = ({ a, b, c, d }: IpAddress): string =>
      shared.kindOf(Int32Array.of(a, b, c, d), 0);
    assert.deepEqual([GATEWAY, HOST, six.gateway6].map(meaning), [
      'host-loopback',
      'gateway',
      'host-loopback',
    ]);
    assert.equal(shared.guestView('127.0.0.1', 4, false)?.toString(), `${GATEWAY}`);
  });

  it('without a host address, its place in the subnet is like the rest', () => {
    const closed = addressMap({ host: undefined });
    const { a, b, c, d } = HOST;
    assert.equal(closed.kindOf(Int32Array.of(a, b, c, d), 0), 'subnet');
    assert.equal(closed.guestView('127.0.0.1', 4, false), undefined);
  });

  for (const [text, seen, family = parseAddress(text)?.family ?? 4] of SEEN) {
    it(`a peer ${text} of a host socket is ${seen ?? 'hidden'} to guests of IPv${family}`, () => {
      assert.equal(map.guestView(text, family, false)?.toString(), seen);
      assert.equal(map.guestView(text, family, false)?.toString(), seen, 'and again');
    });
  }

  it('a translated peer is the address that the guest knows, as the rules are now', () => {
    const translation = new Translation();
    const translating = addressMap({ ...six, translation });
    const view = (text: string, family: 4 | 6): string | undefined =>
      translating.guestView(text, family, true)?.toString();
    assert.equal(view('8.8.8.8', 6), undefined);
    translation.set({ isOn: true, isForPrivate: false, hostPrefix: undefined });
    assert.equal(view('8.8.8.8', 6), '64:ff9b::808:808');
    assert.equal(view('10.0.0.5', 6), undefined);
    assert.equal(view('127.0.0.1', 6), 'fd12:3456::fe');
    assert.equal(view('::1', 4), '192.168.127.254');
    translation.set({ isOn: true, isForPrivate: true, hostPrefix: undefined });
    assert.equal(view('10.0.0.5', 6), '64:ff9b:1::a00:5');
    assert.equal(view('169.254.169.254', 6), undefined);
    const hostPrefix = { address: ip('2001:db8:64::'), bits: 96 } as const;
    translation.set({ isOn: true, isForPrivate: false, hostPrefix });
    assert.equal(view('2001:db8:64::808:808', 6), '64:ff9b::808:808');
    assert.equal(view('2001:db8:64::808:808', 4), '8.8.8.8');
    assert.equal(view('2001:db8:65::808:808', 4), undefined);
  });

  it('what guests may have: of their networks, also of one that they share with the host', () => {
    const shared = addressMap({ ...six, isShared6: true });
    const guests = ['192.168.127.3', 'fd12:3456::99', 'fd12:3456::1', '2001:db8::1', '10.0.0.1'];
    const isThere = [true, true, false, false, false];
    for (const one of [map, shared]) {
      assert.deepEqual(
        guests.map((text) => one.mayBeGuest(ip(text))),
        isThere,
      );
    }
    const { a, b, c, d } = ip('fd12:3456::99');
    assert.equal(shared.kindOf(Int32Array.of(a, b, c, d), 0), 'outside');
  });

  it('reads the text of every address back', () => {
    fc.assert(
      fc.property(int32, int32, int32, int32, (a, b, c, d) => {
        const v6 = new IpAddress(a, b, c, d);
        assert.ok(parseAddress(v6.toString())?.equals(v6));
        assert.ok(parseAddress(ipv4(d).toString())?.equals(ipv4(d)));
      }),
    );
  });

  it('never throws on text: it is an address or undefined', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parseAddress(text);
        parsePrefix(text);
        map.guestView(text, 4, true);
      }),
    );
    for (const text of ['', '1.2.3', '1.2.3.4.5', '256.1.1.1', '1.2.3.4/24', ':::', '1.2.3.4 ']) {
      assert.equal(parseAddress(text), undefined, text);
    }
    for (const text of ['1.2.3.4', '1.2.3.4/33', '::/129', '1.2.3.4/', '/8', '1.2.3.4/-1']) {
      assert.equal(parsePrefix(text), undefined, text);
    }
  });

  it("shows the host's own address as the host's for guests, where that leads to it", () => {
    const map = addressMap(six);
    assert.equal(`${map.guestView('198.51.100.7', 4, true)}`, '198.51.100.7');
    map.leadHostTo({ ipv4: ip('198.51.100.7'), ipv6: undefined });
    assert.equal(`${map.guestView('198.51.100.7', 4, true)}`, `${HOST}`);
    assert.equal(`${map.guestView('198.51.100.7', 4, false)}`, '198.51.100.7');
    assert.deepEqual([map.hostTarget(4)?.toString(), map.hostTarget(6)], ['198.51.100.7', 'none']);
  });
});
