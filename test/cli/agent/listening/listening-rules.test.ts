import assert from 'node:assert/strict';
import {
  EVERYTHING,
  parseListeningRules,
  ruleFor,
  wantedNamespaces,
  wantsUdp,
} from '../../../../src/cli/agent/listening/listening-rules.ts';
import type { Namespace } from '../../../../src/cli/agent/listening/netns/namespaces.ts';
import { placesOf } from '../../../../src/cli/agent/listening/socket-places.ts';
import { portKey } from '../../../../src/cli/agent/wanted-port.ts';
import { socket } from './socket.ts';

/** Where a socket appears by the rules: `HOST PORT>GUEST`. */
function places(rules: string, bound: string, namespace?: Namespace): string[] {
  const parsed = parseListeningRules(rules);
  assert.ok(typeof parsed !== 'string', `${parsed}`);
  const one = socket(bound);
  const rule = ruleFor(parsed, one, namespace);
  if (rule === undefined) return [];
  return placesOf(one, rule, namespace?.inode).map(
    (port) => `${portKey(port)}>${port.guestAddress}`,
  );
}

/** `blue@127.0.0.1:80`, of the namespace 8; `-@...` of one without a name. */
function placesInside(rules: string, bound: string): string[] {
  const [name = '', text = ''] = bound.split('@');
  return places(rules, text, { inode: 8, name: name === '-' ? undefined : name });
}

