/** Networks with an audit log, and a guest. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import type { SimulatedGuest } from '../../../src/lab/guest/simulated-guest.ts';
import type { NetworkOptions } from '../../../src/network/options.ts';
import { itNeeding } from '../../support/requirements.ts';
import { ServedGuest } from '../served-guest.ts';

const HOST = '192.168.127.254';
const LINE = z.looseObject({
  at: z.iso.datetime(),
  type: z.string(),
  kind: z.string().optional(),
  why: z.string().nullish(),
  flow: z.looseObject({ remotePort: z.number().nullable() }).optional(),
  block: z.looseObject({ name: z.string().nullable(), why: z.string() }).optional(),
  verdict: z
    .looseObject({
      ...{ remotePort: z.number(), place: z.string().nullable(), rule: z.string().nullable() },
    })
    .optional(),
});

describe('network: an audit log', () => {
  let dir: string;
  let file: string;
  let served: ServedGuest;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    file = join(dir, 'audit.log');
    served = new ServedGuest();
    await served.serve();
  });
  afterEach(async () => {
    await served.close();
    rmSync(dir, { recursive: true });
  });

  const start = (options: NetworkOptions): Promise<SimulatedGuest> =>
    served.start({ auditLog: file, ...options });
  const url = (): string => `http://${HOST}:${served.port}/bytes/1000?seed=1`;
  const lines = () =>
    readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => LINE.parse(JSON.parse(line)));
  const kinds = (): string[] => lines().map(({ type, kind }) => `${type} ${kind}`);

  it('has all that happened in its order, to the end of the network', async () => {
    const one = await start({});
    await one.download(url(), () => {});
    await one.resolve('host.containers.internal');
    await served.network?.close();
    const all = kinds();
    const inOrder = ['verdict allowed', 'flow opened', 'flow ended'];
    for (const kind of ['guest attached', 'lease granted', ...inOrder]) {
      assert.ok(all.includes(kind), `${kind} of ${all}`);
    }
    const order = inOrder.map((kind) => all.indexOf(kind));
    assert.deepEqual(
      order,
      order.toSorted((one, other) => one - other),
    );
    assert.ok(!all.some((kind) => kind.startsWith('dns')), 'no queries');
  });

  it('has what a policy denies, names too', async () => {
    const one = await start({ allow: `host:${served.port}` });
    await assert.rejects(one.download(`http://${HOST}:${served.port ^ 1}/`, () => {}));
    assert.equal(await one.resolve('evil.test'), '');
    await served.network?.close();
    const blocks = lines().flatMap(({ block }) => block ?? []);
    assert.ok(blocks.every(({ why }) => why === 'policy'));
    assert.ok(blocks.some(({ name }) => name === 'evil.test'));
  });

  it('has what was allowed with its rule, and what was denied once', async () => {
    const one = await start({ allow: `host:${served.port}` });
    await one.download(url(), () => {});
    await assert.rejects(one.download(`http://${HOST}:${served.port ^ 1}/`, () => {}));
    await served.network?.close();
    const all = lines().filter(({ type }) => type === 'verdict' || type === 'block');
    assert.deepEqual(
      [...new Set(all.map(({ type, kind, verdict }) => `${type} ${kind} ${verdict?.rule}`))],
      [`verdict allowed allow host:${served.port}`, 'block blocked undefined'],
    );
  });

  it('that is required has a verdict before each flow', async () => {
    const one = await start({ audit: 'required' });
    await one.download(url(), () => {});
    await served.network?.close();
    const all = kinds();
    assert.ok(all.includes('verdict allowed'), all.join());
    assert.ok(all.indexOf('verdict allowed') < all.indexOf('flow opened'));
    const verdicts = lines().flatMap(({ verdict }) => verdict ?? []);
    assert.deepEqual(
      verdicts.map(({ remotePort, place, rule }) => [remotePort, place, rule]),
      [[served.port, 'host', null]],
    );
  });

  itNeeding(
    'that is required and cannot be written lets no flow begin, and the health says so',
    ['linux'],
    async () => {
      const one = await start({ auditLog: '/dev/full', audit: 'required' });
      const began = performance.now();
      await assert.rejects(one.download(url(), () => {}));
      assert.ok(performance.now() - began < 1_000);
      const health = served.network?.view.health();
      assert.match(health?.problems.join() ?? '', /ENOSPC\): new flows are refused/);
      assert.ok((served.network?.view.counters()['audit']?.['flows-refused'] ?? 0) > 0);
      assert.equal(served.network?.view.counters()['refusals']?.['tcp-audit'], 1);
    },
  );

  itNeeding('that is not required and cannot be written holds nothing up', ['linux'], async () => {
    const one = await start({ auditLog: '/dev/full' });
    await one.download(url(), () => {});
    assert.match(
      served.network?.view.health().problems.join() ?? '',
      /audit log cannot be written/,
    );
  });
});
