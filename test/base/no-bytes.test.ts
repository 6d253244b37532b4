import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInThisContext } from 'node:vm';
import { NO_BYTES, plainCount } from '../../src/base/no-bytes.ts';
import { MuxStats } from '../../src/mux/stats.ts';
import { LinkStats } from '../../src/transports/link-stats.ts';

/** V8's own answer; there is no other way to ask. */
function sharesLayout(one: object, other: object): boolean {
  setFlagsFromString('--allow-natives-syntax');
  const ask: (one: object, other: object) => boolean = runInThisContext(
    '(one, other) => %HaveSameMap(one, other)',
  );
  const answer = ask(one, other); // compiled only now
  setFlagsFromString('--no-allow-natives-syntax');
  return answer;
}

class Plain {
  bytes = 0;
}

class Counting {
  bytes: number = NO_BYTES;
}

describe('base/no-bytes', () => {
  it('is zero, and is shown as 0', () => {
    assert.ok(NO_BYTES + 1 === 1);
    assert.ok(Object.is(plainCount(NO_BYTES), 0));
    assert.equal(plainCount(NO_BYTES + 5), 5);
  });

  it('a plain count changes the layout of its class when it outgrows 31 bits, this one does not', () => {
    for (const [one, other, same] of [
      [new Plain(), new Plain(), false],
      [new Counting(), new Counting(), true],
    ] as const) {
      other.bytes += 2 ** 40;
      assert.equal(sharesLayout(one, other), same);
    }
  });

  it('nor do counts of links and multiplexers', () => {
    const [link, other] = [new LinkStats(), new LinkStats()];
    link.bytesToHost += 2 ** 40;
    link.bytesToGuest += 2 ** 40;
    assert.ok(sharesLayout(link, other));
    const [mux, another] = [new MuxStats(), new MuxStats()];
    mux.bytesReceived += 2 ** 40;
    mux.bytesSent += 2 ** 40;
    assert.ok(sharesLayout(mux, another));
  });
});
