import assert from 'node:assert/strict';
import type { Outside } from '../../../src/proxy/flows/destination.ts';
import { GuestNames } from '../../../src/proxy/flows/guest-names.ts';
import type { ProxyQuestion } from '../../../src/proxy/flows/proxied-destinations.ts';
import { HostLookup } from '../../../src/proxy/host-lookup.ts';
import { ProxiedFlows } from '../../../src/proxy/upstream-proxy/proxied-flows.ts';
import { ProxiedRoute } from '../../../src/proxy/upstream-proxy/proxied-route.ts';
import type { RelayedDatagrams } from '../../../src/proxy/upstream-proxy/relayed-datagrams.ts';
import type { RouteStep } from '../../../src/proxy/upstream-proxy/route-step.ts';
import type { Claim } from '../../../src/services/sniff/reader.ts';
import { NoProxy } from '../../../src/services/upstream-proxy/no-proxy.ts';
import { NO_RULES, type ProxyRules } from '../../../src/services/upstream-proxy/proxy-rules.ts';
import { parseProxyServer } from '../../../src/services/upstream-proxy/proxy-server.ts';
import { ip, OWNER, TestClock } from '../recording.ts';

const HTTP = parseProxyServer('http://proxy.test:3128');
const SOCKS = parseProxyServer('socks5://proxy.test:1080');
const OF_HTTP: ProxyRules = { ...NO_RULES, http: HTTP, https: HTTP };
const OF_SOCKS: ProxyRules = { ...NO_RULES, http: SOCKS, https: SOCKS, other: SOCKS };
const ADDRESS = '192.0.2.1';
const DENY = 'default: deny';

class Names extends GuestNames {
  known: readonly string[] = [];
  override all(): readonly string[] {
    return this.known;
  }
  override find(): string | undefined {
    return this.known.at(-1);
  }
}

