import assert from 'node:assert/strict';
import { Counters } from '../../../src/base/counters.ts';
import { type IpAddress, setWords } from '../../../src/base/ip-address.ts';
import type {
  Block,
  Destination,
  DestinationProtocol,
} from '../../../src/proxy/flows/destination.ts';
import { Destinations } from '../../../src/proxy/flows/destinations.ts';
import { Translation } from '../../../src/proxy/flows/translation.ts';
import { parsePrefix } from '../../../src/services/address-text.ts';
import { embedIpv4, NAT64_BITS } from '../../../src/services/nat64-address.ts';
import { testGuest } from '../../support/test-guest.ts';
import { addressMap, ip } from '../recording.ts';

const subnet6 = parsePrefix('fd12:3456::/64');
assert.ok(subnet6);
const six = {
  subnet6,
  gateway6: ip('fd12:3456::1'),
  host6: ip('fd12:3456::fe'),
  linkLocal6: ip('fe80::5894:efff:fee4:cdd'),
};

/** What a guest asks for, and where it goes: an address for the socket, `gateway`, or the reason of the refusal. */
const TABLE: readonly (readonly [string, string])[] = [
  ['192.168.127.1', 'gateway'],
  ['192.168.127.254', '127.0.0.1'],
  ['fd12:3456::fe', '::1'],
  ['fd12:3456::1', 'gateway'],
  ['fe80::5894:efff:fee4:cdd', 'gateway'],
  ['fe80::5894:efff:fee4:cde', '!link-local'],
  ['1.2.3.4', '1.2.3.4'],
  ['10.0.0.1', '10.0.0.1'],
  ['2001:db8::1', '2001:db8::1'],
  ['192.168.127.9', '!subnet'],
  ['127.0.0.1', '!loopback'],
  ['::1', '!loopback'],
  ['224.0.0.251', '!multicast'],
  // Metadata of clouds.
  ['169.254.169.254', '!link-local'],
  ['169.254.170.2', '!link-local'],
  ['169.254.0.0', '!link-local'],
  ['169.254.255.255', '!link-local'],
  ['100.100.100.200', '!metadata'],
  ['100.100.100.199', '100.100.100.199'],
  ['168.63.129.16', '!metadata'],
  ['192.0.0.192', '!metadata'],
  ['192.0.0.191', '192.0.0.191'],
  ['fd00:ec2::254', '!metadata'],
  ['fd00:ec2::23', '!metadata'],
  ['fd00:ec2:0:0:0:0:0:23', '!metadata'],
  ['fd20:ce::254', '!metadata'],
  ['fd20:ce:0:0:0:0:0:253', 'fd20:ce::253'],
  ['fd00:42::42', '!metadata'],
  // IPv4-mapped: the IPv4 address itself, never in this form to a socket.
  ['::ffff:1.2.3.4', '1.2.3.4'],
  ['::ffff:127.0.0.1', '!loopback'],
  ['::ffff:7f00:1', '!loopback'],
  ['0:0:0:0:0:ffff:a9fe:a9fe', '!link-local'],
  ['::ffff:168.63.129.16', '!metadata'],
  ['::ffff:192.168.127.254', '127.0.0.1'],
  // IPv4-compatible and IPv4-translated.
  ['::127.0.0.1', '!reserved'],
  ['::8.8.8.8', '!reserved'],
  ['::ffff:0:127.0.0.1', '!reserved'],
  ['::ffff:0:8.8.8.8', '!reserved'],
  // NAT64, the well-known prefix.
  ['64:ff9b::8.8.8.8', '64:ff9b::808:808'],
  ['64:ff9b::127.0.0.1', '!loopback'],
  ['64:ff9b::7fff:fffe', '!loopback'],
  ['64:ff9b::a9fe:a9fe', '!link-local'],
  ['64:ff9b::168.63.129.16', '!metadata'],
  ['64:ff9b::0.0.0.0', '!unspecified'],
  ['64:ff9b::192.168.127.2', '!subnet'],
  ['64:ff9b::192.168.127.254', '!subnet'],
  ['64:ff9b::224.0.0.1', '!multicast'],
  ['0064:ff9b:0000:0000:0000:0000:7f00:0001', '!loopback'],
  ['64:ff9b::1:7f00:1', '64:ff9b::1:7f00:1'], // a longer prefix, and none of the translators'
  // NAT64, for local use: at the offset of each length (RFC 6052 §2.2).
  ['64:ff9b:1::8.8.8.8', '64:ff9b:1::808:808'],
  ['64:ff9b:1::127.0.0.1', '!loopback'],
  ['64:ff9b:1::a9fe:a9fe', '!link-local'],
  ['64:ff9b:1:7f00:0:100::', '!loopback'],
  ['64:ff9b:1:a9fe:a9:fe00::', '!link-local'],
  ['64:ff9b:1:7f00:0:100:dead:beef', '!loopback'],
  ['64:ff9b:1:ab7f:0:1::', '!loopback'],
  ['64:ff9b:1:aba9:fe:a9fe::', '!link-local'],
  ['64:ff9b:1:abcd:7f:0:100:0', '!loopback'],
  ['64:ff9b:1:abcd:a9:fea9:fe00::', '!link-local'],
  ['64:ff9b:1:abcd:a8:3f81:1000::', '!metadata'],
  ['64:ff9b:1:abcd:0:0:6464:64c8', '!metadata'],
  ['64:ff9b:1:abcd:8:808:800:0', '64:ff9b:1:abcd:8:808:800:0'],
  ['64:ff9b:2::127.0.0.1', '64:ff9b:2::7f00:1'],
  // 6to4.
  ['2002:808:808::1', '2002:808:808::1'],
  ['2002:7f00:1::', '!loopback'],
  ['2002:7f00:1:1::1', '!loopback'],
  ['2002:a9fe:a9fe::1', '!link-local'],
  ['2002:a83f:8110::', '!metadata'],
  ['2002:c0a8:7f02::1', '!subnet'],
  // Teredo: the server, and the client with its bits inverted.
  ['2001:0:808:808:0:0:f7f7:f7f7', '2001:0:808:808::f7f7:f7f7'],
  ['2001:0:7f00:1:0:0:f7f7:f7f7', '!loopback'],
  ['2001:0:808:808:0:0:80ff:fffe', '!loopback'],
  ['2001:0:808:808:8000:63bf:5601:5601', '!link-local'],
  ['2001:1::1', '2001:1::1'],
  // ISATAP, in any prefix.
  ['2001:db8::5efe:8.8.8.8', '2001:db8::5efe:808:808'],
  ['2001:db8::5efe:127.0.0.1', '!loopback'],
  ['2001:db8::200:5efe:127.0.0.1', '!loopback'],
  ['2001:db8::200:5efe:a9fe:a9fe', '!link-local'],
  ['2001:db8::300:5efe:100.100.100.200', '!metadata'],
  ['2001:db8::400:5efe:127.0.0.1', '2001:db8::400:5efe:7f00:1'],
  ['2002:808:808::5efe:7f00:1', '!loopback'],
  ['64:ff9b:1::5efe:7f00:1', '!loopback'],
];

