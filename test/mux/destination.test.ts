import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IpAddress, ipv4 } from '../../src/base/ip-address.ts';
import {
  type Destination,
  destinationLen,
  emitDestination,
  parseDestination,
} from '../../src/mux/destination.ts';

const OFF = 5;

function emitted(destination: Destination): { readonly view: DataView; readonly len: number } {
  const view = new DataView(new ArrayBuffer(OFF + destinationLen(destination)));
  return { view, len: emitDestination(view, OFF, destination) };
}

describe('destination of a channel', () => {
  const cases: readonly Destination[] = [
    { proto: 'tcp', address: ipv4(0x7f00_0001), port: 80 },
    { proto: 'udp', address: new IpAddress(0x2001_0db8, 0, 0, -1), port: 65535 },
    { proto: 'unix', path: '/run/x.sock' },
    { proto: 'unix', path: '' },
    { proto: 'unix', path: '/run/schließfach-日本-🪢.sock' },
  ];
  for (const destination of cases) {
    it(`${JSON.stringify(destination)} is read as it was written`, () => {
      const { view, len } = emitted(destination);
      const read = parseDestination(view, OFF, OFF + len);
      assert.deepEqual(read, { value: destination, next: OFF + len });
    });
  }

  it('no part of one is taken for a whole', () => {
    for (const destination of cases) {
      const { view, len } = emitted(destination);
      for (let end = OFF; end < OFF + len; end++) {
        assert.equal(parseDestination(view, OFF, end), undefined, `${end - OFF} of ${len} bytes`);
      }
    }
  });

  it('any path needs no more than its announced length', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (path) => {
        const destination: Destination = { proto: 'unix', path };
        const { view, len } = emitted(destination);
        assert.ok(len <= destinationLen(destination));
        assert.deepEqual(parseDestination(view, OFF, OFF + len)?.next, OFF + len);
      }),
    );
  });
});
