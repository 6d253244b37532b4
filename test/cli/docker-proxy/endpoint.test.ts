import assert from 'node:assert/strict';
import {
  defaultRoutes,
  describeEndpoint,
  EndpointError,
  parseEndpoint,
} from '../../../src/cli/docker-proxy/endpoint.ts';

const HEAD =
  'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                 \n';
const ROUTES = [
  'docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0      ',
  'eth1\t00000000\t0102A8C0\t0003\t0\t0\t200\t00000000\t0\t0\t0      ',
  'eth0\t00000000\t017FA8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0      ',
  'eth2\t00000000\t0103A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0      ',
  'tun0\t00000000\t00000000\t0001\t0\t0\t1\t00000000\t0\t0\t0      ',
  'eth0\t007FA8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0      ',
];

describe('docker-proxy: the default route', () => {
  it('the lowest metric first; only those that are up and have a gateway', () => {
    assert.deepEqual(defaultRoutes(`${HEAD}${ROUTES.join('\n')}\n`, true), [
      { interface: 'eth0', gateway: '192.168.127.1' },
      { interface: 'eth1', gateway: '192.168.2.1' },
    ]);
  });
  it('big-endian kernels print the bytes the other way round', () => {
    const line = 'eth0\t00000000\tC0A87F01\t0003\t0\t0\t0\t00000000\t0\t0\t0\n';
    assert.deepEqual(defaultRoutes(HEAD + line, false), [
      { interface: 'eth0', gateway: '192.168.127.1' },
    ]);
  });
  it('none', () => {
    assert.deepEqual(defaultRoutes(HEAD, true), []);
    assert.deepEqual(defaultRoutes('', true), []);
  });
});

describe('docker-proxy: the control address', () => {
  const common = { carrier: 'net', token: undefined } as const;
  for (const [text, endpoint, shown] of [
    ['/run/c.sock', { ...common, kind: 'unix', path: '/run/c.sock' }, '/run/c.sock'],
    ['unix:/run/c.sock', { ...common, kind: 'unix', path: '/run/c.sock' }, '/run/c.sock'],
    ['unix:///run/c.sock', { ...common, kind: 'unix', path: '/run/c.sock' }, '/run/c.sock'],
    [
      'agent:/run/a.sock',
      { kind: 'unix', path: '/run/a.sock', carrier: 'mux', token: undefined },
      '/run/a.sock',
    ],
    [
      'http://192.168.127.1',
      { ...common, kind: 'tcp', host: '192.168.127.1', port: 80 },
      'http://192.168.127.1/',
    ],
    [
      'http://[fd00::1]:81/',
      { ...common, kind: 'tcp', host: 'fd00::1', port: 81 },
      'http://[fd00::1]:81/',
    ],
  ] as const) {
    it(text, () => {
      assert.deepEqual(parseEndpoint(text, undefined), endpoint);
      assert.equal(describeEndpoint(parseEndpoint(text, undefined)), shown);
    });
  }
  const relative = ['c.sock', 'unix:@abstract', 'agent:@abstract', 'agent:a.sock'];
  for (const text of ['', ...relative, 'https://a/', 'http://a/b', 'tcp:1.2.3.4:80']) {
    it(`refused: "${text}"`, () => {
      assert.throws(() => parseEndpoint(text, undefined), EndpointError);
    });
  }
  it('a token that cannot be read is an error', () => {
    assert.throws(() => parseEndpoint('http://1.2.3.4', '/nonexistent/token'), EndpointError);
  });
});
