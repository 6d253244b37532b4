/** Hostile frames against a model: whatever reaches another guest is checked by a reader that shares no code with the rules. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ipv4 } from '../../../src/base/ip-address.ts';
import {
  arpFrame,
  GATEWAY_IP,
  GATEWAY_MAC,
  GUEST_IP,
  GUEST_MAC,
  HOST_IP,
  udpFrame,
} from '../../support/frames.ts';
import { frame6, ndp } from '../../support/frames6.ts';
import { type LabLink, SegmentLab } from '../../support/segment-lab.ts';

const GOOD_IP = GUEST_IP + 3;
const GOOD_MAC = 0x5254_0012_9999;
const OWN_MAC = GUEST_MAC;
const BROADCAST = 0xffff_ffff_ffff;
const RUNS = 1500;

const numberOf = (bytes: Uint8Array): number => bytes.reduce((sum, byte) => sum * 256 + byte, 0);
const word = (frame: Uint8Array, at: number): number => numberOf(frame.subarray(at, at + 4)) | 0;
const GOOD6 = 'fe800000000000000000000000000005';
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** What is wrong with a frame that another guest was sent, by the plainest reading; '' if nothing is. */
function wrongWith(frame: Uint8Array): string {
  const source = numberOf(frame.subarray(6, 12));
  if (source === GOOD_MAC || source === GATEWAY_MAC) return 'Ethernet source';
  const type = numberOf(frame.subarray(12, 14));
  const packet = frame.subarray(14);
  if (type === 0x0806) {
    const sender = word(packet, 14);
    if ([GOOD_IP, GATEWAY_IP, HOST_IP].includes(sender)) return 'ARP sender';
    const mac = numberOf(packet.subarray(8, 14));
    return mac === GOOD_MAC || mac === GATEWAY_MAC ? 'ARP Ethernet address' : '';
  }
  if (type === 0x0800) return wrongWith4(packet);
  return type === 0x86dd ? wrongWith6(packet) : `type ${type.toString(16)}`;
}

function wrongWith4(packet: Uint8Array): string {
  if ([GOOD_IP, GATEWAY_IP, HOST_IP].includes(word(packet, 12))) return 'IPv4 source';
  const upper = packet.subarray(((packet[0] ?? 0) & 15) * 4);
  const isFirst = (numberOf(packet.subarray(6, 8)) & 0x1fff) === 0;
  if (!isFirst) return '';
  if (packet[9] === 17) {
    const [from, to] = [numberOf(upper.subarray(0, 2)), numberOf(upper.subarray(2, 4))];
    return from === 67 || to === 68 ? 'DHCP answer' : '';
  }
  return packet[9] === 1 && (upper[0] === 5 || upper[0] === 9) ? 'ICMP of a router' : '';
}

function wrongWith6(packet: Uint8Array): string {
  if (hex(packet.subarray(8, 24)) === GOOD6) return 'IPv6 source';
  let kind = packet[6] ?? 59;
  let rest = packet.subarray(40);
  let isFragment = false;
  while ([0, 43, 44, 51, 60, 135, 139, 140].includes(kind)) {
    if (rest.length < 8) return 'headers that are not whole';
    if (kind === 44) {
      isFragment = true;
      if ((numberOf(rest.subarray(2, 4)) & 0xfff8) !== 0) return '';
    }
    const length =
      kind === 44 ? 8 : kind === 51 ? ((rest[1] ?? 0) + 2) * 4 : ((rest[1] ?? 0) + 1) * 8;
    kind = rest[0] ?? 59;
    rest = rest.subarray(length);
  }
  if (kind === 17 && rest.length >= 4) {
    const [from, to] = [numberOf(rest.subarray(0, 2)), numberOf(rest.subarray(2, 4))];
    return from === 547 || to === 546 ? 'DHCPv6 answer' : '';
  }
  if (kind !== 58) return '';
  const type = rest[0] ?? 0;
  if (type === 134 || type === 137) return 'message of a router';
  if (type < 133 || type > 137) return '';
  if (isFragment) return 'NDP in fragments';
  if (packet[7] !== 255) return 'NDP from afar';
  return type === 136 && hex(rest.subarray(8, 24)) === GOOD6 ? 'NDP of another' : '';
}

