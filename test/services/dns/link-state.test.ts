import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseLinkState, routesOfLinks } from '../../../src/services/dns/link-state.ts';

/** As systemd-resolved 252 writes it. */
const RESOLVED = `# This is private data. Do not parse.
LLMNR=yes
MDNS=no
DEFAULT_ROUTE=no
SERVERS=10.1.2.3 10.1.2.4:5353#ns.corp.example [fd00::1]:5353 fe80::7%5
DOMAINS=corp.example ~lab.example ~10.in-addr.arpa
`;
/** As systemd-networkd does. */
const NETWORKD = `# This is private data. Do not parse.
ADMIN_STATE=configured
DNS=192.0.2.1 2001:db8::53
NTP=
DOMAINS=Lan.
ROUTE_DOMAINS=
`;

describe('the state of a link', () => {
  it('of resolved: servers, domains', () => {
    assert.deepEqual(parseLinkState(RESOLVED), {
      servers: [
        { address: '10.1.2.3', port: 53 },
        { address: '10.1.2.4', port: 5353 },
        { address: 'fd00::1', port: 5353 },
        { address: 'fe80::7%5', port: 53 },
      ],
      domains: ['corp.example', 'lab.example', '10.in-addr.arpa'],
      isDefault: false,
    });
  });

  it('of networkd: servers, domains', () => {
    assert.deepEqual(parseLinkState(NETWORKD), {
      servers: [
        { address: '192.0.2.1', port: 53 },
        { address: '2001:db8::53', port: 53 },
      ],
      domains: ['lan'],
      isDefault: true,
    });
    assert.equal(parseLinkState(`${NETWORKD}ROUTE_DOMAINS=a.example\n`).isDefault, false);
    assert.equal(parseLinkState(`${NETWORKD}DNS_DEFAULT_ROUTE=no\n`).isDefault, false);
  });

  it('of every name', () => assert.deepEqual(parseLinkState('DOMAINS=~.').domains, ['']));

  it('never throws, and has a limit', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseLinkState(`SERVERS=${text}\n${text}`)));
    const many = Array.from({ length: 2000 }, (_, i) => `d${i}.example`).join(' ');
    const servers = Array.from({ length: 200 }, (_, i) => `192.0.2.${i}`).join(' ');
    const state = parseLinkState(`DOMAINS=${many}\nSERVERS=${servers}`);
    assert.deepEqual([state.domains.length, state.servers.length], [256, 8]);
  });

  it('gives domains to the servers of their link, and the rest to those that are for it', () => {
    const links = [RESOLVED, NETWORKD].map(parseLinkState);
    const [vpn, lan] = [
      { address: '10.1.2.3', port: 53 },
      { address: '192.0.2.1', port: 53 },
    ];
    const { general, domains } = routesOfLinks(links, [vpn, lan]);
    assert.deepEqual(general, [lan]);
    assert.equal(domains.length, 4 * 3 + 2);
    assert.deepEqual(domains[0], { domain: 'corp.example', upstream: vpn });
    assert.deepEqual(routesOfLinks(links, [vpn]).general, [vpn], 'never none');
    assert.deepEqual(routesOfLinks([], [vpn]), { general: [vpn], domains: [] });
  });
});
