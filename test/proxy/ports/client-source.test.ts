import assert from 'node:assert/strict';
import { clientSource, SOURCE_TRIES, sourcePort } from '../../../src/proxy/ports/client-source.ts';
import { addressMap, SIX } from '../recording.ts';

const SOURCES: readonly (readonly [string, string])[] = [
  ['127.0.0.1', '192.168.127.254'],
  ['::ffff:127.0.0.1', '192.168.127.254'],
  ['::1', '192.168.127.254'],
  ['203.0.113.9', '203.0.113.9'],
  ['::ffff:203.0.113.9', '203.0.113.9'],
  ['2001:db8::9', '192.168.127.1'],
  ['192.168.127.1', '192.168.127.1'],
  ['192.168.127.77', '192.168.127.1'],
];

const SOURCES6: readonly (readonly [string | undefined, string, boolean?])[] = [
  ['::1', 'fd12:3456::254'],
  ['::1', 'fd12:3456::254', false],
  ['127.0.0.1', 'fd12:3456::254'],
  ['2001:db8::9', '2001:db8::9'],
  ['2001:db8::9', 'fd12:3456::1', false],
  ['203.0.113.9', 'fd12:3456::1'],
  ['fd12:3456::77', 'fd12:3456::1'],
  ['fe80::1%eth0', 'fd12:3456::1'],
  [undefined, 'fd12:3456::254'],
];

describe('proxy/ports/client-source', () => {
  for (const [client, source] of SOURCES) {
    it(`a client ${client} appears to an IPv4 guest as ${source}`, () => {
      assert.equal(`${clientSource(addressMap(), client, 4)}`, source);
    });
  }

  for (const [client, source, hasRoute = true] of SOURCES6) {
    const how = hasRoute ? 'with a default route' : 'without one';
    it(`a client ${client} appears to an IPv6 guest ${how} as ${source}`, () => {
      const addresses = addressMap(SIX);
      addresses.hasRoute6 = hasRoute;
      assert.equal(`${clientSource(addresses, client, 6)}`, source);
    });
  }

  it('with the host address closed, a loopback client appears as the gateway', () => {
    const addresses = addressMap({ host: undefined });
    assert.equal(`${clientSource(addresses, '127.0.0.1', 4)}`, '192.168.127.1');
  });

  it('a client of a Unix socket appears as the host address, and on demand as the gateway', () => {
    assert.equal(`${clientSource(addressMap(), undefined, 4)}`, '192.168.127.254');
    assert.equal(`${clientSource(addressMap(), '203.0.113.9', 4, 'gateway')}`, '192.168.127.1');
  });

  it("tries the client's own port first, then others, all valid and different", () => {
    const ports = Array.from({ length: SOURCE_TRIES }, (_, i) => sourcePort(65_000, i));
    assert.equal(ports[0], 65_000);
    assert.equal(new Set(ports).size, SOURCE_TRIES);
    assert.ok(ports.every((port) => port > 0 && port < 65_536));
  });
});