const decideOf =
  (destinations: Destinations, owner = testGuest()) =>
  (text: string, protocol: DestinationProtocol = 'tcp', port = 80): string => {
    const words = new Int32Array(4);
    setWords(words, ip(text));
    return textOf(destinations.decide(owner, protocol, words, 0, port));
  };

function textOf(to: Destination): string {
  switch (to.kind) {
    case 'gateway':
    case 'dns':
      return to.kind;
    case 'refused':
      return `!${to.why}`;
    case 'outside':
    case 'host-loopback':
      return to.address;
  }
}

describe('proxy/flows/destinations: the host by its own address', () => {
  const six = { subnet6, gateway6: ip('fd12:3456::1'), host6: ip('fd12:3456::fe') };

  it("leads there by the host's address for guests, and not to the loopback", () => {
    const addresses = addressMap(six);
    addresses.leadHostTo({ ipv4: ip('198.51.100.7'), ipv6: undefined });
    const isOwnListener = (address: string, port: number): boolean =>
      address === '198.51.100.7' && port === 22;
    const decide = decideOf(
      new Destinations({ addresses, isOwnListener, refusals: new Counters() }),
    );
    assert.equal(decide('192.168.127.254'), '198.51.100.7');
    assert.equal(decide('192.168.127.254', 'udp'), '198.51.100.7');
    assert.equal(decide('192.168.127.254', 'tcp', 22), '!own-listener');
    assert.equal(decide('fd12:3456::fe'), '!host', 'the host has no IPv6');
    assert.equal(decide('1.2.3.4'), '1.2.3.4');
  });
});

