import assert from 'node:assert/strict';
import {
  DEFAULT_SUBNET,
  parseUsernetArguments,
  type UsernetArguments,
} from '../../../../src/cli/drop-ins/usernet/usernet-arguments.ts';

const NOTHING: UsernetArguments = {
  pidFile: undefined,
  endpoint: '/ep',
  qemuSocket: undefined,
  fdSocket: undefined,
  subnet: DEFAULT_SUBNET,
  mtu: undefined,
  leases: [],
  sandbox: undefined,
};

describe('the command line of limactl usernet', () => {
  const accepted: readonly [string, readonly string[], Partial<UsernetArguments>][] = [
    [
      'as Lima starts it',
      [
        ...['usernet_user-v2.pid', '/ep', '/qemu', '/fd', '192.168.104.0/24'].flatMap(
          (value, i) => [['-p', '-e', '--listen-qemu', '--listen', '--subnet'][i] ?? '', value],
        ),
        ...['--leases', '192.168.104.1=52:55:55:b3:bc:d9,192.168.104.2=5a:94:ef:e4:0c:df'],
      ],
      {
        pidFile: 'usernet_user-v2.pid',
        qemuSocket: '/qemu',
        fdSocket: '/fd',
        subnet: '192.168.104.0/24',
        leases: [
          ['192.168.104.1', '52:55:55:b3:bc:d9'],
          ['192.168.104.2', '5a:94:ef:e4:0c:df'],
        ],
      },
    ],
    [
      'long names and =',
      ['--endpoint=/ep', '--pidfile=/p', '--mtu=4000'],
      { pidFile: '/p', mtu: '4000' },
    ],
    ['empty values are those of options not given', ['-e', '/ep', '--listen=', '-p', ''], {}],
    [
      'leases more than once',
      ['-e/ep', '--leases', 'a=b,', '--leases', 'c=d'],
      {
        leases: [
          ['a', 'b'],
          ['c', 'd'],
        ],
      },
    ],
  ];
  for (const [name, argv, expected] of accepted) {
    it(name, () => assert.deepEqual(parseUsernetArguments(argv), { ...NOTHING, ...expected }));
  }

  const refused: readonly [readonly string[], RegExp][] = [
    [[], /-e must name the Unix socket of the API/],
    [['-e', '/ep', '--nat'], /Unknown option '--nat'/],
    [['-e', '/ep', 'more'], /Unexpected argument 'more'/],
    [['-e', '/ep', '--leases', '192.168.104.1'], /--leases 192\.168\.104\.1: must be IP=MAC/],
  ];
  for (const [argv, problem] of refused) {
    it(`refuses ${argv.join(' ') || 'nothing'}`, () => {
      assert.throws(() => parseUsernetArguments(argv), {
        code: 'ERR_HAWSER_USAGE',
        message: problem,
      });
    });
  }

  it('is asked for help', () => assert.equal(parseUsernetArguments(['-h']), undefined));
});
