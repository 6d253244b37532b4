import assert from 'node:assert/strict';
import { Publications } from '../../../src/proxy/ports/publications.ts';
import type { PublishSpec } from '../../../src/proxy/ports/publish-spec.ts';

const PLACE = { hostAddress: undefined, guestAddress: undefined, guestPort: 80 } as const;
const tcp = (hostPort: number): PublishSpec => ({ protocol: 'tcp', hostPort, ...PLACE });
const udp = (hostPort: number): PublishSpec => ({ protocol: 'udp', hostPort, ...PLACE });
const unix = (hostPath: string): PublishSpec => ({
  protocol: 'unix',
  hostPath,
  guestAddress: undefined,
  guestPort: 80,
});

describe('publications', () => {
  it('are found by id, in their order, and by port, whatever their protocol', () => {
    const table = new Publications<{ readonly spec: PublishSpec }>();
    const specs = [tcp(80), unix('/run/a'), udp(80), tcp(81)];
    for (const [i, spec] of specs.entries()) table.add(String(i), { spec });
    assert.deepEqual([...table.all().keys()], ['0', '1', '2', '3']);
    assert.deepEqual([...table.onPort(80).keys()], ['0', '2']);
    assert.deepEqual(
      [...table.beside(unix('/run/b'))].map(({ spec }) => spec),
      [specs[1]],
      'Unix sockets are beside each other',
    );
    assert.equal(table.get('3')?.spec, specs[3]);
  });

  it('keep nothing of what has been removed', () => {
    const table = new Publications<{ readonly spec: PublishSpec }>();
    table.add('1', { spec: tcp(80) });
    assert.equal(table.remove('1')?.spec.protocol, 'tcp');
    assert.equal(table.remove('1'), undefined);
    assert.equal(table.onPort(80).size, 0);
    assert.equal(table.all().size, 0);
  });
});