const macs = fc.constantFrom(
  ...new Array<number>(10).fill(OWN_MAC),
  OWN_MAC + 4,
  GOOD_MAC,
  GATEWAY_MAC,
  BROADCAST,
  0,
);
const ips = fc.constantFrom(
  ...new Array<number>(8).fill(GUEST_IP),
  GUEST_IP,
  GOOD_IP,
  GATEWAY_IP,
  HOST_IP,
  0,
  -1,
  0x0808_0808,
  0x0a00_0001,
);
const ip6s = fc.constantFrom(
  ...new Array<string>(8).fill('fe80::2'),
  'fe80::2',
  'fe80::2',
  'fe80::5',
  '::',
  '::1',
  'ff02::1',
  '2001:db8::1',
  'fd00::1',
);
const ports = fc.constantFrom(67, 68, 546, 547, 53, 1000);
const types = fc.constantFrom(128, 130, 133, 134, 135, 136, 137, 143);
const extension = fc.tuple(
  fc.constantFrom(0, 43, 44, 51, 60, 50, 135),
  fc.constantFrom(
    [0, 0, 0, 0, 0, 0, 0],
    [1, ...new Array<number>(14).fill(0)],
    [0, 0, 1, 0, 0, 0, 1],
    [0, 0, 9, 0, 0, 0, 1],
    [200, 0, 0, 0, 0, 0, 0],
  ),
);
const destination = fc.constantFrom(GOOD_MAC, BROADCAST, 0x3333_0000_0001);

const arp = fc
  .tuple(fc.constantFrom(1, 2, 3), macs, ips, ips, destination, macs)
  .map(([operation, sender, ip, target, dst, source]) => {
    const frame = arpFrame(operation, sender, ip, target, dst);
    for (let i = 0; i < 6; i++) frame[6 + i] = Math.floor(source / 256 ** (5 - i)) & 255;
    return frame;
  });
const packet4 = fc
  .tuple(
    macs,
    destination,
    ips,
    ips,
    ports,
    ports,
    fc.constantFrom(0, 0x2000, 1, 0x2001),
    fc.constantFrom(17, 1, 6, 2),
  )
  .map(([srcMac, dstMac, src, dst, from, to, fragment, protocol]) => {
    const frame = udpFrame(from, to, new Uint8Array(12), { srcMac, dstMac, src, dst, fragment });
    frame[23] = protocol;
    if (protocol === 1) frame[34] = from % 11;
    return frame;
  });
const packet6 = fc
  .tuple(
    macs,
    destination,
    ip6s,
    ip6s,
    types,
    fc.constantFrom(255, 64),
    fc.array(extension, { maxLength: 4 }),
    fc.constantFrom(58, 58, 17),
    ports,
    ports,
  )
  .map(([srcMac, dstMac, src, target, type, hopLimit, extensions, protocol, from, to]) => {
    const udp = [from >> 8, from & 255, to >> 8, to & 255, 0, 8, 0, 0];
    const upper = protocol === 58 ? ndp(type, target) : udp;
    return frame6(protocol, upper, { srcMac, dstMac, src, hopLimit, extensions });
  });
const wrapping = fc.constantFrom(
  '',
  '',
  '',
  '',
  '81000000',
  '81000005',
  '88a8000081000000',
  '0040aaaa03000000',
);
/** A well-formed frame, perhaps in a wrapping, perhaps with bytes changed, perhaps cut. */
const hostile = fc
  .tuple(
    fc.oneof(arp, packet4, packet6),
    wrapping,
    fc.array(fc.tuple(fc.nat({ max: 90 }), fc.nat({ max: 255 })), { maxLength: 2 }),
    fc.option(fc.nat({ max: 90 }), { freq: 4, nil: undefined }),
  )
  .map(([frame, wrap, changes, cut]) => {
    const bytes = Uint8Array.from([
      ...frame.subarray(0, 12),
      ...Buffer.from(wrap, 'hex'),
      ...frame.subarray(12),
    ]);
    for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
    return cut === undefined ? bytes : bytes.subarray(0, Math.max(cut, 14));
  });

class Target extends SegmentLab {
  readonly good: LabLink = this.link('good');
  readonly evil: LabLink = this.link('evil');
  readonly third: LabLink = this.link('third');

  constructor() {
    super();
    this.good.send(arpFrame(1, GOOD_MAC, GOOD_IP, GATEWAY_IP));
    this.good.send(frame6(59, [], { src: 'fe80::5', srcMac: GOOD_MAC }));
    this.third.writer.take();
  }
}

