import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import type { ListeningEntry } from '../../../src/native/listening-tables.ts';
import {
  KEEP_MS,
  KEPT_OF_OWNER,
  KeptPlaces,
  shadows,
} from '../../../src/proxy/ports/kept-places.ts';
import type { PortTable } from '../../../src/proxy/ports/port-table.ts';
import type { PortSpec } from '../../../src/proxy/ports/publish-spec.ts';
import { parsePublish } from '../../../src/proxy/ports/publish-text.ts';
import { testGuest } from '../../support/test-guest.ts';
import { GUEST, ip, OWNER } from '../recording.ts';
import { portTable } from './port-fixture.ts';

function spec(text: string): PortSpec {
  const [one] = parsePublish(text);
  assert.ok(one !== undefined && one.protocol !== 'unix');
  return one;
}

describe('proxy/ports/kept-places', () => {
  let now: number;
  let listening: ListeningEntry[] | undefined;
  let published: string[];
  let kept: KeptPlaces<string>;

  beforeEach(() => {
    now = 1_000;
    listening = [];
    published = [];
    kept = new KeptPlaces({
      now: () => now,
      isSameOwner: (one, other) => one === other,
      listening: () => listening,
      isPublished: (address, port) => published.includes(`${address} ${port}`),
    });
  });
  const at = (address: string, port: number): ListeningEntry => ({ address, port, inode: '1' });

  for (const [one, other, expected] of [
    ['127.0.0.1:80:80', '127.0.0.1:80:80', true],
    ['127.0.0.1:80:80', '[::1]:80:80', true],
    ['127.0.0.1:80:80', '80:80', true],
    ['127.0.0.1:80:80', '*:80:80', true],
    ['[::1]:80:80', '0.0.0.0:80:80', true],
    ['127.0.0.1:80:80', '127.0.0.2:80:80', false],
    ['127.0.0.1:80:80', '192.0.2.1:80:80', false],
    ['127.0.0.1:80:80', '127.0.0.1:81:80', false],
    ['127.0.0.1:80:80', '127.0.0.1:80:80/udp', false],
  ] as const) {
    it(`${one} ${expected ? 'shadows' : 'is apart from'} ${other}`, () => {
      assert.equal(shadows(spec(one), spec(other)), expected);
      assert.equal(shadows(spec(other), spec(one)), expected);
    });
  }

  it('where somebody listens is kept, also for a moment after', () => {
    listening = [at('127.0.0.1', 5432)];
    kept.sample();
    listening = [];
    now += KEEP_MS - 1;
    kept.sample();
    assert.equal(kept.keptFor(spec('[::1]:5432:80'), 'a'), 'host-before');
    assert.equal(kept.keptFor(spec('127.0.0.1:5433:80'), 'a'), undefined);
    now++;
    assert.equal(kept.keptFor(spec('[::1]:5432:80'), 'a'), undefined);
  });

  it('what is published is nobody else', () => {
    listening = [at('127.0.0.1', 8080)];
    published = ['127.0.0.1 8080'];
    kept.sample();
    assert.equal(kept.keptFor(spec('127.0.0.1:8080:80'), 'a'), undefined);
  });

  it('tables that cannot be read change nothing', () => {
    listening = [at('0.0.0.0', 22)];
    kept.sample();
    listening = undefined;
    now++;
    kept.sample();
    assert.equal(kept.keptFor(spec('127.0.0.1:22:80'), 'a'), 'host');
  });

  it('is read no more often than its share of the time allows', () => {
    let reads = 0;
    const slow = new KeptPlaces({
      now: () => now,
      isSameOwner: () => true,
      listening: () => {
        reads++;
        now += 10;
        return [];
      },
      isPublished: () => false,
    });
    for (let i = 0; i < 10; i++) {
      slow.sample();
      now += 1_000;
    }
    assert.equal(reads, 4);
  });

  it('a publication that ended is kept for its owner, for a moment', () => {
    kept.onEnded('a', 'a', spec('127.0.0.1:8080:80'));
    assert.equal(kept.keptFor(spec('127.0.0.1:8080:80'), 'a'), undefined);
    assert.equal(kept.keptFor(spec('127.0.0.1:8080:80'), 'b'), 'other');
    now += KEEP_MS;
    assert.equal(kept.keptFor(spec('127.0.0.1:8080:80'), 'b'), undefined);
  });

  it('of one owner so many are remembered, which costs others nothing', () => {
    for (let i = 0; i <= KEPT_OF_OWNER; i++)
      kept.onEnded('a', 'a', spec(`127.0.0.1:${2000 + i}:80`));
    kept.onEnded('c', 'c', spec('127.0.0.1:1999:80'));
    const keptFrom = (port: number): string | undefined =>
      kept.keptFor(spec(`127.0.0.1:${port}:80`), 'b');
    assert.deepEqual([1999, 2000 + KEPT_OF_OWNER - 1, 2000 + KEPT_OF_OWNER].map(keptFrom), [
      'other',
      'other',
      undefined,
    ]);
    now += KEEP_MS;
    kept.sample();
    kept.onEnded('a', 'a', spec('127.0.0.1:1998:80'));
    assert.equal(keptFrom(1998), 'other');
  });
});

