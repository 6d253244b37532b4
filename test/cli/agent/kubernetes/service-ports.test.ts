import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  type PublishedService,
  readNode,
  readService,
  servicePorts,
} from '../../../../src/cli/agent/kubernetes/service-ports.ts';
import { wantedText } from '../../../../src/cli/agent/wanted-port.ts';

interface Facts {
  readonly type?: string;
  readonly families?: readonly string[] | undefined;
  readonly ports?: readonly object[];
  readonly ingress?: readonly object[];
  readonly metadata?: object;
  readonly spec?: object;
}

function service(facts: Facts): object {
  const { type = 'NodePort', families = ['IPv4'], ports = [], ingress, metadata, spec } = facts;
  return {
    metadata: { name: 'web', namespace: 'default', ...metadata },
    spec: { type, ipFamilies: families, ports, ...spec },
    status: { loadBalancer: ingress === undefined ? {} : { ingress } },
  };
}

const WEB = { name: 'http', protocol: 'TCP', port: 80, nodePort: 30_080 };
const NODES = [
  ['10.0.0.9', 'fd00::9'],
  ['10.0.0.1', 'fd00::1'],
];

function portsOf(
  services: readonly object[],
  nodes: readonly (readonly string[])[] = NODES,
  max = 100,
): string[] {
  const read = new Map<string, PublishedService>();
  for (const [i, object] of services.entries()) {
    const one = readService(object);
    if (one !== undefined) read.set(`default/${i}`, one);
  }
  const isOwn = (address: string): boolean => address.endsWith('1');
  return [...servicePorts(read, { nodes, isOwn }, max).ports.values()].map(wantedText);
}

const TABLE: readonly [string, Facts, readonly string[]][] = [
  ['a node port', { ports: [WEB] }, ['127.0.0.1:30080:10.0.0.1:30080/tcp']],
  [
    'both families',
    { families: ['IPv4', 'IPv6'], ports: [WEB] },
    ['127.0.0.1:30080:10.0.0.1:30080/tcp', '[::1]:30080:[fd00::1]:30080/tcp'],
  ],
  ['IPv6 alone', { families: ['IPv6'], ports: [WEB] }, ['[::1]:30080:[fd00::1]:30080/tcp']],
  [
    'of a server that knows one family',
    { families: undefined, spec: { ipFamilies: undefined, clusterIP: 'fd00:1::5' }, ports: [WEB] },
    ['[::1]:30080:[fd00::1]:30080/tcp'],
  ],
  [
    'UDP, and a protocol by default',
    {
      ports: [
        { ...WEB, protocol: 'UDP' },
        { port: 81, nodePort: 30_081 },
      ],
    },
    ['127.0.0.1:30080:10.0.0.1:30080/udp', '127.0.0.1:30081:10.0.0.1:30081/tcp'],
  ],
  ['SCTP is left out', { ports: [{ ...WEB, protocol: 'SCTP' }] }, []],
  [
    'a load balancer with addresses',
    {
      type: 'LoadBalancer',
      families: ['IPv4', 'IPv6'],
      ports: [WEB],
      ingress: [{ ip: '10.0.0.200' }, { ip: 'fd00::200' }],
    },
    ['127.0.0.1:80:10.0.0.200:80/tcp', '[::1]:80:[fd00::200]:80/tcp'],
  ],
  [
    'a load balancer that waits, or has a name alone',
    { type: 'LoadBalancer', ports: [WEB], ingress: [{ hostname: 'lb.example' }] },
    ['127.0.0.1:80:10.0.0.1:30080/tcp'],
  ],
  [
    'a load balancer that waits, without node ports',
    { type: 'LoadBalancer', ports: [{ port: 80 }] },
    [],
  ],
  ['a Service inside the cluster', { type: 'ClusterIP', ports: [WEB] }, []],
  ['left out', { ports: [WEB], metadata: { annotations: { 'hawser.publish': 'no' } } }, []],
  ['left out by a label', { ports: [WEB], metadata: { labels: { 'hawser.publish': 'no' } } }, []],
  [
    'one port left out, by name',
    {
      ports: [WEB, { ...WEB, name: 'admin', port: 81, nodePort: 30_081 }],
      metadata: { annotations: { 'hawser.port.admin': 'no' } },
    },
    ['127.0.0.1:30080:10.0.0.1:30080/tcp'],
  ],
  [
    'renamed by name, by its port and by its node port',
    {
      ports: [
        WEB,
        { ...WEB, name: 'a', port: 81, nodePort: 30_081 },
        { ...WEB, name: 'b', port: 82, nodePort: 30_082 },
      ],
      metadata: {
        annotations: {
          'hawser.port.http': '8080',
          'hawser.port.81': '8081',
          'hawser.port.30082': '8082',
        },
      },
    },
    [
      '127.0.0.1:8080:10.0.0.1:30080/tcp',
      '127.0.0.1:8081:10.0.0.1:30081/tcp',
      '127.0.0.1:8082:10.0.0.1:30082/tcp',
    ],
  ],
  [
    'an annotation goes before a label, and a number that is no port is none',
    {
      ports: [WEB],
      metadata: { labels: { 'hawser.port.80': '1' }, annotations: { 'hawser.port.80': '70000' } },
    },
    ['127.0.0.1:30080:10.0.0.1:30080/tcp'],
  ],
];

describe('agent: ports of Services', () => {
  for (const [what, facts, expected] of TABLE) {
    it(what, () => assert.deepEqual(portsOf([service(facts)]), expected));
  }

  it('without nodes the loopback of IPv4 is dialled', () => {
    const both = service({ families: ['IPv4', 'IPv6'], ports: [WEB] });
    assert.deepEqual(portsOf([both], []), ['127.0.0.1:30080:127.0.0.1:30080/tcp']);
  });

  it('where this machine is no node, the first is dialled', () => {
    assert.deepEqual(portsOf([service({ ports: [WEB] })], [['10.0.0.9']]), [
      '127.0.0.1:30080:10.0.0.9:30080/tcp',
    ]);
  });

  it('of two that want one port the older has it', () => {
    const of = (creationTimestamp: string, ip: string): object =>
      service({
        type: 'LoadBalancer',
        ports: [WEB],
        ingress: [{ ip }],
        metadata: { creationTimestamp },
      });
    const all = [of('2026-02-01T00:00:00Z', '10.0.0.2'), of('2026-01-01T00:00:00Z', '10.0.0.3')];
    assert.deepEqual(portsOf(all), ['127.0.0.1:80:10.0.0.3:80/tcp']);
  });

  it('there is a limit', () => {
    const ports = Array.from({ length: 9 }, (_, i) => ({ port: i + 1, nodePort: 30_000 + i }));
    assert.equal(portsOf([service({ ports })], NODES, 5).length, 5);
  });

  it('never throws on what is no Service and no node', () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), (one, other) => {
        for (const spec of [one, { type: 'NodePort', ports: one, ipFamilies: other }]) {
          portsOf([{ metadata: other, spec, status: { loadBalancer: one } }]);
        }
        readNode({ status: { addresses: one } });
      }),
    );
  });
});
