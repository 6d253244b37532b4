import assert from 'node:assert/strict';
import type { DaemonConfig } from '../../../../src/cli/daemon-config.ts';
import { parseUsernetArguments } from '../../../../src/cli/drop-ins/usernet/usernet-arguments.ts';
import { usernetConfig } from '../../../../src/cli/drop-ins/usernet/usernet-config.ts';

const PLACE = { env: {}, uid: 1000, exists: () => true };
const DIR = '/l/_networks/user-v2';
const LIMA = [
  ...['-p', `${DIR}/usernet_user-v2.pid`, '-e', `${DIR}/user-v2_ep.sock`],
  ...['--listen-qemu', `${DIR}/user-v2_qemu.sock`, '--listen', `${DIR}/user-v2_fd.sock`],
  ...['--subnet', '192.168.104.0/24'],
];

const configOf = (...argv: string[]): DaemonConfig => {
  const given = parseUsernetArguments(argv);
  assert.ok(given !== undefined);
  return usernetConfig(given, PLACE);
};

describe('the configuration for limactl usernet', () => {
  it('the gateway is the second address, and the loopback of the host; machines come by two sockets, the last one last', () => {
    const config = configOf(...LIMA);
    assert.equal(config.name, 'user-v2');
    assert.equal(config.subnet, '192.168.104.0/24');
    assert.equal(config.gateway, '192.168.104.2');
    assert.equal(config.hostIp, '192.168.104.2');
    assert.equal(config.mtu, 1500);
    assert.deepEqual(config.listen, [
      `qemu:${DIR}/user-v2_qemu.sock`,
      `fd-socket:${DIR}/user-v2_fd.sock`,
    ]);
    assert.equal(config.pidFile, `${DIR}/usernet_user-v2.pid`);
    assert.deepEqual(config.api, { kind: 'none' });
    assert.deepEqual(config.sandboxAllow, [DIR]);
    assert.equal(config.guestApi.enabled, false);
  });

  const leases: readonly [string, string, readonly string[]][] = [
    ['those of machines', '192.168.104.1=52:55:55:B3:BC:D9', ['52:55:55:b3:bc:d9=192.168.104.1']],
    ['not the gateway’s', '192.168.104.2=5a:94:ef:e4:0c:dd', []],
    ['not those of another subnet', '192.168.5.9=52:55:55:b3:bc:d9,x=52:55:55:b3:bc:d8', []],
    [
      'a machine keeps one',
      '192.168.104.1=52:55:55:b3:bc:d9,192.168.104.7=52:55:55:b3:bc:d9',
      ['52:55:55:b3:bc:d9=192.168.104.1'],
    ],
  ];
  for (const [what, text, expected] of leases) {
    it(`leases that are kept: ${what}`, () => {
      const { leases: kept } = configOf(...LIMA, '--leases', text);
      assert.deepEqual(
        kept.static.map(({ mac, address }) => `${mac}=${address}`),
        expected,
      );
    });
  }

  const refused: readonly [string, readonly string[], RegExp][] = [
    ['no socket for machines', ['-e', '/ep'], /--listen-qemu or --listen must name a socket/],
    [
      'no subnet',
      ['-e', '/ep', '--listen', '/fd', '--subnet', '192.168.5.1'],
      /--subnet 192\.168\.5\.1/,
    ],
    [
      'an MTU that is too small',
      [...LIMA, '--mtu', '100'],
      /--mtu 100: must be an integer from 576/,
    ],
  ];
  for (const [what, argv, message] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(() => configOf(...argv), { code: 'ERR_HAWSER_USAGE', message });
    });
  }
});
