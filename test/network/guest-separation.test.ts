/** The forms of `--allow-address`. */
import assert from 'node:assert/strict';
import { allowedLinkProblems, parseAllowedAddress } from '../../src/network/guest-separation.ts';
import { isAllowed } from '../../src/stack/separation/separation.ts';

const key = (...words: number[]): Int32Array => Int32Array.from(words);
const v4 = (last: number): Int32Array => key(0, 0, 0xffff, 0xc0a8_7f00 | last);
const v6 = (last: number): Int32Array => key(0xfd00_0000 | 0, 0, 0, last);
const ethernet = (last: number): Int32Array => key(-1, 0, 0, 0x5e00_0100 | last);

const ROWS: readonly (readonly [string, readonly Int32Array[], readonly Int32Array[]])[] = [
  ['tap:a=192.168.127.9', [v4(9)], [v4(8), v6(9), ethernet(9)]],
  ['tap:a=192.168.127.16/28', [v4(16), v4(31)], [v4(15), v4(32), key(0, 0, 0, v4(16)[3] ?? 0)]],
  ['tap:a=0.0.0.0/0', [v4(1), key(0, 0, 0xffff, 0x0808_0808)], [v6(1), ethernet(1)]],
  ['tap:a=fd00::9', [v6(9)], [v6(8), v4(9)]],
  ['tap:a=fd00::/64', [v6(1), v6(-1)], [key(0xfd00_0000 | 0, 1, 0, 1), v4(1)]],
  ['tap:a=00:00:5e:00:01:07', [ethernet(7)], [ethernet(8), v4(7)]],
  ['qemu:/run/a=b.sock=00-00-5E-00-01-07', [ethernet(7)], [ethernet(8)]],
];

describe('network/guest-separation', () => {
  for (const [text, inside, outside] of ROWS) {
    it(text, () => {
      const parsed = parseAllowedAddress(text);
      assert.ok('value' in parsed);
      assert.equal(parsed.value.link, text.slice(0, text.lastIndexOf('=')));
      for (const one of inside) assert.ok(isAllowed([parsed.value], one), `${one}`);
      for (const one of outside) assert.ok(!isAllowed([parsed.value], one), `${one}`);
    });
  }

  it('a list for a link that nobody listens on is a mistake', () => {
    const allowed = ['tap:a=10.0.0.1', 'tap:b=10.0.0.1'];
    const problems = allowedLinkProblems(['tap:a'], { isolate: false, trust: false, allowed });
    assert.deepEqual(
      problems.map(({ key: option, index }) => [option, index]),
      [['allowAddress', 1]],
    );
  });
});
