import assert from 'node:assert/strict';
import { once } from 'node:events';
import { StreamGuard } from '../../../src/proxy/upstream-proxy/stream-guard.ts';
import { helloRecords } from '../../services/sniff/hello-bytes.ts';

describe('proxy/upstream-proxy: what is stated inside a tunnel', () => {
  const guardFor = (
    name: string,
    heldMs = 1_000,
    isOpen = false,
  ): { guard: StreamGuard; got: () => number } => {
    let bytes = 0;
    const check = {
      onClaim: (claim: { readonly name: string | undefined }) =>
        claim.name === name ? undefined : 'another',
      onFault: (fault: string) => (isOpen ? undefined : fault),
    };
    const guard = new StreamGuard(check, heldMs);
    guard.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    return { guard, got: () => bytes };
  };
  const closed = (guard: StreamGuard): Promise<void> =>
    new Promise((resolve) => guard.once('close', resolve));
  const hello = (name: string): Buffer => Buffer.from(helloRecords({ name }));

  it('passes where it is the name, in any cut, and everything behind it', async () => {
    const { guard, got } = guardFor('a.test');
    const bytes = Buffer.concat([hello('a.test'), Buffer.from([23, 3, 3, 0, 1, 9])]);
    for (const byte of bytes) guard.write(Buffer.of(byte));
    guard.end();
    await once(guard, 'end');
    assert.equal(got(), bytes.length);
  });

  it('is another protocol, which names nothing', async () => {
    const { guard, got } = guardFor('a.test');
    guard.end('SSH-2.0-x\r\n');
    await once(guard, 'end');
    assert.equal(got(), 11);
  });

  for (const [what, bytes] of [
    ['another name', hello('b.test')],
    ['a request for another host', Buffer.from('GET / HTTP/1.1\r\nHost: b.test\r\n\r\n')],
    ['what cannot be read', Buffer.from([22, 3, 1, 0, 5, 9, 0, 0, 1, 9])],
  ] as const) {
    it(`ends with ${what}, of which nothing passes`, async () => {
      const { guard, got } = guardFor('a.test');
      guard.on('error', () => {});
      guard.write(bytes);
      await closed(guard);
      assert.equal(got(), 0);
    });
  }

  it('passes what cannot be read where any name may be stated', async () => {
    const { guard, got } = guardFor('a.test', 1_000, true);
    guard.write(Buffer.from([22, 3, 1, 0, 5, 9, 0, 0, 1, 9]));
    guard.end(hello('b.test'));
    await once(guard, 'end');
    assert.equal(got(), 10 + hello('b.test').length);
  });

  it('passes a hello that is never whole, late, where any name may be stated', async () => {
    const { guard, got } = guardFor('a.test', 10, true);
    guard.write(hello('a.test').subarray(0, 20));
    await once(guard, 'data');
    guard.end('more');
    await once(guard, 'end');
    assert.equal(got(), 24);
  });

  it('ends with a hello that is never whole', async () => {
    const { guard, got } = guardFor('a.test', 10);
    guard.on('error', () => {});
    guard.write(hello('a.test').subarray(0, 20));
    await closed(guard);
    assert.equal(got(), 0);
  });
});
