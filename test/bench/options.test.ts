import assert from 'node:assert/strict';
import { benchOptions } from '../../bench/options.ts';
import { UsageError } from '../../src/network/errors.ts';

const NOTHING = {
  quick: false,
  list: false,
  peers: undefined,
  cases: undefined,
  mtu: undefined,
  duration: undefined,
  repetitions: undefined,
  out: undefined,
};

describe('bench: options', () => {
  it('all peers and cases, at both MTUs, three times', () => {
    const options = benchOptions(NOTHING);
    assert.ok(options.peers.length > 5);
    assert.deepEqual(options.mtus, [1500, 65_520]);
    assert.equal(options.repetitions, 3);
    assert.equal(options.outDir, 'bench/results/full');
  });

  it('--quick is one repetition of fewer cases', () => {
    const options = benchOptions({ ...NOTHING, quick: true });
    assert.ok(options.cases.length < benchOptions(NOTHING).cases.length);
    assert.deepEqual([options.repetitions, options.seconds, options.mtus], [1, 2, [1500]]);
  });

  it('what is named is taken, in the order of the tables', () => {
    const asked = { ...NOTHING, peers: 'passt,hawser', cases: 'rr-g2h', mtu: '9000' };
    const { peers, cases, mtus, outDir } = benchOptions(asked);
    assert.deepEqual(
      peers.map(({ name }) => name),
      ['hawser', 'passt'],
    );
    assert.deepEqual(
      cases.map(({ name }) => name),
      ['rr-g2h'],
    );
    assert.deepEqual(mtus, [9000]);
    assert.equal(outDir, 'bench/results/part');
  });

  const WRONG = [
    ['peers', 'vde', /--peers vde: must be among hawser, .*passt/],
    ['cases', 'ftp', /--cases ftp: must be among .*tcp-g2h-1/],
    ['mtu', '1500,100', /--mtu 100: must be an integer from 576 to 65520/],
    ['duration', 'long', /--duration long: must be an integer/],
    ['repetitions', '0', /--repetitions 0: must be an integer from 1/],
    ['repetitions', '1,2', /--repetitions 1,2: must be one integer/],
  ] as const;
  for (const [key, value, message] of WRONG) {
    it(`--${key} ${value} is an error that says what is allowed`, () => {
      assert.throws(
        () => benchOptions({ ...NOTHING, [key]: value }),
        (error) => error instanceof UsageError && message.test(error.message),
      );
    });
  }
});
