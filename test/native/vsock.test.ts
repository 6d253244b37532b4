import assert from 'node:assert/strict';
import { NativeUnavailableError } from '../../src/native/errors.ts';
import { connectVsock, listenVsock, vsockAddress } from '../../src/native/vsock.ts';

const WITHOUT_KOFFI = {
  platform: 'linux',
  arch: 'x64',
  requireKoffi: (): never => {
    throw new Error('not installed');
  },
};

describe('vsock sockets', () => {
  it('an address is a sockaddr_vm', () => {
    const address = vsockAddress(3, 4099);
    assert.deepEqual([...address], [40, 0, 0, 0, 3, 16, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('without koffi it is said what to do', () => {
    const says = (error: unknown): boolean =>
      error instanceof NativeUnavailableError &&
      /koffi/.test(error.message) &&
      /socat/.test(error.message);
    assert.throws(() => connectVsock(3, 1, () => {}, WITHOUT_KOFFI), says);
    assert.throws(() => listenVsock(1, () => {}, WITHOUT_KOFFI), says);
  });
});