describe('proxy/upstream-proxy: which flows go through a proxy', () => {
  let names: Names;
  let denied: string[];
  beforeEach(() => {
    names = new Names();
    denied = [];
  });

  const flowsOf = (rules: ProxyRules): ProxiedFlows =>
    new ProxiedFlows(
      {
        ...{ clock: new TestClock(), names, dial: { names: new HostLookup(), options: {} } },
        ...{ isHost: (address: string) => address === '198.51.100.1', onFailed: () => {} },
        relays: {} as RelayedDatagrams,
      },
      rules,
    );
  const question = (changes: Partial<ProxyQuestion> = {}, address = ADDRESS): ProxyQuestion => ({
    ...{ owner: OWNER, protocol: 'tcp', remote: ip(address), port: 443 },
    to: { kind: 'outside', address, isTranslated: false },
    onDenied: (why) => denied.push(why),
    ...changes,
  });
  const wayOf = (
    rules: ProxyRules,
    changes: Partial<ProxyQuestion> = {},
    address = ADDRESS,
  ): string => {
    const chosen: Outside | undefined = flowsOf(rules).choose(question(changes, address));
    if (chosen === undefined) return 'refused';
    if (chosen.relay !== undefined) return 'relayed';
    if (chosen.via === undefined) return 'direct';
    return chosen.via.waitsForGuest ? 'waits' : 'asks';
  };

  const excluding = (rules: ProxyRules, ...entries: readonly string[]): ProxyRules => ({
    ...rules,
    exclude: new NoProxy(entries),
  });
  const rows: readonly (readonly [
    what: string,
    rules: ProxyRules,
    way: string,
    changes?: Partial<ProxyQuestion>,
    address?: string,
  ])[] = [
    ['https by HTTP', OF_HTTP, 'waits'],
    ['http by HTTP', OF_HTTP, 'waits', { port: 80 }],
    ['another port by HTTP', OF_HTTP, 'direct', { port: 22 }],
    ['another port by SOCKS', OF_SOCKS, 'asks', { port: 22 }],
    ['QUIC by HTTP', OF_HTTP, 'refused', { protocol: 'udp' }],
    ['other datagrams by HTTP', OF_HTTP, 'direct', { protocol: 'udp', port: 53 }],
    ['datagrams by SOCKS', OF_SOCKS, 'relayed', { protocol: 'udp' }],
    ['a ping', OF_SOCKS, 'direct', { protocol: 'icmp', port: 0 }],
    ['an excluded network', excluding(OF_SOCKS, '192.0.2.0/24'), 'direct'],
    ['an excluded network of another port', excluding(OF_SOCKS, '192.0.2.0/24:80'), 'waits'],
    ['the host itself', OF_SOCKS, 'direct', {}, '198.51.100.1'],
    [
      'a synthetic address that stands for nothing',
      { ...OF_SOCKS, resolvesNames: true },
      'refused',
      {},
      '198.19.0.9',
    ],
    [
      'a ping there',
      { ...OF_HTTP, resolvesNames: true },
      'refused',
      { protocol: 'icmp', port: 0 },
      '198.19.0.9',
    ],
    ['that address where the host resolves names', OF_SOCKS, 'waits', {}, '198.19.0.9'],
  ];
  for (const [what, rules, way, changes, address] of rows) {
    it(`${what}: ${way}`, () => assert.equal(wayOf(rules, changes, address), way));
  }

  it('a proxy of an address is not asked for itself', () => {
    const at = parseProxyServer(`socks5://${ADDRESS}:443`);
    assert.equal(wayOf({ ...OF_SOCKS, http: at, https: at, other: at }), 'direct');
  });

  it('a name that is excluded goes by itself, as far as it is known before', () => {
    names.known = ['a.test'];
    const rules = excluding(OF_SOCKS, 'a.test');
    assert.equal(wayOf(rules, { port: 22 }), 'direct');
    assert.equal(wayOf(rules, { protocol: 'udp' }), 'direct');
    assert.equal(wayOf(excluding(OF_HTTP, 'a.test'), { protocol: 'udp' }), 'direct');
    assert.equal(wayOf(rules), 'waits');
  });

  it('a synthetic address goes by its name, on any port', () => {
    const flows = flowsOf({ ...OF_HTTP, resolvesNames: true });
    const address = flows.synthetic.addressOf(0, OWNER, 'a.test');
    const to = { kind: 'outside', address: `${address}`, isTranslated: false } as const;
    assert.ok(address !== undefined);
    const chosen = flows.choose(question({ remote: address, to, port: 22 }));
    assert.ok(chosen?.via instanceof ProxiedRoute);
    assert.deepEqual(chosen.via.stepFor(undefined), {
      ...{ kind: 'proxy', server: HTTP, target: { host: 'a.test', port: 22 } },
    });
    assert.equal(flows.choose(question({ remote: address, to, protocol: 'udp' })), undefined);
  });

  const stepOf = (
    rules: ProxyRules,
    claim: Claim | undefined,
    changes: Partial<ProxyQuestion> = {},
  ): string => {
    const chosen = flowsOf(rules).choose(question(changes));
    assert.ok(chosen?.via instanceof ProxiedRoute);
    const step: RouteStep = chosen.via.stepFor(claim);
    if (step.kind === 'proxy') return step.target.host;
    return step.kind === 'direct' ? `direct ${step.address}` : step.kind;
  };
  const tls = (name: string | undefined, hasEch = false): Claim => ({
    ...{ by: 'tls', name },
    hello: { serverName: name, alpn: [], hasEch, hasEarlyData: false },
  });
  const objecting = (...allowed: readonly string[]): Partial<ProxyQuestion> => ({
    objectionTo: (name) => (allowed.includes(name) ? undefined : DENY),
  });

  it('by the name that is stated, an address as it is written', () => {
    assert.equal(stepOf(OF_HTTP, tls('a.test')), 'a.test');
    assert.equal(
      stepOf(OF_HTTP, { by: 'http', name: '[2001:db8::1]', hello: undefined }),
      '2001:db8::1',
    );
  });

  it('without a name by address, or directly where the rule says so', () => {
    for (const claim of [undefined, tls(undefined)]) {
      assert.equal(stepOf(OF_HTTP, claim), ADDRESS);
      assert.equal(stepOf({ ...OF_HTTP, unnamed: 'direct' }, claim), `direct ${ADDRESS}`);
    }
    names.known = ['a.test'];
    assert.equal(stepOf(excluding(OF_HTTP, 'a.test'), undefined), `direct ${ADDRESS}`);
  });

  it('with ECH by address, unless the guest has asked for the name that is seen', () => {
    assert.equal(stepOf(OF_HTTP, tls('front.test', true)), ADDRESS);
    names.known = ['front.test'];
    assert.equal(stepOf(OF_HTTP, tls('front.test', true)), 'front.test');
  });

  it('with ECH directly where the name that is seen is excluded, or what names nobody goes so', () => {
    const claim = tls('front.test', true);
    assert.equal(stepOf(excluding(OF_HTTP, 'front.test'), claim), `direct ${ADDRESS}`);
    assert.equal(stepOf({ ...OF_HTTP, unnamed: 'direct' }, claim), `direct ${ADDRESS}`);
    assert.equal(stepOf(excluding(OF_HTTP, 'front.test'), claim, objecting()), 'denied');
  });

  it('directly to a name that is excluded', () => {
    assert.equal(stepOf(excluding(OF_HTTP, '*.test'), tls('a.test')), `direct ${ADDRESS}`);
  });

  it('under a policy by a name only that the guest has found the address by, and never by one that is denied', () => {
    assert.equal(stepOf(OF_HTTP, tls('a.test'), objecting('a.test')), ADDRESS);
    names.known = ['a.test'];
    assert.equal(stepOf(OF_HTTP, tls('a.test'), objecting('a.test')), 'a.test');
    assert.equal(stepOf(OF_HTTP, tls('b.test'), objecting('a.test', 'b.test')), ADDRESS);
    assert.deepEqual(denied, []);
    assert.equal(stepOf(OF_HTTP, tls('b.test'), objecting('a.test')), 'denied');
    assert.deepEqual(denied, [DENY]);
  });
});