const NO_CARRIER = { serve: () => false, listenUdp: () => assert.fail('no UDP here') };

describe('proxy/ports/port-table: places of others', () => {
  let now = 0;
  let listening: readonly ListeningEntry[] = [];
  let table: PortTable;
  let server: Server;
  let port: number;

  beforeEach(async () => {
    now = 0;
    listening = [];
    const stranger = testGuest();
    table = portTable({
      ownerOf: (address) => (address.equals(GUEST) ? OWNER : stranger),
      keeping: { now: () => now, listening: () => listening },
    });
    server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    port = typeof address === 'object' && address !== null ? address.port : 0;
  });
  afterEach(() => {
    table.close();
    server.close();
  });
  const close = (): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
  const guest = { guest: GUEST };
  const other = { guest: ip('192.168.127.77') };

  it('a server of the host that restarts finds its port as it left it', async () => {
    listening = [{ address: '127.0.0.1', port, inode: '1' }];
    table.kept?.sample();
    await close();
    const wanted = spec(`[::1]:${port}:80`);
    await assert.rejects(table.publish(wanted, guest), {
      code: 'EADDRINUSE',
      message: /something on the host listens there already/,
    });
    listening = [];
    now += KEEP_MS / 2;
    table.kept?.sample();
    await assert.rejects(table.publish(wanted, guest), {
      code: 'ERR_HAWSER_PUBLISH_KEPT',
      message: /a process of the host had that port a moment ago/,
    });
    now += KEEP_MS;
    assert.equal((await table.publish(spec(`127.0.0.1:${port}:80`), guest)).owner, guest);
  });

  it('a bind that was refused tells too, where no table does', async () => {
    const wanted = spec(`127.0.0.1:${port}:80`);
    await assert.rejects(table.publish(wanted, guest), { code: 'EADDRINUSE' });
    await close();
    now += KEEP_MS / 2;
    table.kept?.sample();
    await assert.rejects(table.publish(wanted, guest), { code: 'ERR_HAWSER_PUBLISH_KEPT' });
    await table.publish(wanted, 'api');
  });

  it("another guest's port is not to be had, nor beside it, nor a moment after", async () => {
    await close();
    const { id } = await table.publish(spec(`127.0.0.1:${port}:80`), guest);
    await assert.rejects(table.publish(spec(`[::1]:${port}:80`), other), {
      code: 'EADDRINUSE',
      message: /hawser itself publishes 127\.0\.0\.1:\d+\/tcp already/,
    });
    table.unpublish(id);
    const wanted = spec(`127.0.0.1:${port}:80`);
    await assert.rejects(table.publish(wanted, other), { code: 'ERR_HAWSER_PUBLISH_KEPT' });
    table.unpublish((await table.publish(wanted, guest)).id);
    now += KEEP_MS;
    await table.publish(wanted, other);
  });

  it('a guest and the agent in it are one machine', async () => {
    await close();
    const agent = { agent: 'guest:4099' };
    const both = portTable({
      agent: { ...NO_CARRIER, of: () => NO_CARRIER },
      guestBehind: (link) => (link === 'guest:4099' ? OWNER : undefined),
      keeping: { now: () => now, listening: () => [] },
    });
    const wanted = spec(`127.0.0.1:${port}:80`);
    const { id } = await both.publish({ ...wanted, via: 'mux' }, agent);
    both.unpublish(id);
    both.unpublish((await both.publish(wanted, guest)).id);
    const stranger = { agent: 'unix:/other' };
    await assert.rejects(both.publish({ ...wanted, via: 'mux' }, stranger), {
      code: 'ERR_HAWSER_PUBLISH_KEPT',
    });
    both.close();
  });

  it('says who ended a publication', async () => {
    const ends: string[] = [];
    const wanted = spec('127.0.0.1:0:80');
    const { id } = await table.publish(wanted, guest, true, (why) => ends.push(why));
    table.unpublish(id);
    assert.deepEqual(ends, ['withdrawn']);
  });
});
