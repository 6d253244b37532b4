import assert from 'node:assert/strict';
import { fstatSync, openSync } from 'node:fs';
import { THIS_HOST } from '../../src/native/libc.ts';
import { connectVsock, listenVsock, vsockAddress } from '../../src/native/vsock.ts';

const missing = (name: string) => (): never => {
  throw new Error(`Cannot find module '${name}'\nRequire stack:\n- /somewhere`);
};
const WITHOUT = {
  ...THIS_HOST,
  requireKoffi: missing('koffi'),
  requireNodeVsock: missing('node-vsock'),
};

describe('vsock sockets', () => {
  it('an address is a sockaddr_vm', () => {
    const address = vsockAddress(3, 4099);
    assert.deepEqual([...address], [40, 0, 0, 0, 3, 16, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
  });

  for (const [what, host, why] of [
    ['nothing is installed', WITHOUT, "node-vsock (Cannot find module 'node-vsock')"],
    [
      'node-vsock is not what it was',
      { ...WITHOUT, requireNodeVsock: () => ({ VsockSocket: class {} }) },
      'node-vsock (it has no VsockSocket and VsockServer)',
    ],
  ] as const) {
    it(`${what}: both are named, and what to do`, async () => {
      const message = (wanted: string): string =>
        `cannot ${wanted}: neither ${why} nor koffi (Cannot find module 'koffi') can be loaded; ` +
        'install one with `npm install koffi` or `npm install node-vsock`, or let socat carry the bytes: ' +
        'socat VSOCK-LISTEN:PORT,fork UNIX-CONNECT:PATH';
      assert.throws(() => connectVsock(3, 1, () => {}, host), {
        code: 'ERR_HAWSER_NATIVE_UNAVAILABLE',
        message: message('connect to vsock:3:1'),
      });
      await assert.rejects(
        listenVsock(1, () => {}, host),
        { code: 'ERR_HAWSER_NATIVE_UNAVAILABLE', message: message('listen on vsock:1') },
      );
    });
  }

  it('a connection that no thread can take has failed, and keeps no descriptor', async () => {
    const opened = openSync('/dev/null', 'r');
    const koffi = THIS_HOST.requireKoffi();
    const busy = Object.assign(() => 0, {
      async(): void {
        throw new Error('Too many asynchronous calls are running');
      },
    });
    const host = {
      ...WITHOUT,
      requireKoffi: () => ({
        ...koffi,
        load: () => ({
          func: (definition: string) => {
            if (definition.startsWith('int connect(')) return busy;
            if (definition.startsWith('int socket(')) return () => opened;
            return koffi.load(null).func(definition);
          },
        }),
      }),
    };
    const problem = await new Promise<string>((resolve) => {
      // @ts-expect-error a library of which only some functions are ours
      connectVsock(3, 1, (_socket, why) => resolve(why), host);
    });
    assert.equal(problem, 'cannot connect to vsock:3:1: Too many asynchronous calls are running');
    assert.throws(() => fstatSync(opened), { code: 'EBADF' });
  });
});