describe('proxy/flows/destinations: connections through a tunnel', () => {
  it('are those of TCP that it has a way for, before an upstream proxy', () => {
    const via = {
      waitsForGuest: false,
      proxy: 'unix:/t',
      connect: () => assert.fail('not dialled here'),
    } as const;
    const tunnels = {
      viaTo: (address: IpAddress, port: number) =>
        address.equals(ip('10.1.2.3')) && port === 80 ? via : undefined,
    };
    const current = { choose: () => undefined };
    const destinations = new Destinations({
      addresses: addressMap(),
      isOwnListener: () => false,
      refusals: new Counters(),
      proxies: { current, tunnels },
    });
    const words = new Int32Array(4);
    const decide = (text: string, protocol: DestinationProtocol, port: number): Destination => {
      setWords(words, ip(text));
      return destinations.decide(testGuest(), protocol, words, 0, port);
    };
    const to = decide('10.1.2.3', 'tcp', 80);
    assert.equal(to.kind === 'outside' && to.via, via);
    assert.equal(decide('10.1.2.3', 'udp', 80).kind, 'refused');
    assert.equal(decide('10.1.2.3', 'tcp', 81).kind, 'refused');
    assert.equal(decide('10.1.2.4', 'tcp', 80).kind, 'refused');
  });
});

