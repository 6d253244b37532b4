import assert from 'node:assert/strict';
import fc from 'fast-check';
import { formatDestination } from '../../../src/mux/destination.ts';
import { isAllowed, parseTarget, parseTargetRule } from '../../../src/proxy/agent/target-rules.ts';

const allows = (ruleText: string, targetText: string): boolean => {
  const rule = parseTargetRule(ruleText);
  const target = parseTarget(targetText);
  assert.ok(rule !== undefined && target !== undefined);
  return isAllowed([rule], target);
};

describe('target rules', () => {
  for (const [rule, target, expected] of [
    ['tcp:127.0.0.1:22', 'tcp:127.0.0.1:22', true],
    ['tcp:127.0.0.1:22', 'tcp:127.0.0.1:23', false],
    ['tcp:127.0.0.1:22', 'udp:127.0.0.1:22', false],
    ['127.0.0.1:22', 'udp:127.0.0.1:22', true],
    ['tcp:10.0.0.0/8:*', 'tcp:10.255.255.255:1', true],
    ['tcp:10.0.0.0/8:*', 'tcp:11.0.0.0:1', false],
    ['tcp:0.0.0.0/0:80-90', 'tcp:203.0.113.1:90', true],
    ['tcp:0.0.0.0/0:80-90', 'tcp:203.0.113.1:91', false],
    ['tcp:0.0.0.0/0:*', 'tcp:[::1]:80', false],
    ['*:80', 'tcp:[2001:db8::1]:80', true],
    ['tcp:[2001:db8::/33]:80', 'tcp:[2001:db8:7fff::1]:80', true],
    ['tcp:[2001:db8::/33]:80', 'tcp:[2001:db8:8000::1]:80', false],
    ['tcp:[::1]:80', 'tcp:[::1]:80', true],
    ['*:*', 'unix:/run/x.sock', false],
    ['unix:/run/x.sock', 'unix:/run/x.sock', true],
    ['unix:/run/x.sock', 'unix:/run/x.sock2', false],
    ['unix:/run/d/*', 'unix:/run/d/a.sock', true],
    ['unix:/run/d/*', 'unix:/run/d/../a.sock', false],
    ['unix:/run/x.sock', 'tcp:127.0.0.1:1', false],
  ] as const) {
    it(`${rule} ${expected ? 'allows' : 'does not allow'} ${target}`, () => {
      assert.equal(allows(rule, target), expected);
    });
  }

  for (const text of [
    '',
    'tcp:',
    'tcp:1.2.3.4',
    'tcp:1.2.3.4:0',
    'tcp:1.2.3.4:65536',
    'tcp:1.2.3.4:9-8',
    'tcp:1.2.3.4/33:1',
    'tcp:name:1',
    'sctp:1.2.3.4:1',
    'unix:',
    'unix:relative',
  ]) {
    it(`"${text}" is no rule`, () => assert.equal(parseTargetRule(text), undefined));
  }

  it('a target reads back as it is printed', () => {
    for (const text of ['tcp:127.0.0.1:80', 'udp:[2001:db8::1]:53', 'unix:/run/x.sock']) {
      const target = parseTarget(text);
      assert.ok(target !== undefined);
      assert.equal(formatDestination(target), text);
    }
  });

  it('reads any text without throwing', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parseTargetRule(text);
        parseTargetRule(`tcp:${text}:80`);
        parseTarget(text);
      }),
    );
  });
});
