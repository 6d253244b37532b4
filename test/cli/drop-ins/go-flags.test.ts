import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  type GoFlags,
  type GoFlagValues,
  goUsage,
  parseGoFlags,
} from '../../../src/cli/drop-ins/go-flags.ts';

const FLAGS: GoFlags = {
  config: { kind: 'text', usage: 'a file' },
  listen: { kind: 'texts', usage: 'an endpoint' },
  mtu: { kind: 'integer', usage: 'the MTU' },
  'ssh-port': { kind: 'integer', usage: 'a port', byDefault: 2222 },
  subnet: { kind: 'text', usage: 'a network', byDefault: '192.168.127.0/24' },
  debug: { kind: 'boolean', usage: 'more words' },
};

function valuesOf(...argv: string[]): GoFlagValues {
  const parsed = parseGoFlags(argv, FLAGS);
  assert.ok(parsed.kind === 'values', JSON.stringify(parsed));
  return parsed.values;
}

describe('cli/drop-ins/go-flags', () => {
  for (const argv of [
    ['-config', 'a.yaml'],
    ['--config', 'a.yaml'],
    ['-config=a.yaml'],
    ['--config=a.yaml'],
    ['-config', 'b.yaml', '-config=a.yaml'],
  ]) {
    it(`${argv.join(' ')}: a text`, () => {
      assert.equal(valuesOf(...argv).text('config'), 'a.yaml');
    });
  }

  it('a value may be empty, have "=", and begin with a dash', () => {
    assert.equal(valuesOf('-config=').text('config'), '');
    assert.equal(valuesOf('-config=a=b').text('config'), 'a=b');
    assert.equal(valuesOf('-config', '-debug').text('config'), '-debug');
    assert.equal(valuesOf('-ssh-port', '-1').integer('ssh-port'), -1);
  });

  it('a list is in order, and a default is no part of one', () => {
    assert.deepEqual(valuesOf('-listen', 'a', '--listen=b').texts('listen'), ['a', 'b']);
    assert.deepEqual(valuesOf().texts('listen'), []);
  });

  it('defaults hold, and are told apart from what was given', () => {
    const values = valuesOf('-ssh-port=2222');
    assert.equal(values.integer('ssh-port'), 2222);
    assert.equal(values.has('ssh-port'), true);
    assert.equal(values.has('subnet'), false);
    assert.equal(values.text('subnet'), '192.168.127.0/24');
    assert.equal(values.integer('mtu'), 0);
    assert.equal(values.isTrue('debug'), false);
  });

  for (const [text, expected] of [
    ['', true],
    ['=1', true],
    ['=t', true],
    ['=T', true],
    ['=true', true],
    ['=TRUE', true],
    ['=True', true],
    ['=0', false],
    ['=f', false],
    ['=F', false],
    ['=false', false],
    ['=FALSE', false],
    ['=False', false],
  ] as const) {
    it(`-debug${text} is ${expected}`, () => {
      assert.equal(valuesOf(`-debug${text}`).isTrue('debug'), expected);
      assert.equal(valuesOf(`--debug${text}`).isTrue('debug'), expected);
    });
  }

  for (const [text, expected] of [
    ['1500', 1500],
    ['+7', 7],
    ['-1', -1],
    ['0', 0],
    ['0x5dc', 1500],
    ['0b11', 3],
    ['0o17', 15],
    ['017', 15],
    ['65_520', 65520],
  ] as const) {
    it(`-mtu=${text} is ${expected}`, () =>
      assert.equal(valuesOf(`-mtu=${text}`).integer('mtu'), expected));
  }

  it('a boolean takes no second argument: the rest begins there', () => {
    const parsed = parseGoFlags(['-debug', 'false', '-mtu', '9'], FLAGS);
    assert.ok(parsed.kind === 'values');
    assert.equal(parsed.values.isTrue('debug'), true);
    assert.deepEqual(parsed.rest, ['false', '-mtu', '9']);
  });

  it('reading stops at the first argument that is no flag, and after --', () => {
    for (const [argv, rest] of [
      [
        ['-mtu', '9', 'x', '-debug'],
        ['x', '-debug'],
      ],
      [['-mtu', '9', '--', '-debug'], ['-debug']],
      [['-'], ['-']],
    ] as const) {
      const parsed = parseGoFlags(argv, FLAGS);
      assert.ok(parsed.kind === 'values');
      assert.deepEqual(parsed.rest, rest);
    }
  });

  for (const argument of ['-h', '--h', '-help', '--help']) {
    it(`${argument} asks for help`, () => {
      assert.deepEqual(parseGoFlags([argument], FLAGS), { kind: 'help' });
    });
  }

  for (const [argv, problem] of [
    [['-foo'], 'flag provided but not defined: -foo'],
    [['--foo=1'], 'flag provided but not defined: -foo'],
    [['-toString'], 'flag provided but not defined: -toString'],
    [['-config'], 'flag needs an argument: -config'],
    [['-debug=yes'], 'invalid boolean value "yes" for -debug: parse error'],
    [['-debug='], 'invalid boolean value "" for -debug: parse error'],
    [['-mtu', 'big'], 'invalid value "big" for flag -mtu: parse error'],
    [['-mtu', ''], 'invalid value "" for flag -mtu: parse error'],
    [['-mtu', '1__0'], 'invalid value "1__0" for flag -mtu: parse error'],
    [
      ['-mtu', '99999999999999999999'],
      'invalid value "99999999999999999999" for flag -mtu: value out of range',
    ],
    [['-=x'], 'bad flag syntax: -=x'],
    [['---config'], 'bad flag syntax: ---config'],
  ] as const) {
    it(`${argv.join(' ')}: ${problem}`, () => {
      assert.deepEqual(parseGoFlags(argv, FLAGS), { kind: 'bad', problem });
    });
  }

  it('the usage is that of Go, in the order of names', () => {
    assert.equal(
      goUsage('gvproxy', FLAGS),
      `Usage of gvproxy:
  -config string
    \ta file
  -debug
    \tmore words
  -listen value
    \tan endpoint
  -mtu int
    \tthe MTU
  -ssh-port int
    \ta port (default 2222)
  -subnet string
    \ta network (default "192.168.127.0/24")
`,
    );
  });

  it('any arguments are values, help or a problem', () => {
    const argument = fc.oneof(
      fc.string(),
      fc.constantFrom('-mtu', '--debug', '-debug=', '-config=x', '--', '-listen', '-1', '0x'),
    );
    fc.assert(
      fc.property(fc.array(argument), (argv) => {
        const parsed = parseGoFlags(argv, FLAGS);
        if (parsed.kind !== 'values') return;
        assert.ok(Number.isSafeInteger(parsed.values.integer('mtu')));
        assert.ok(argv.length >= parsed.rest.length);
      }),
    );
  });
});
