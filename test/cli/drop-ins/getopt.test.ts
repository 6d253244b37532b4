import assert from 'node:assert/strict';
import { GetoptError, getopt, type OptionShape } from '../../../src/cli/drop-ins/getopt.ts';

const SHAPES: readonly OptionShape[] = [
  { name: 'configure', short: 'c', takesValue: false },
  { name: 'enable-ipv6', short: '6', takesValue: false },
  { name: 'enable-sandbox', takesValue: false },
  { name: 'mtu', short: 'm', takesValue: true },
  { name: 'outbound-addr', takesValue: true },
  { name: 'outbound-addr6', takesValue: true },
];

const read = (line: string): string => {
  const { options, operands } = getopt(
    SHAPES,
    line.split(' ').filter((word) => word !== ''),
  );
  const given = options.map(({ name, value }) => (value === '' ? name : `${name}=${value}`));
  return [...given, '|', ...operands].join(' ');
};

const READ: readonly [string, string, string][] = [
  ['long options', '--mtu 9000 --configure 42 tap0', 'mtu=9000 configure | 42 tap0'],
  ['a value behind =', '--mtu=9000 --outbound-addr=a=b', 'mtu=9000 outbound-addr=a=b |'],
  ['short options', '-c -m 9000 42', 'configure mtu=9000 | 42'],
  ['short options in one word', '-c6m9000 42', 'configure enable-ipv6 mtu=9000 | 42'],
  ['options behind operands', '42 tap0 -c', 'configure | 42 tap0'],
  ['operands alone behind --', '-c -- -m --mtu', 'configure | -m --mtu'],
  ['names cut short', '--conf --enable-i --m=7', 'configure enable-ipv6 mtu=7 |'],
  ['a name that begins another', '--outbound-addr 1.2.3.4', 'outbound-addr=1.2.3.4 |'],
  ['a dash', '- -c', 'configure | -'],
  ['a value that looks like an option', '--mtu -c', 'mtu=-c |'],
  ['nothing', '', '|'],
];

const REFUSED: readonly [string, RegExp][] = [
  ['--quick', /unrecognized option '--quick'/],
  ['-x', /invalid option -- 'x'/],
  ['-cx', /invalid option -- 'x'/],
  ['--mtu', /option '--mtu' requires an argument/],
  ['-cm', /option '-m' requires an argument/],
  ['--configure=yes', /option '--configure' doesn't allow an argument/],
  ['--enable', /'--enable' is ambiguous; possibilities: '--enable-ipv6' '--enable-sandbox'/],
];

describe('cli/drop-ins/getopt', () => {
  for (const [what, line, expected] of READ) {
    it(`reads ${what}`, () => assert.equal(read(line).trim(), expected));
  }
  for (const [line, message] of REFUSED) {
    it(`refuses ${line}`, () =>
      assert.throws(
        () => read(line),
        (error) => error instanceof GetoptError && message.test(error.message),
      ));
  }
});