describe('stack/separation: hostile frames', () => {
  it('the model knows what is wrong', () => {
    assert.equal(wrongWith(udpFrame(67, 68, new Uint8Array(9))), 'DHCP answer');
    assert.equal(
      wrongWith(frame6(58, ndp(134, '::'), { extensions: [[0, [0, 0, 0, 0, 0, 0, 0]]] })),
      'message of a router',
    );
    assert.equal(wrongWith(udpFrame(1, 2, new Uint8Array(9))), '');
  });

  it('no forbidden frame reaches a guest, and the host believes none', () => {
    let passed = 0;
    const lab = new Target();
    fc.assert(
      fc.property(hostile, (frame) => {
        lab.good.heard();
        lab.third.heard();
        lab.now += 1;
        lab.evil.send(frame);
        for (const heard of [...lab.good.heard(), ...lab.third.heard()]) {
          passed++;
          const source = numberOf(heard.subarray(6, 12));
          if (source !== GATEWAY_MAC) assert.equal(wrongWith(heard), '', hex(heard));
        }
        const neighbor = lab.stack.stations.neighborAt(ipv4(GOOD_IP));
        assert.deepEqual([neighbor?.mac, neighbor?.port?.name], [GOOD_MAC, 'good']);
      }),
      { numRuns: RUNS },
    );
    assert.ok(
      passed > RUNS / 20,
      `only ${passed} frames passed: the test is too hostile to see anything`,
    );
    lab.good.send(
      udpFrame(1, 2, new Uint8Array(9), { src: GOOD_IP, srcMac: GOOD_MAC, dstMac: BROADCAST }),
    );
    assert.equal(lab.third.heard().length, 1, 'the good guest goes on');
  });
});

/** The rules of possession for one kind of address, written as plainly as possible. */
class PossessionModel {
  private readonly held = new Map<number, { link: number; until: number }>();

  /** @returns whether it may */
  use(now: number, link: number, address: number): boolean {
    const holder = this.held.get(address);
    const isFree = holder === undefined || holder.until <= now;
    if (holder?.link !== link && !isFree) return false;
    this.held.set(address, { link, until: Number.POSITIVE_INFINITY });
    return true;
  }

  probe(now: number, link: number, address: number): void {
    const holder = this.held.get(address);
    const isFree = holder === undefined || holder.until <= now;
    const isOwnProbe = holder?.link === link && holder.until !== Number.POSITIVE_INFINITY;
    if (isFree || isOwnProbe) this.held.set(address, { link, until: now + 5000 });
  }

  /** There are always others. */
  down(now: number, link: number): void {
    for (const [address, holder] of this.held) {
      if (holder.link === link) this.held.set(address, { link: -1, until: now + 60_000 });
    }
  }
}

describe('stack/separation: whose an address is, against a model', () => {
  const steps = fc.array(
    fc.oneof(
      {
        weight: 8,
        arbitrary: fc.tuple(fc.constant('use' as const), fc.nat({ max: 2 }), fc.nat({ max: 3 })),
      },
      {
        weight: 3,
        arbitrary: fc.tuple(fc.constant('probe' as const), fc.nat({ max: 2 }), fc.nat({ max: 3 })),
      },
      {
        weight: 1,
        arbitrary: fc.tuple(fc.constant('down' as const), fc.nat({ max: 2 }), fc.constant(0)),
      },
      {
        weight: 2,
        arbitrary: fc.tuple(
          fc.constant('wait' as const),
          fc.constantFrom(1, 4999, 5000, 60_000),
          fc.constant(0),
        ),
      },
    ),
    { maxLength: 60 },
  );

  it('uses, probes, links that go, and time', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const lab = new SegmentLab();
        const model = new PossessionModel();
        // Each link that comes has a number and an Ethernet address of its own: it is nobody's successor.
        const links: { id: number; link: LabLink }[] = [];
        let next = 0;
        const plug = (slot: number): void => {
          const id = next++;
          links[slot] = { id, link: lab.link(`link#${id}`) };
        };
        for (const slot of [0, 1, 2]) plug(slot);
        for (const [kind, a, b] of list) {
          if (kind === 'wait') {
            lab.now += a;
            continue;
          }
          const at = links[a];
          assert.ok(at !== undefined);
          const mac = 0x5254_0000_0000 + 4 * at.id;
          const address = GUEST_IP + b;
          if (kind === 'down') {
            at.link.down();
            model.down(lab.now, at.id);
            plug(a);
          } else if (kind === 'probe') {
            at.link.send(arpFrame(1, mac, 0, address));
            model.probe(lab.now, at.id, address);
          } else {
            const before = lab.drops()['ipv4-source-of-another'] ?? 0;
            at.link.send(udpFrame(1, 2, new Uint8Array(4), { src: address, srcMac: mac }));
            const isRefused = (lab.drops()['ipv4-source-of-another'] ?? 0) > before;
            assert.equal(
              !isRefused,
              model.use(lab.now, at.id, address),
              `${JSON.stringify([kind, a, b])}`,
            );
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
