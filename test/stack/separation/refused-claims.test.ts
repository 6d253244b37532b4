/** What is known of addresses that a link claims though they are another's. */
import assert from 'node:assert/strict';
import { makeKey } from '../../../src/base/flow-key.ts';
import { IpAddress } from '../../../src/base/ip-address.ts';
import { setIpv4Key } from '../../../src/stack/separation/address-key.ts';
import {
  CLAIMS_MAX,
  QUIET_MS,
  RefusedClaims,
} from '../../../src/stack/separation/refused-claims.ts';
import {
  arpFrame,
  GATEWAY_IP,
  GATEWAY_MAC,
  GUEST_IP,
  GUEST_MAC,
  tcpFrame,
} from '../../support/frames.ts';
import { frame6, ICMPV6, linkLayerOption, ndp } from '../../support/frames6.ts';
import { type LabLink, SegmentLab } from '../../support/segment-lab.ts';

const GOOD_IP = GUEST_IP + 3;
const GOOD_MAC = 0x5254_0012_9999;
const CLONE_MAC = GUEST_MAC;

describe('stack/separation/refused-claims', () => {
  const key = makeKey();
  const claim = (claims: RefusedClaims, now: number, address: number): boolean => {
    setIpv4Key(key, address);
    return claims.add(now, key, 'subnet', CLONE_MAC) !== undefined;
  };
  const listed = (claims: RefusedClaims, now: number): number[] => {
    const found: number[] = [];
    claims.forEach(now, ({ d }) => found.push(d));
    return found.sort((one, other) => one - other);
  };

  it('a claim begins once, however often it is refused', () => {
    const claims = new RefusedClaims();
    assert.equal(claim(claims, 5, 1), true);
    for (let now = 6; now < 100; now++) assert.equal(claim(claims, now, 1), false);
    claims.forEach(100, ({ since, lastAt, times }) =>
      assert.deepEqual([since, lastAt, times], [5, 99, 95]),
    );
  });

  it('it ends when it is quiet, and begins again', () => {
    const claims = new RefusedClaims();
    claim(claims, 0, 1);
    assert.deepEqual(listed(claims, QUIET_MS - 1), [1]);
    assert.deepEqual(listed(claims, QUIET_MS), []);
    assert.equal(claim(claims, QUIET_MS, 1), true);
    assert.deepEqual(listed(claims, QUIET_MS), [1]);
  });

  it('there is room for some; others are counted, until one is quiet', () => {
    const claims = new RefusedClaims();
    for (let n = 1; n <= CLAIMS_MAX; n++) assert.equal(claim(claims, n, n), true);
    for (let n = 1; n <= 1000; n++) assert.equal(claim(claims, 100, 100 + n), false);
    const first = [...Array(CLAIMS_MAX).keys()].map((n) => n + 1);
    assert.deepEqual([listed(claims, 100), claims.unlisted], [first, 1000]);
    for (let n = 2; n <= CLAIMS_MAX; n++) claim(claims, 100, n);
    assert.equal(claim(claims, 1 + QUIET_MS, 500), true);
    assert.equal(claim(claims, 1 + QUIET_MS, 501), false);
    assert.deepEqual(listed(claims, 1 + QUIET_MS), [...first.slice(1), 500]);
    assert.equal(claims.unlisted, 1001);
  });
});

