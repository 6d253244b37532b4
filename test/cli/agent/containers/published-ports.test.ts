import assert from 'node:assert/strict';
import fc from 'fast-check';
import { publishedPorts } from '../../../../src/cli/agent/containers/published-ports.ts';

const MAX = 100;

const bound = (ip: string, port: number, type = 'tcp'): object => ({
  IP: ip,
  PrivatePort: 80,
  PublicPort: port,
  Type: type,
});
const shown = (ports: readonly object[], labels: object = {}, max = MAX): string[] =>
  [...publishedPorts([{ Labels: labels, Ports: ports }], max).ports.values()].map(
    ({ protocol, hostAddress, hostPort, guestAddress, guestPort }) =>
      `${protocol} ${hostAddress} ${hostPort} -> ${guestAddress} ${guestPort}`,
  );

const ADDRESSES: readonly [string, readonly object[], readonly string[]][] = [
  ['0.0.0.0', [bound('0.0.0.0', 8080)], ['tcp 127.0.0.1 8080 -> 127.0.0.1 8080']],
  ['no address (Podman)', [bound('', 8080)], ['tcp 127.0.0.1 8080 -> 127.0.0.1 8080']],
  ['127.0.0.1', [bound('127.0.0.1', 8080)], ['tcp 127.0.0.1 8080 -> 127.0.0.1 8080']],
  ['127.0.0.2', [bound('127.0.0.2', 8080)], ['tcp 127.0.0.2 8080 -> 127.0.0.2 8080']],
  ['192.0.2.1', [bound('192.0.2.1', 8080)], ['tcp 127.0.0.1 8080 -> 192.0.2.1 8080']],
  [
    'both families: IPv4 is dialled for both',
    [bound('0.0.0.0', 8080), bound('::', 8080)],
    ['tcp 127.0.0.1 8080 -> 127.0.0.1 8080', 'tcp ::1 8080 -> 127.0.0.1 8080'],
  ],
  [':: alone', [bound('::', 8080)], ['tcp ::1 8080 -> ::1 8080']],
  ['2001:db8::1', [bound('2001:db8::1', 8080)], ['tcp ::1 8080 -> 2001:db8::1 8080']],
  ['UDP', [bound('0.0.0.0', 53, 'udp')], ['udp 127.0.0.1 53 -> 127.0.0.1 53']],
];

const LEFT_OUT: readonly [string, object][] = [
  ['exposed, not published', { PrivatePort: 80, Type: 'tcp' }],
  ['SCTP', bound('0.0.0.0', 80, 'sctp')],
  ['port 0', bound('0.0.0.0', 0)],
  ['port 65536', bound('0.0.0.0', 65_536)],
  ['a name as address', bound('web\n', 80)],
];

describe('agent: published ports of containers', () => {
  for (const [name, ports, expected] of ADDRESSES) {
    it(name, () => assert.deepEqual(shown(ports), expected));
  }
  for (const [name, port] of LEFT_OUT) {
    it(`left out: ${name}`, () => assert.deepEqual(shown([port]), []));
  }

  it('labels rename ports, or leave them or the container out', () => {
    const ports = [bound('0.0.0.0', 8080), bound('0.0.0.0', 8081)];
    const labels = { 'hawser.port.8080': '9090', 'hawser.port.8081': 'no' };
    assert.deepEqual(shown(ports, labels), ['tcp 127.0.0.1 9090 -> 127.0.0.1 8080']);
    assert.deepEqual(shown(ports, { 'hawser.publish': 'no' }), []);
    const bad = { 'hawser.port.8080': '70000' };
    assert.deepEqual(shown(ports.slice(0, 1), bad), ['tcp 127.0.0.1 8080 -> 127.0.0.1 8080']);
  });

  it('of two for one port of the host the first has it', () => {
    const two = publishedPorts(
      [
        { Ports: [bound('127.0.0.1', 8080)] },
        { Labels: { 'hawser.port.81': '8080' }, Ports: [bound('0.0.0.0', 81)] },
      ],
      MAX,
    );
    assert.deepEqual(
      [...two.ports.values()].map(({ guestPort }) => guestPort),
      [8080],
    );
  });

  it('no more than the cap', () => {
    const many = Array.from({ length: 20 }, (_, i) => bound('0.0.0.0', 8000 + i));
    assert.equal(shown(many, {}, 10).length, 10);
    const { ports, leftOut } = publishedPorts([{ Ports: many }, { Ports: many }], 7);
    assert.deepEqual([ports.size, leftOut], [7, 13]);
  });

  it('whatever the list is, it is read', () => {
    fc.assert(fc.property(fc.jsonValue(), (list) => publishedPorts(list, MAX).ports.size <= MAX));
  });
});