describe('agent: rules for sockets that listen', () => {
  for (const [rules, bound, expected] of [
    [EVERYTHING, '0.0.0.0:80', ['tcp 127.0.0.1 80>127.0.0.1']],
    [EVERYTHING, '127.0.0.1:80', ['tcp 127.0.0.1 80>127.0.0.1']],
    [EVERYTHING, '127.0.0.53:80', ['tcp 127.0.0.53 80>127.0.0.53']],
    [EVERYTHING, '192.168.127.2:80', ['tcp 127.0.0.1 80>192.168.127.2']],
    [EVERYTHING, '[::]:80', ['tcp 127.0.0.1 80>127.0.0.1', 'tcp ::1 80>::1']],
    [EVERYTHING, '[::]:80 only', ['tcp ::1 80>::1']],
    [EVERYTHING, '[::1]:80', ['tcp ::1 80>::1']],
    [EVERYTHING, '[::ffff:127.0.0.1]:80', ['tcp 127.0.0.1 80>127.0.0.1']],
    [EVERYTHING, '[fd00::5]:80', ['tcp ::1 80>fd00::5']],
    [EVERYTHING, '[fe80::5]:80', []],
    [EVERYTHING, '0.0.0.0:80 udp', []],
    ['', '0.0.0.0:80', []],
    [',', '0.0.0.0:80', []],
    ['80', '0.0.0.0:81', []],
    ['80-90', '0.0.0.0:81', ['tcp 127.0.0.1 81>127.0.0.1']],
    ['no:80,*', '0.0.0.0:80', []],
    ['no:80,*', '[::1]:80', []],
    ['*,no:80', '0.0.0.0:80', ['tcp 127.0.0.1 80>127.0.0.1']],
    ['0.0.0.0:80', '0.0.0.0:80', ['tcp 127.0.0.1 80>127.0.0.1']],
    ['0.0.0.0:80', '127.0.0.1:80', []],
    ['any:80', '127.0.0.1:80', ['tcp 127.0.0.1 80>127.0.0.1']],
    ['[::]:80', '[::]:80 only', ['tcp ::1 80>::1']],
    ['[::]:80', '[::1]:80', []],
    ['127.0.0.0/8:*', '127.0.0.9:80', ['tcp 127.0.0.9 80>127.0.0.9']],
    ['127.0.0.0/8:*', '0.0.0.0:80', []],
    ['80=8080', '0.0.0.0:80', ['tcp 127.0.0.1 8080>127.0.0.1']],
    ['80-81=8080-8081', '[::1]:81', ['tcp ::1 8081>::1']],
    ['80=0.0.0.0', '127.0.0.1:80', ['tcp 0.0.0.0 80>127.0.0.1']],
    ['0.0.0.0:*=0.0.0.0,*', '0.0.0.0:80', ['tcp 0.0.0.0 80>127.0.0.1']],
    ['0.0.0.0:*=0.0.0.0,*', '127.0.0.1:80', ['tcp 127.0.0.1 80>127.0.0.1']],
    ['80=127.0.0.9:81', '[::]:80', ['tcp 127.0.0.9 81>127.0.0.1']],
    ['80=[::1]:81', '[fd00::5]:80', ['tcp ::1 81>fd00::5']],
    ['udp:53', '0.0.0.0:53 udp', ['udp 127.0.0.1 53>127.0.0.1']],
    ['udp:53', '0.0.0.0:53', []],
    ['tcp:53', '0.0.0.0:53', ['tcp 127.0.0.1 53>127.0.0.1']],
  ] as const) {
    it(`${rules || 'none'}: ${bound} -> ${expected.join(', ') || 'nowhere'}`, () =>
      assert.deepEqual(places(rules, bound), expected));
  }

  for (const [rules, bound, expected] of [
    [EVERYTHING, 'blue@127.0.0.1:80', []],
    ['*@80', 'blue@127.0.0.1:80', ['tcp 127.0.0.1 80>100::8:7f00:1']],
    ['*@80', '-@0.0.0.0:80', ['tcp 127.0.0.1 80>100::8:7f00:1']],
    ['*@*', '-@[::]:80', ['tcp 127.0.0.1 80>100::8:7f00:1', 'tcp ::1 80>100::8:7f00:1']],
    ['*@*', '-@[::1]:80', ['tcp ::1 80>100::8:7f00:1']],
    ['*@*', '-@127.0.0.53:80', ['tcp 127.0.0.53 80>100::8:7f00:35']],
    ['*@*', '-@10.88.0.2:80', ['tcp 127.0.0.1 80>100::8:a58:2']],
    ['*@*', '-@[fd00::2]:80', []],
    ['blue@*', 'blue@127.0.0.1:80', ['tcp 127.0.0.1 80>100::8:7f00:1']],
    ['blue@*', 'red@127.0.0.1:80', []],
    ['blue@*', '-@127.0.0.1:80', []],
    ['no:blue@80,*@*', 'blue@0.0.0.0:80', []],
    ['no:80,*@*', 'blue@0.0.0.0:80', ['tcp 127.0.0.1 80>100::8:7f00:1']],
    ['blue@80=9080', 'blue@127.0.0.1:80', ['tcp 127.0.0.1 9080>100::8:7f00:1']],
    ['blue@0.0.0.0:*', 'blue@127.0.0.1:80', []],
  ] as const) {
    it(`${rules}: ${bound} -> ${expected.join(', ') || 'nowhere'}`, () =>
      assert.deepEqual(placesInside(rules, bound), expected));
  }

  it("a rule for other namespaces says nothing of the agent's", () =>
    assert.deepEqual(places('*@*', '127.0.0.1:80'), []));

  it('which namespaces are looked at', () => {
    for (const [rules, expected] of [
      ['*', 'none'],
      ['*,no:*@80', 'none'],
      ['*,blue@80', 'named'],
      ['blue@80,*@90', 'all'],
    ] as const) {
      const parsed = parseListeningRules(rules);
      assert.ok(typeof parsed !== 'string');
      assert.equal(wantedNamespaces(parsed), expected);
    }
  });

  for (const text of [
    'x',
    '80-',
    '0',
    '70000',
    '90-80',
    '80=',
    '80-90=8080',
    '*=8080',
    'no:80=81',
    'sctp:80',
    '::1:80',
    '[127.0.0.1]:80',
    '1.2.3:80',
    '80=1.2.3:80',
    '80=host:80',
    '*,x',
    'udp:blue@53',
    '@80',
    'a/b@80',
    'a@b@80',
  ]) {
    it(`"${text}" is no rule, and the problem says which are`, () => {
      const problem = parseListeningRules(text);
      assert.ok(typeof problem === 'string');
      assert.match(problem, /must be \[no:\]\[tcp:\|udp:\]/);
    });
  }

  it('looks at UDP on wish alone', () => {
    for (const [rules, expected] of [
      ['*', false],
      ['no:udp:53', false],
      ['*,udp:5000-6000', true],
    ] as const) {
      const parsed = parseListeningRules(rules);
      assert.ok(typeof parsed !== 'string');
      assert.equal(wantsUdp(parsed), expected);
    }
  });
});