describe('proxy/flows/destinations', () => {
  const own = (address: string, port: number): boolean =>
    port === 7777 && (address === '127.0.0.1' || address === '10.0.0.5');
  const make = (allowMetadata = false, onBlock?: (block: Block) => void) => {
    const refusals = new Counters<string>();
    const addresses = addressMap({ ...six, allowMetadata });
    const deps = { addresses, isOwnListener: own, refusals };
    const destinations = new Destinations(onBlock === undefined ? deps : { ...deps, onBlock });
    return { refusals, destinations, decide: decideOf(destinations) };
  };

  describe("the host's own addresses, where they are closed", () => {
    const HOST = ['10.0.0.5', '2001:db8::5', 'fd00::5'];
    const destinations = new Destinations({
      addresses: addressMap(six),
      isOwnListener: own,
      refusals: new Counters<string>(),
      isClosedHost: (address) => HOST.includes(address),
    });
    const decide = decideOf(destinations);
    const closed = ['192.168.127.254', 'fd12:3456::fe', ...HOST, '::ffff:10.0.0.5'];
    const carried = ['64:ff9b::10.0.0.5', '2002:a00:5::1', '2001:db8:1::5efe:10.0.0.5'];
    for (const address of [...closed, ...carried]) {
      for (const protocol of ['tcp', 'udp', 'icmp'] as const) {
        it(`${protocol} to ${address} is refused`, () =>
          assert.equal(decide(address, protocol), '!host'));
      }
    }

    it('all else is as open as before, with the gateway', () => {
      for (const address of ['10.0.0.6', '2001:db8::6', '64:ff9b::808:808']) {
        assert.equal(decide(address), address);
      }
      assert.equal(decide('192.168.127.1'), 'gateway');
    });
  });

  for (const [text, to] of TABLE) {
    it(`${text} leads to ${to}`, () => {
      const { decide } = make();
      for (const protocol of ['tcp', 'udp', 'icmp'] as const) {
        assert.equal(decide(text, protocol), to, protocol);
      }
    });
  }

  it('metadata is open where the option says so, and the loopback stays closed in every form', () => {
    const { decide } = make(true);
    for (const [text, to] of TABLE) {
      const isMetadata = to === '!metadata' || (to === '!link-local' && !text.startsWith('fe80'));
      assert.equal(decide(text).startsWith('!'), to.startsWith('!') && !isMetadata, text);
    }
    assert.equal(decide('169.254.169.254'), '169.254.169.254');
    assert.equal(decide('fe80::1'), '!link-local');
  });

  it("refuses hawser's own listeners, through the loopback and from outside, by TCP alone", () => {
    const { decide } = make();
    assert.equal(decide('192.168.127.254', 'tcp', 7777), '!own-listener');
    assert.equal(decide('10.0.0.5', 'tcp', 7777), '!own-listener');
    assert.equal(decide('192.168.127.254', 'tcp', 7778), '127.0.0.1');
    assert.equal(decide('192.168.127.254', 'udp', 7777), '127.0.0.1');
  });

  it("the host's loopback has the other family's as its twin, unless hawser itself listens there", () => {
    const { destinations } = make();
    const twinAt = (text: string, protocol: DestinationProtocol, port: number): unknown => {
      const words = new Int32Array(4);
      setWords(words, ip(text));
      const to = destinations.decide(testGuest(), protocol, words, 0, port);
      return to.kind === 'host-loopback' ? to.twin : to.kind;
    };
    assert.equal(twinAt('192.168.127.254', 'tcp', 80), '::1');
    assert.equal(twinAt('fd12:3456::fe', 'tcp', 80), '127.0.0.1');
    assert.equal(twinAt('fd12:3456::fe', 'tcp', 7777), undefined);
    assert.equal(twinAt('fd12:3456::fe', 'udp', 7777), '127.0.0.1');
    assert.equal(twinAt('192.168.127.254', 'tcp', 7777), 'refused');
  });

  const NAT64: readonly (readonly [string, string, string])[] = [
    // what a guest asks for; where it goes by a host with IPv4, and by one whose network translates
    ['64:ff9b::8.8.8.8', '8.8.8.8', '2001:db8:64::808:808'],
    ['64:ff9b::10.0.0.1', '!not-global', '!not-global'],
    ['64:ff9b::100.64.0.1', '!not-global', '!not-global'],
    ['64:ff9b::198.18.0.1', '!not-global', '!not-global'],
    ['64:ff9b::127.0.0.1', '!loopback', '!loopback'],
    ['64:ff9b::169.254.169.254', '!link-local', '!link-local'],
    ['64:ff9b::168.63.129.16', '!metadata', '!metadata'],
    ['64:ff9b::192.168.127.2', '!subnet', '!subnet'],
    ['64:ff9b:1::10.0.0.1', '10.0.0.1', '10.0.0.1'],
    ['64:ff9b:1::8.8.8.8', '8.8.8.8', '2001:db8:64::808:808'],
    ['64:ff9b:1::127.0.0.1', '!loopback', '!loopback'],
    ['64:ff9b:1::192.168.127.254', '!subnet', '!subnet'],
    ['64:ff9b:1::100.100.100.200', '!metadata', '!metadata'],
    ['64:ff9b:2::8.8.8.8', '64:ff9b:2::808:808', '64:ff9b:2::808:808'],
    ['8.8.8.8', '8.8.8.8', '2001:db8:64::808:808'],
    ['10.0.0.1', '10.0.0.1', '10.0.0.1'],
    ['192.168.127.254', '127.0.0.1', '127.0.0.1'],
    ['2001:db8::1', '2001:db8::1', '2001:db8::1'],
    ['2001:db8:64::8.8.8.8', '2001:db8:64::808:808', '2001:db8:64::808:808'],
    ['2001:db8:64::127.0.0.1', '2001:db8:64::7f00:1', '!loopback'],
    ['2001:db8:64::169.254.169.254', '2001:db8:64::a9fe:a9fe', '!link-local'],
  ];
  for (const [text, to, toBehindNat64] of NAT64) {
    it(`with NAT64, ${text} leads to ${to}, or ${toBehindNat64} where the host has IPv6 only`, () => {
      const translation = new Translation();
      const addresses = addressMap({ ...six, translation });
      const refusals = new Counters<string>();
      const decide = decideOf(new Destinations({ addresses, isOwnListener: own, refusals }));
      for (const protocol of ['tcp', 'udp', 'icmp'] as const) {
        translation.set({ isOn: true, isForPrivate: true, hostPrefix: undefined });
        assert.equal(decide(text, protocol), to);
        const hostPrefix = { address: ip('2001:db8:64::'), bits: 96 } as const;
        translation.set({ isOn: true, isForPrivate: true, hostPrefix });
        assert.equal(decide(text, protocol), toBehindNat64);
      }
    });
  }

  it("a host prefix of any length is decided on by the IPv4 inside, at that length's offset", () => {
    for (const bits of NAT64_BITS) {
      const hostPrefix = { address: ip('2001:db8::'), bits };
      const translation = new Translation({ isOn: false, isForPrivate: false, hostPrefix });
      const addresses = addressMap({ ...six, translation });
      const refusals = new Counters<string>();
      const isClosedHost = (address: string): boolean => address === '9.9.9.9';
      const deps = { addresses, isOwnListener: own, refusals };
      const decide = decideOf(new Destinations(deps));
      const closed = decideOf(new Destinations({ ...deps, isClosedHost }));
      const carrying = (text: string): string => embedIpv4(hostPrefix, ip(text).d).toString();
      assert.equal(decide(carrying('169.254.169.254')), '!link-local', `${bits}`);
      assert.equal(decide(carrying('8.8.8.8')), carrying('8.8.8.8'));
      assert.equal(decide('8.8.8.8'), carrying('8.8.8.8'));
      assert.equal(closed(carrying('9.9.9.9')), '!host');
      assert.equal(closed('9.9.9.9'), '!host');
      assert.equal(closed('8.8.8.8'), carrying('8.8.8.8'));
    }
  });

  it('NAT64 for private networks by its option alone', () => {
    const translation = new Translation({ isOn: true, isForPrivate: false, hostPrefix: undefined });
    const addresses = addressMap({ ...six, translation });
    const refusals = new Counters<string>();
    const decide = decideOf(new Destinations({ addresses, isOwnListener: own, refusals }));
    assert.equal(decide('64:ff9b:1::10.0.0.1'), '64:ff9b:1::a00:1');
  });

  it('counts refusals, for all and for the guest, and shows them, but for those of multicasts', () => {
    const blocks: string[] = [];
    const { refusals, destinations } = make(false, ({ owner, protocol, remote, port, why }) => {
      blocks.push(`${owner.id === one.id ? 'one' : 'other'} ${protocol} ${remote} ${port} ${why}`);
    });
    const [one, other] = [testGuest(), testGuest()];
    decideOf(destinations, one)('169.254.169.254');
    decideOf(destinations, one)('224.0.0.251', 'udp', 5353);
    decideOf(destinations, other)('64:ff9b::127.0.0.1', 'icmp', 0);
    assert.deepEqual(blocks, [
      'one tcp 169.254.169.254 80 link-local',
      'other icmp 64:ff9b::7f00:1 0 loopback',
    ]);
    assert.deepEqual(one.refusals.snapshot(), { 'tcp-link-local': 1, 'udp-multicast': 1 });
    assert.deepEqual(other.refusals.snapshot(), { 'icmp-loopback': 1 });
    assert.equal(refusals.get('tcp-link-local'), 1);
  });

  const TARGETS: readonly (readonly [string, boolean])[] = [
    ['127.0.0.1', true],
    ['127.0.0.53', true],
    ['::1', true],
    ['10.1.2.3', true],
    ['240.0.0.1', true],
    ['192.168.127.2', true],
    ['2001:db8::1', true],
    ['169.254.169.254', false],
    ['168.63.129.16', false],
    ['100.100.100.200', false],
    ['fd00:ec2::254', false],
    ['fe80::1', false],
    ['::ffff:169.254.169.254', false],
    ['::127.0.0.1', false],
    ['::ffff:0:127.0.0.1', false],
    ['64:ff9b::127.0.0.1', false],
    ['64:ff9b::a9fe:a9fe', false],
    ['2002:7f00:1::', false],
    ['2001:db8::5efe:a9fe:a9fe', false],
  ];
  for (const [text, open] of TARGETS) {
    it(`a rule for targets of the multiplexer ${open ? 'opens' : 'does not open'} ${text}`, () => {
      const { destinations } = make();
      for (const protocol of ['tcp', 'udp'] as const) {
        assert.equal(destinations.opensTarget(testGuest(), protocol, ip(text), 80, 'mux'), open);
      }
    });
  }

  it("no rule opens hawser's own listeners, and metadata only the option", () => {
    assert.equal(
      make().destinations.opensTarget(testGuest(), 'tcp', ip('127.0.0.1'), 7777, 'mux'),
      false,
    );
    assert.equal(
      make().destinations.opensTarget(testGuest(), 'udp', ip('127.0.0.1'), 7777, 'mux'),
      true,
    );
    const { destinations } = make(true);
    assert.ok(destinations.opensTarget(testGuest(), 'tcp', ip('169.254.169.254'), 80, 'mux'));
  });
});