describe('addresses that a link claims though they are another’s', () => {
  class Trial extends SegmentLab {
    readonly good: LabLink = this.link('good');
    readonly clone: LabLink = this.link('clone');

    /** Who claims what, and whose it is. */
    conflicts(): string[] {
      const found: string[] = [];
      this.stack.stations.forEachConflict(this.now, ({ claim, claimant, mac, owner }) => {
        const { a, b, c, d, kind, times } = claim;
        const address = kind === 'ethernet' ? claim.mac.toString(16) : new IpAddress(a, b, c, d);
        const whose = `${mac === GOOD_MAC ? 'its' : mac} at ${owner?.name}`;
        found.push(`${claimant.name} claims ${address}, ${whose}, ${times}`);
      });
      return found;
    }
  }

  const trial = (): Trial => {
    const lab = new Trial();
    lab.good.send(arpFrame(1, GOOD_MAC, GOOD_IP, GATEWAY_IP));
    lab.good.send(frame6(59, [], { src: 'fe80::5', srcMac: GOOD_MAC }));
    assert.deepEqual(lab.conflicts(), []);
    return lab;
  };
  const SYN = tcpFrame({ flags: 'S' }, { src: GOOD_IP, srcMac: CLONE_MAC });
  const CLONED = tcpFrame({ flags: 'S' }, { src: GUEST_IP, srcMac: GOOD_MAC });
  const ETHERNET = 'clone claims 525400129999, its at good, 1';

  for (const [what, frame, expected] of [
    ['its Ethernet address', CLONED, ETHERNET],
    ['its IPv4 address', SYN, 'clone claims 192.168.127.5, its at good, 1'],
    [
      'its IPv4 address in ARP',
      arpFrame(1, CLONE_MAC, GOOD_IP, GOOD_IP),
      'clone claims 192.168.127.5, its at good, 1',
    ],
    [
      'its IPv6 address',
      frame6(59, [], { src: 'fe80::5', srcMac: CLONE_MAC }),
      'clone claims fe80::5, its at good, 1',
    ],
    [
      'its IPv6 address in an advertisement',
      frame6(ICMPV6, ndp(136, 'fe80::5'), { src: 'fe80::9', srcMac: CLONE_MAC }),
      'clone claims fe80::5, its at good, 1',
    ],
    [
      'its Ethernet address in a solicitation',
      frame6(ICMPV6, ndp(135, 'fe80::7', linkLayerOption(1, GOOD_MAC)), {
        src: 'fe80::9',
        srcMac: CLONE_MAC,
      }),
      ETHERNET,
    ],
  ] as const) {
    it(`${what}: who, which, and whose`, () => {
      const lab = trial();
      lab.clone.send(frame);
      assert.deepEqual(lab.conflicts(), [expected]);
    });
  }

  it('frames with their own addresses are none', () => {
    const lab = trial();
    lab.clone.send(arpFrame(1, CLONE_MAC, GUEST_IP, GATEWAY_IP));
    lab.clone.send(frame6(59, [], { src: 'fe80::9', srcMac: CLONE_MAC }));
    lab.good.send(tcpFrame({ flags: 'S' }, { src: GOOD_IP, srcMac: GOOD_MAC }));
    assert.deepEqual(lab.conflicts(), []);
  });

  it('where links are trusted with the addresses of each other there are none', () => {
    const lab = new Trial({ mode: 'trust' });
    for (const link of [lab.good, lab.clone]) link.send(CLONED);
    assert.deepEqual([lab.conflicts(), lab.drops()['ethernet-source-of-another']], [[], undefined]);
  });

  it('one is gone when it was quiet', () => {
    const lab = trial();
    lab.clone.send(CLONED);
    lab.now += QUIET_MS - 1;
    assert.equal(lab.conflicts().length, 1);
    lab.now++;
    assert.deepEqual(lab.conflicts(), []);
  });

  it('one is gone with the link that claims', () => {
    const lab = trial();
    lab.clone.send(CLONED);
    lab.clone.down();
    assert.deepEqual(lab.conflicts(), []);
  });

  it('one is gone when the address goes over to the link that claims it', () => {
    const lab = trial();
    for (let n = 0; n < 3; n++) lab.clone.send(CLONED);
    assert.deepEqual(lab.conflicts(), ['clone claims 525400129999, its at good, 3']);
    lab.good.down();
    assert.deepEqual(lab.conflicts(), [], 'its next frame is taken');
    lab.clone.send(CLONED);
    assert.equal(lab.drops()['ethernet-source-of-another'], 3);
  });

  it('an address that waits for the return of its link is of no link', () => {
    const lab = trial();
    lab.good.down();
    lab.clone.send(SYN);
    assert.deepEqual(lab.conflicts(), ['clone claims 192.168.127.5, its at undefined, 1']);
    lab.now += 60_000;
    lab.clone.send(SYN);
    assert.deepEqual(lab.conflicts(), []);
  });

  it('one that is leased is of the leaseholder, attached or not', () => {
    const lab = new Trial();
    lab.stack.serveDhcp(() => 0, {
      holderOf: (_now, words) => (words[3] === GOOD_IP ? GOOD_MAC : 0),
    });
    lab.clone.send(SYN);
    assert.deepEqual(lab.conflicts(), ['clone claims 192.168.127.5, its at undefined, 1']);
    lab.good.send(arpFrame(1, GOOD_MAC, GUEST_IP, GATEWAY_IP, GATEWAY_MAC));
    assert.deepEqual(lab.conflicts(), ['clone claims 192.168.127.5, its at good, 1']);
  });

  it('one that is made of an Ethernet address is of the link that has that', () => {
    const lab = trial();
    const made = 'fe80::5054:ff:fe12:9999';
    lab.clone.send(frame6(59, [], { src: made, srcMac: CLONE_MAC }));
    assert.deepEqual(lab.conflicts(), [`clone claims ${made}, its at good, 1`]);
  });

  it('a link that sweeps addresses lists a few, and hides none of another link', () => {
    const lab = trial();
    const other = lab.link('other');
    for (let n = 1; n <= 200; n++) {
      lab.good.send(arpFrame(1, GOOD_MAC, GOOD_IP + (n % 100), GATEWAY_IP));
      lab.clone.send(tcpFrame({}, { src: GOOD_IP + (n % 100), srcMac: CLONE_MAC }));
    }
    other.send(CLONED);
    const lists = (name: string): number =>
      lab.conflicts().filter((line) => line.startsWith(name)).length;
    assert.deepEqual([lists('clone'), lists('other')], [CLAIMS_MAX, 1]);
    assert.equal(lab.stack.stations.conflictsUnlisted, 200 - 2 * CLAIMS_MAX);
  });
});
