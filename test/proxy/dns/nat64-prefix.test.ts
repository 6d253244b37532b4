import assert from 'node:assert/strict';
import { HostNat64Prefix } from '../../../src/proxy/dns/nat64-prefix.ts';
import type { Found, Origin } from '../../../src/services/dns/guest-answer.ts';
import type { DnsQuery } from '../../../src/services/dns/message.ts';
import { aaaa, type ReplyOptions, replyBytes } from '../../services/dns/dns-wire.ts';

const NAME = 'ipv4only.arpa';
const WELL_KNOWN: ReplyOptions = { answers: [aaaa(NAME, '64:ff9b::c000:aa', 7200)] };
const OTHER: ReplyOptions = { answers: [aaaa(NAME, '2001:db8:c000:aa::', 7200)] };

/** The network around it: questions that wait, and the time of the next one. */
class Scene {
  readonly changes: string[] = [];
  readonly waiting: { readonly query: DnsQuery; readonly found: Found }[] = [];
  delayMs: number | undefined = undefined;
  private due: () => void = () => {};
  readonly prefix: HostNat64Prefix = new HostNat64Prefix({
    find: (query, found) => this.waiting.push({ query, found }),
    onChange: (prefix) =>
      this.changes.push(prefix === undefined ? 'none' : `${prefix.address}/${prefix.bits}`),
    schedule: (callback, delayMs) => {
      this.delayMs = delayMs;
      this.due = callback;
      return () => {
        this.delayMs = undefined;
        this.due = () => {};
      };
    },
  });

  answer(options: ReplyOptions, origin: Origin = 'dns'): void {
    const one = this.waiting.shift();
    assert.ok(one, 'nobody asks');
    one.found(replyBytes(one.query.bytes, options), origin);
  }

  pass(): void {
    this.due();
  }
}

describe("the NAT64 prefix of the host's network", () => {
  let scene: Scene;
  beforeEach(() => {
    scene = new Scene();
    scene.prefix.start();
  });

  it('is asked for once, and again when its records end', () => {
    scene.prefix.start();
    assert.equal(scene.waiting.length, 1);
    scene.answer(WELL_KNOWN);
    assert.deepEqual([scene.changes, scene.delayMs], [['64:ff9b::/96'], 7_200_000]);
    scene.pass();
    scene.answer(WELL_KNOWN);
    assert.deepEqual(scene.changes, ['64:ff9b::/96']);
    scene.pass();
    scene.answer(OTHER);
    assert.deepEqual(scene.changes, ['64:ff9b::/96', '2001:db8::/32']);
  });

  it('that is not there is asked for again after a while, and goes', () => {
    scene.answer({});
    assert.deepEqual([scene.changes, scene.delayMs], [[], 600_000]);
    scene.pass();
    scene.answer(WELL_KNOWN);
    scene.pass();
    scene.answer({ rcode: 3 });
    assert.deepEqual(scene.changes, ['64:ff9b::/96', 'none']);
  });

  it('holds while nobody answers, who is asked less and less often', () => {
    scene.answer(WELL_KNOWN);
    const delays: (number | undefined)[] = [];
    for (let i = 0; i < 9; i++) {
      scene.pass();
      scene.answer({ rcode: 2 }, i % 2 === 0 ? 'failure' : 'dns');
      delays.push(scene.delayMs);
    }
    const seconds = [5, 10, 20, 40, 80, 160, 320, 600, 600];
    assert.deepEqual(
      delays,
      seconds.map((s) => s * 1000),
    );
    assert.deepEqual(scene.changes, ['64:ff9b::/96']);
  });

  it('is asked for at once of other name servers, and the answer of earlier ones is void', () => {
    scene.prefix.onNameServers();
    scene.answer(WELL_KNOWN);
    assert.deepEqual(scene.changes, []);
    scene.answer(OTHER);
    assert.deepEqual(scene.changes, ['2001:db8::/32']);
  });

  it('is none once the host has IPv4', () => {
    scene.answer(WELL_KNOWN);
    scene.prefix.stop();
    assert.deepEqual(scene.changes, ['64:ff9b::/96', 'none']);
    scene.prefix.onNameServers();
    assert.deepEqual([scene.waiting.length, scene.delayMs], [0, undefined]);
    scene.prefix.start();
    scene.prefix.stop();
    scene.answer(WELL_KNOWN);
    assert.equal(scene.prefix.prefix, undefined);
  });

  it('records that end at once are not asked for at once', () => {
    scene.answer({ answers: [aaaa(NAME, '64:ff9b::c000:aa', 0)] });
    assert.equal(scene.delayMs, 60_000);
  });
});
